import { expect, test } from "vitest";
import { crashKey } from "./container-start.ts";
import { makeContainer } from "./testing/pods.ts";

test("crashes are counted for a container with its image: another image starts over", () => {
  const key = crashKey("uid", makeContainer("main"));
  expect(crashKey("uid", makeContainer("main", { args: ["x"] }))).toBe(key);
  expect(crashKey("uid", makeContainer("main", { image: "web:2" }))).not.toBe(key);
  expect(crashKey("uid", makeContainer("other"))).not.toBe(key);
  expect(key.startsWith("uid/")).toBe(true);
});
