/** NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory, or what it is told, are used alike. */
import { defineSchedulerPlugin, scoreMax } from "../define-plugin.ts";
import { amountOf } from "../resources.ts";

export interface BalanceArgs {
  resources?: readonly { name: string; weight?: number }[];
}

/** How far they are from each other: the standard deviation. */
function deviation(shares: readonly number[]): number {
  if (shares.length < 2) return 0;
  if (shares.length === 2) return Math.abs(shares[0]! - shares[1]!) / 2;
  const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
  return Math.sqrt(shares.reduce((sum, share) => sum + (share - mean) ** 2, 0) / shares.length);
}

export function nodeResourcesBalancedAllocation({ resources = [] }: BalanceArgs = {}) {
  const names = resources.length > 0 ? resources.map(({ name }) => name) : ["cpu", "memory"];
  return defineSchedulerPlugin<true>({
    name: "NodeResourcesBalancedAllocation",
    local: true,
    wakes: [],
    // A pod that asks for nothing leaves every balance as it is.
    prepareScore: ({ request }) => (names.some((name) => amountOf(request, name) > 0) ? true : undefined),
    score({ request }, node) {
      const shares: number[] = [];
      for (const name of names) {
        const all = amountOf(node.allocatable, name);
        // Of extended resources those alone count that the pod asks for.
        if (all === 0 || (name.includes("/") && amountOf(request, name) === 0)) continue;
        shares.push(Math.min(1, (amountOf(node.requested, name) + amountOf(request, name)) / all));
      }
      return Math.floor((1 - deviation(shares)) * scoreMax);
    },
  });
}
