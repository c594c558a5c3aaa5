/** What of each NUMA node's memory is kept for the system. Pure. */
import { quantityValue } from "#api";
import type { KubeletConfig } from "../config/settings.ts";
import type { ReservedMemory } from "./state.ts";

type Reservations = Pick<
  KubeletConfig,
  "reservedMemory" | "kubeReserved" | "systemReserved" | "evictionHard"
>;

/** What the node keeps back of its memory in all; shares of it are not known here. */
function keptBack({ kubeReserved, systemReserved, evictionHard }: Reservations): number {
  const threshold = evictionHard["memory.available"] ?? "0";
  const evicting = threshold.endsWith("%") ? 0 : quantityValue(threshold);
  return quantityValue(kubeReserved.memory) + quantityValue(systemReserved.memory) + evicting;
}

/** Throws an `Error` in upstream's words where the sums differ. */
export function reservedMemoryOf(config: Reservations): ReservedMemory {
  const byNode = new Map<number, Record<string, number>>();
  for (const { numaNode, limits } of config.reservedMemory) {
    const amounts = byNode.get(numaNode) ?? {};
    for (const [name, amount] of Object.entries(limits))
      amounts[name] = (amounts[name] ?? 0) + quantityValue(amount);
    byNode.set(numaNode, amounts);
  }
  const total = [...byNode.values()].reduce((sum, { memory = 0 }) => sum + memory, 0);
  if (total === 0) throw new Error("[memorymanager] you should specify the system reserved memory");
  const kept = keptBack(config);
  if (total !== kept)
    throw new Error(
      `the total amount "${total}" of type "memory" is not equal to the value "${kept}" determined by Node Allocatable feature`,
    );
  return byNode;
}
