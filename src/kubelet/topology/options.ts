/**
 * `topologyManagerPolicyOptions`.
 * https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/#topology-manager-policy-options
 */
import { numaNodesMax } from "./numa.ts";

export interface TopologyOptions {
  preferClosest: boolean;
  nodesMax: number;
}

/** As many as upstream takes without being told otherwise. */
const nodesMaxDefault = 8;

/** Throws an `Error` for what is none. */
export function topologyOptionsOf(given: Readonly<Record<string, string>>): TopologyOptions {
  const options: TopologyOptions = { preferClosest: false, nodesMax: nodesMaxDefault };
  for (const [name, value] of Object.entries(given)) {
    if (name === "prefer-closest-numa-nodes") {
      if (value !== "true" && value !== "false")
        throw new Error(`bad value for option "${name}": must be a bool`);
      options.preferClosest = value === "true";
    } else if (name === "max-allowable-numa-nodes") {
      const count = Number(value);
      if (!Number.isInteger(count) || count < nodesMaxDefault)
        throw new Error(
          `the minimum value of "${name}" should not be less than ${nodesMaxDefault}, but option has ${value}`,
        );
      options.nodesMax = Math.min(count, numaNodesMax);
    } else throw new Error(`unknown Topology Manager Policy option: "${name}"`);
  }
  return options;
}
