import { expect, test } from "vitest";
import { answerHealth } from "./health.ts";

const well = { isStopping: false, storeFailure: undefined };
const broken = { isStopping: false, storeFailure: "disk full" };

function ask(url: string, condition: Parameters<typeof answerHealth>[1]) {
  const [path = "", rawQuery = ""] = url.split("?");
  const answer = answerHealth({ path, query: new URLSearchParams(rawQuery) }, condition);
  return answer && [answer.status, String(answer.body)];
}

test("all is well, in short, at length and one by one", () => {
  expect(ask("/readyz", well)).toEqual([200, "ok"]);
  expect(ask("/livez/ping", well)).toEqual([200, "ok"]);
  expect(ask("/readyz?verbose&exclude=log", well)).toEqual([
    200,
    "[+]ping ok\n[+]log excluded: ok\n[+]etcd ok\n[+]shutdown ok\nreadyz check passed\n",
  ]);
  expect(ask("/readyzz", well)).toBeUndefined();
  expect(() => ask("/readyz/nothing", well)).toThrow("could not find the requested resource");
});

test("a store that takes no writes is alive but not ready", () => {
  expect(ask("/livez", broken)).toEqual([200, "ok"]);
  expect(ask("/readyz/etcd", broken)).toEqual([500, "etcd failed: reason withheld\n"]);
  expect(ask("/readyz?exclude=etcd", broken)).toEqual([200, "ok"]);
  const [status, text] = ask("/readyz", broken)!;
  expect(status).toBe(500);
  expect(text).toContain("[-]etcd failed: reason withheld\n");
  expect(text).not.toContain("disk full");
});

test("a server that stops is neither", () => {
  expect(ask("/readyz", { ...well, isStopping: true })?.[0]).toBe(500);
  expect(ask("/livez", { ...well, isStopping: true })?.[0]).toBe(500);
});
