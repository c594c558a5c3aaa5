/** The processors that are kept for the system. Pure. */
import { quantityMilliValue } from "#api";
import type { KubeletConfig } from "../config/settings.ts";
import { parseCpuList } from "../node-info.ts";
import { type Cpu, takeCpus } from "./topology.ts";

type Reservations = Pick<KubeletConfig, "reservedCpus" | "kubeReserved" | "systemReserved">;

/** The named ones, or as many as the reserved amounts need. */
export function reservedCpusOf(topology: readonly Cpu[], config: Reservations): number[] {
  if (config.reservedCpus) return parseCpuList(config.reservedCpus);
  const milli = quantityMilliValue(config.kubeReserved.cpu) + quantityMilliValue(config.systemReserved.cpu);
  const all = topology.map(({ id }) => id);
  return takeCpus(topology, new Set(all), Math.ceil(milli / 1000)) ?? all;
}
