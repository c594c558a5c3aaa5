/**
 * `cpuManagerPolicyOptions`, those that 1.36 offers without a feature gate.
 * https://kubernetes.io/docs/concepts/policy/node-resource-managers/#cpu-policy-static--options
 */

export interface CpuOptions {
  /** Whole cores or nothing. */
  fullCores: boolean;
  /** What one NUMA node cannot hold lies evenly on several. */
  distribute: boolean;
  /** Nobody runs on what is reserved. */
  strictReservation: boolean;
  /** Rather processors that share their last cache. */
  byCache: boolean;
}

const names: Readonly<Record<string, keyof CpuOptions>> = {
  "full-pcpus-only": "fullCores",
  "distribute-cpus-across-numa": "distribute",
  "strict-cpu-reservation": "strictReservation",
  "prefer-align-cpus-by-uncorecache": "byCache",
};

const alpha = new Set(["align-by-socket", "distribute-cpus-across-cores"]);

/** Throws an `Error` in upstream's words. */
export function cpuOptionsOf(given: Readonly<Record<string, string>>): CpuOptions {
  const options: CpuOptions = {
    fullCores: false,
    distribute: false,
    strictReservation: false,
    byCache: false,
  };
  for (const [name, value] of Object.entries(given)) {
    if (alpha.has(name))
      throw new Error(`CPU Manager Policy Alpha-level Options not enabled, but option "${name}" provided`);
    const key = Object.hasOwn(names, name) ? names[name] : undefined;
    if (!key) throw new Error(`unknown CPU Manager Policy option: "${name}"`);
    if (value !== "true" && value !== "false")
      throw new Error(`bad value for option "${name}": must be a bool`);
    options[key] = value === "true";
  }
  if (options.byCache && options.distribute)
    throw new Error(
      "static policy options PreferAlignCpusByUnCoreCacheOption and DistributeCPUsAcrossNUMAOption can not be used at the same time",
    );
  return options;
}
