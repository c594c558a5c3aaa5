import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { endShims, isShimOf } from "./shims.ts";

const shim = [
  "/usr/bin/containerd-shim-runc-v2",
  "-namespace",
  "k8s.io",
  "-id",
  "abc",
  "-address",
  "/run/a.sock",
];

test("a shim belongs to the containerd whose socket it was told of", () => {
  expect(isShimOf(shim, "/run/a.sock")).toBe(true);
  expect(isShimOf(shim, "/run/b.sock")).toBe(false);
  expect(isShimOf(["/usr/bin/containerd", "--address", "/run/a.sock"], "/run/a.sock")).toBe(false);
  expect(isShimOf(["grep", "-address", "/run/a.sock"], "/run/a.sock")).toBe(false);
  expect(isShimOf([], "")).toBe(false);
});

test("only the shims of that socket are ended", async () => {
  const socket = `/run/knarr-shims-${process.pid}.sock`;
  const wait = "setTimeout(() => {}, 60_000)";
  const start = (address: string) =>
    spawn(process.execPath, ["-e", wait, "--", "-address", address], {
      argv0: "containerd-shim-test",
      stdio: "ignore",
    });
  const [mine, other] = [start(socket), start(`${socket}.other`)];
  await Promise.all([once(other, "spawn"), once(mine, "spawn")]);
  const ended = once(mine, "exit");
  expect(endShims(socket)).toBe(1);
  expect((await ended)[1]).toBe("SIGKILL");
  expect(other.exitCode).toBeNull();
  other.kill();
});
