/**
 * Whom an eviction meets first, and in which words. Pure.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#pod-selection-for-kubelet-eviction
 */
import { binaryQuantity, podAmounts, quantityValue } from "#api";
import { containerNamed } from "../pod-containers.ts";
import type { NodeUsage, PodUsage } from "../stats/observation.ts";
import { amountOf, type Observations, resourceOf, type Signal, type Threshold } from "./signals.ts";

const sum = (parts: readonly (number | undefined)[]) =>
  parts.reduce((total: number, part) => total + (part ?? 0), 0);

/** What of a pod lies on the file system that a signal is about. */
function diskUse(
  usage: PodUsage,
  signal: Signal,
  isShared: boolean,
  field: "usedBytes" | "inodesUsed",
): number {
  const roots = usage.containers.map((each) => each.rootfs?.[field]);
  const logs = usage.containers.map((each) => each.logs?.[field]);
  const volumes = usage.volumes.filter((each) => each.isEphemeral).map((each) => each.folder[field]);
  if (isShared) return sum([...roots, ...logs, ...volumes]);
  return signal.startsWith("nodefs") ? sum([...logs, ...volumes]) : sum(roots);
}

interface Standing {
  /** More than it asked for. */
  exceeds: boolean;
  priority: number;
  /** How much; of memory, beyond what it asked for. */
  use: number;
}

function standingOf(usage: PodUsage, signal: Signal, isShared: boolean): Standing {
  const priority = usage.pod.spec.priority ?? 0;
  const requested = (name: string) => quantityValue(podAmounts(usage.pod, "requests")[name]);
  if (signal === "pid.available") return { exceeds: false, priority, use: usage.group?.processes ?? 0 };
  if (signal === "memory.available") {
    const used = usage.group?.memory.workingSetBytes ?? 0;
    const request = requested("memory");
    return { exceeds: used > request, priority, use: used - request };
  }
  const field = signal.endsWith("inodesFree") ? "inodesUsed" : "usedBytes";
  const use = diskUse(usage, signal, isShared, field);
  const exceeds = use > (field === "usedBytes" ? requested("ephemeral-storage") : 0);
  return { exceeds, priority, use };
}

/** The first is evicted first: who uses more than it asked for, then the lower priority, then the larger use. */
export function rank(usage: NodeUsage, signal: Signal): PodUsage[] {
  const isShared = usage.disks?.isShared ?? true;
  const standings = new Map(usage.pods.map((each) => [each, standingOf(each, signal, isShared)]));
  return usage.pods.toSorted((a, b) => {
    const [one, other] = [standings.get(a)!, standings.get(b)!];
    return (
      Number(other.exceeds) - Number(one.exceeds) || one.priority - other.priority || other.use - one.use
    );
  });
}

const isDiskSignal = (signal: Signal) => signal.includes("fs.");

/** Upstream's sentences, each with its blank. */
export function evictionMessage(threshold: Threshold, observations: Observations, usage: PodUsage): string {
  const { signal, amount } = threshold;
  const resource = resourceOf(signal);
  const seen = observations[signal];
  const shown = (value: number) =>
    resource === "memory" || resource === "ephemeral-storage" ? binaryQuantity(value) : String(value);
  const parts = [`The node was low on resource: ${resource}. `];
  if (seen) {
    const least = amount.endsWith("%") ? shown(amountOf(amount, seen.capacity)) : amount;
    parts.push(`Threshold quantity: ${least}, available: ${shown(seen.available)}. `);
  }
  for (const each of usage.containers) {
    const used = usedBy(each, signal);
    const request = containerNamed(usage.pod, each.name)?.resources?.requests?.[resource] ?? "0";
    if (used === undefined || used <= quantityValue(request)) continue;
    parts.push(
      `Container ${each.name} was using ${shown(used)}, request is ${request}, has larger consumption of ${resource}. `,
    );
  }
  return parts.join("");
}

function usedBy(container: PodUsage["containers"][number], signal: Signal): number | undefined {
  if (signal === "memory.available") return container.group.memory.workingSetBytes;
  if (!isDiskSignal(signal) || signal.endsWith("inodesFree")) return undefined;
  return sum([container.rootfs?.usedBytes, container.logs?.usedBytes]);
}
