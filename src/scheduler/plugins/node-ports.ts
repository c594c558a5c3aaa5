/** NodePorts: two pods cannot have the same port of one host. */

import { type ClusterEvent, defineSchedulerPlugin, type Rejection, rejection } from "../define-plugin.ts";
import { type HostPort, type Pod, podInfoOf } from "../pod-info.ts";

function collides(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.ip === b.ip || a.ip === "0.0.0.0" || b.ip === "0.0.0.0";
}

/** Only a pod that had ports of its host leaves any. */
function hadPorts(_pod: Pod, event: ClusterEvent): boolean {
  return "pod" in event && podInfoOf(event.pod).hostPorts.length > 0;
}

const portTaken: Rejection = rejection("node(s) didn't have free ports for the requested pod ports");

export const nodePorts = defineSchedulerPlugin<readonly HostPort[]>({
  name: "NodePorts",
  local: true,
  wakes: [{ on: "NodeAdded" }, { on: "NodeChanged" }, { on: "PodDeleted", helps: hadPorts }],
  prepare: ({ hostPorts }) => (hostPorts.length > 0 ? hostPorts : undefined),
  filter: (_info, node, ports) =>
    ports.some((port) => node.hostPorts.some((taken) => collides(port, taken))) ? portTaken : undefined,
});
