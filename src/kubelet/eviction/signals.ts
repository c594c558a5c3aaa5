/**
 * What the kubelet watches on its node, from where on that is too little, and what is too little now. Pure.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#eviction-signals-and-thresholds
 */
import { parseQuantity, quantityValue } from "#api";
import type { KubeletConfig } from "../config/settings.ts";

export const signals = [
  "memory.available",
  "nodefs.available",
  "nodefs.inodesFree",
  "imagefs.available",
  "imagefs.inodesFree",
  "containerfs.available",
  "containerfs.inodesFree",
  "pid.available",
] as const;

export type Signal = (typeof signals)[number];
export type PressureKind = "memory" | "disk" | "pid";

/** How much there is of each, and how much of it is left. */
export type Observations = Readonly<Partial<Record<Signal, { available: number; capacity: number }>>>;

export interface Threshold {
  signal: Signal;
  /** A quantity, or a share of the capacity: `100Mi`, `10%`. */
  amount: string;
  /** So much more has to be free before it is over. */
  reclaim: string;
  /** 0: at once, and the pod has hardly any time. */
  graceMs: number;
  isHard: boolean;
}

type Limits = Pick<
  KubeletConfig,
  "evictionHard" | "evictionSoft" | "evictionSoftGracePeriodMs" | "evictionMinimumReclaim"
>;

export const isSignal = (name: string): name is Signal => (signals as readonly string[]).includes(name);

/** Throws an `Error` for what is neither a quantity nor a share. */
export function checkAmount(amount: string): void {
  const share = /^(\d+(?:\.\d+)?)%$/.exec(amount)?.[1];
  if (share !== undefined && Number(share) > 100) throw new Error("must be at most 100%");
  if (share === undefined && !parseQuantity(amount)) throw new Error("must be a quantity");
}

export function thresholdsOf(limits: Limits): Threshold[] {
  const reclaimOf = (signal: string) => limits.evictionMinimumReclaim[signal] ?? "0";
  const of = (amounts: Readonly<Record<string, string>>, isHard: boolean) =>
    Object.entries(amounts).flatMap(([signal, amount]): Threshold[] => {
      if (!isSignal(signal) || amount === "0" || amount === "0%") return [];
      const graceMs = isHard ? 0 : (limits.evictionSoftGracePeriodMs[signal] ?? 0);
      return [{ signal, amount, reclaim: reclaimOf(signal), graceMs, isHard }];
    });
  return [...of(limits.evictionHard, true), ...of(limits.evictionSoft, false)];
}

export function amountOf(amount: string, capacity: number): number {
  return amount.endsWith("%")
    ? Math.floor((Number(amount.slice(0, -1)) / 100) * capacity)
    : quantityValue(amount);
}

/** Those of `thresholds` below which a signal has fallen; `withReclaim`: and has not come back far enough. */
export function metBy(
  thresholds: readonly Threshold[],
  observations: Observations,
  withReclaim: boolean,
): Threshold[] {
  return thresholds.filter(({ signal, amount, reclaim }) => {
    const seen = observations[signal];
    if (!seen) return false;
    const least = amountOf(amount, seen.capacity) + (withReclaim ? amountOf(reclaim, seen.capacity) : 0);
    return seen.available < least;
  });
}

export function pressureOf(signal: Signal): PressureKind {
  if (signal === "memory.available") return "memory";
  return signal === "pid.available" ? "pid" : "disk";
}

/** What events and messages call it. */
export function resourceOf(signal: Signal): string {
  if (signal === "memory.available") return "memory";
  if (signal === "pid.available") return "pids";
  return signal.endsWith("inodesFree") ? "inodes" : "ephemeral-storage";
}

/** What is remembered from one look to the next. */
export interface EvictionMemory {
  met: readonly Threshold[];
  /** When each threshold that is met was first seen so. */
  sinceMs: ReadonlyMap<Threshold, number>;
  /** When each kind of pressure was last seen. */
  seenMs: ReadonlyMap<PressureKind, number>;
}

export const nothingSeen: EvictionMemory = { met: [], sinceMs: new Map(), seenMs: new Map() };

export interface Judgement {
  memory: EvictionMemory;
  /** Also those that went a short while ago: a node shall not waver. */
  pressures: ReadonlySet<PressureKind>;
  /** What something has to be done about; the most urgent first. */
  due: readonly Threshold[];
}

export function judge(
  memory: EvictionMemory,
  thresholds: readonly Threshold[],
  observations: Observations,
  times: { nowMs: number; transitionMs: number },
): Judgement {
  const { nowMs, transitionMs } = times;
  const unresolved = metBy(memory.met, observations, true);
  const met = thresholds.filter(
    (each) => unresolved.includes(each) || metBy([each], observations, false).length > 0,
  );
  const sinceMs = new Map(met.map((each) => [each, memory.sinceMs.get(each) ?? nowMs]));
  const seenMs = new Map(memory.seenMs);
  for (const { signal } of met) seenMs.set(pressureOf(signal), nowMs);
  const pressures = [...seenMs].filter(([, atMs]) => atMs === nowMs || nowMs - atMs < transitionMs);
  const lasting = met.filter((each) => nowMs - sinceMs.get(each)! >= each.graceMs);
  const urgency = ({ signal }: Threshold) => (signal === "memory.available" ? 0 : 1);
  return {
    memory: { met: lasting, sinceMs, seenMs: new Map(pressures) },
    pressures: new Set(pressures.map(([kind]) => kind)),
    due: lasting.toSorted((a, b) => urgency(a) - urgency(b)),
  };
}
