import { expect, test } from "vitest";
import { checkMachine } from "./machine-checks.ts";

const wishes = { failSwapOn: false, failCgroupV1: false, protectKernelDefaults: false };
const wanted: Record<string, string> = {
  "vm/overcommit_memory": "1",
  "vm/panic_on_oom": "0",
  "kernel/panic": "10",
  "kernel/panic_on_oops": "1",
  "kernel/keys/root_maxkeys": "1000000",
  "kernel/keys/root_maxbytes": "25000000",
};
const facts = (kernel = wanted) => ({
  swapBytes: 1,
  isUnified: false,
  kernel: (name: string) => kernel[name],
});

test("a machine is as it is, unless it has to be otherwise", () => {
  expect(() => checkMachine(wishes, facts({}))).not.toThrow();
  expect(() => checkMachine({ ...wishes, failSwapOn: true }, facts())).toThrow(
    "running with swap on is not supported",
  );
  const strict = { ...wishes, failCgroupV1: true };
  expect(() => checkMachine(strict, facts())).toThrow(
    "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported and will be removed in a future release",
  );
  expect(() => checkMachine(strict, { ...facts(), isUnified: true })).not.toThrow();
});

test("parameters of the kernel are left alone, and told where they have to be right", () => {
  const guarded = { ...wishes, protectKernelDefaults: true };
  expect(() => checkMachine(guarded, facts())).not.toThrow();
  expect(() => checkMachine(guarded, facts({ ...wanted, "kernel/panic": "0" }))).toThrow(
    /^invalid kernel flag: kernel\/panic, expected value: 10, actual value: 0$/,
  );
  const two = { ...wanted, "kernel/panic": "0", "vm/overcommit_memory": "0" };
  expect(() => checkMachine(guarded, facts(two))).toThrow(
    /^\[invalid kernel flag: vm\/over.*, invalid kernel flag/,
  );
});
