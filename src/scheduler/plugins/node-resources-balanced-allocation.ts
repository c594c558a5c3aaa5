/** NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory are used alike. */
import { defineSchedulerPlugin, scoreMax } from "../define-plugin.ts";

export const nodeResourcesBalancedAllocation = defineSchedulerPlugin<true>({
  name: "NodeResourcesBalancedAllocation",
  local: true,
  wakes: [],
  // A pod that asks for nothing leaves every balance as it is.
  prepareScore: ({ request }) => (request.milliCpu > 0 || request.memory > 0 ? true : undefined),
  score({ request }, node) {
    const share = (all: number, used: number) => (all === 0 ? 1 : Math.min(1, used / all));
    const cpu = share(node.allocatable.milliCpu, node.requested.milliCpu + request.milliCpu);
    const memory = share(node.allocatable.memory, node.requested.memory + request.memory);
    return Math.floor((1 - Math.abs(cpu - memory) / 2) * scoreMax);
  },
});
