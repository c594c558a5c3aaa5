/**
 * What a machine has to be like before this kubelet runs on it; in upstream's words.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */
import { readFileSync } from "node:fs";
import { UserError } from "#base";
import type { KubeletConfig } from "./config/settings.ts";

type Wishes = Pick<KubeletConfig, "failSwapOn" | "failCgroupV1" | "protectKernelDefaults">;

interface MachineFacts {
  swapBytes: number;
  /** Cgroups v2 alone. */
  isUnified: boolean;
  /** A parameter of the kernel, by its path below `/proc/sys`. */
  kernel(parameter: string): string | undefined;
}

/** What a node's kernel is wanted to do: promise memory freely, kill for want of it, and begin anew after a fault. */
const kernelParameters: Readonly<Record<string, string>> = {
  "vm/overcommit_memory": "1",
  "vm/panic_on_oom": "0",
  "kernel/panic": "10",
  "kernel/panic_on_oops": "1",
  "kernel/keys/root_maxkeys": "1000000",
  "kernel/keys/root_maxbytes": "25000000",
};

export function readKernelParameter(parameter: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${parameter}`, "utf8").trim();
  } catch {
    return undefined;
  }
}

interface WrongParameter {
  words: string;
  mend: string;
}

function wrongParameters({ kernel }: Pick<MachineFacts, "kernel">): WrongParameter[] {
  return Object.entries(kernelParameters).flatMap(([name, wanted]) => {
    const actual = kernel(name);
    if (actual === wanted) return [];
    const words =
      actual === undefined
        ? `open /proc/sys/${name}: no such file or directory`
        : `invalid kernel flag: ${name}, expected value: ${wanted}, actual value: ${actual}`;
    return [{ words, mend: `${name.replaceAll("/", ".")}=${wanted}` }];
  });
}

/** Throws a `UserError` for a machine that is not as it has to be. */
export function checkMachine(wishes: Wishes, facts: MachineFacts): void {
  if (wishes.failSwapOn && facts.swapBytes > 0)
    throw new UserError(
      "running with swap on is not supported, please disable swap or set --fail-swap-on flag to false",
      "swapoff -a, or failSwapOn: false",
    );
  if (wishes.failCgroupV1 && !facts.isUnified)
    throw new UserError(
      "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported and will be removed in a future release",
      "start the machine with systemd.unified_cgroup_hierarchy=1, or set failCgroupV1: false",
    );
  const wrong = wishes.protectKernelDefaults ? wrongParameters(facts) : [];
  if (wrong.length === 0) return;
  const words = wrong.map((each) => each.words);
  throw new UserError(
    words.length === 1 ? words[0]! : `[${words.join(", ")}]`,
    `sysctl -w ${wrong.map(({ mend }) => mend).join(" ")}, or protectKernelDefaults: false`,
  );
}
