import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { checkSysctlPattern, forbiddenSysctl } from "./sysctls.ts";
import { makePod } from "./testing/pods.ts";

const setting = (name: string, more: Partial<corev1.PodSpec> = {}) =>
  makePod({ securityContext: { sysctls: [{ name, value: "1" }] }, ...more });

test.each([
  ["net.ipv4.tcp_syncookies", {}, [], undefined],
  ["net/ipv4/tcp_syncookies", {}, [], undefined],
  ["kernel.msgmax", {}, [], 'forbidden sysctl: "kernel.msgmax" not allowlisted'],
  ["kernel.msgmax", {}, ["kernel.msg*"], undefined],
  ["kernel.shm_rmid_forced", { hostIPC: true }, [], "not allowed with host ipc enabled"],
  ["net.ipv4.tcp_syncookies", { hostNetwork: true }, [], "not allowed with host net enabled"],
])("%s with %j and %j allowed: %s", (name, spec, allowed, words) => {
  const why = forbiddenSysctl(setting(name, spec), allowed);
  if (words === undefined) expect(why).toBeUndefined();
  else expect(why).toContain(words);
});

test.each(["vm.swappiness", "kernel.*", "*", "net..x", ""])("%j may not be allowed", (pattern) => {
  expect(() => checkSysctlPattern(pattern)).toThrow();
});

test.each(["net.core.somaxconn", "net.*", "kernel.shm*", "fs.mqueue.*", "kernel.sem"])(
  "%j may be",
  (pattern) => {
    expect(() => checkSysctlPattern(pattern)).not.toThrow();
  },
);
