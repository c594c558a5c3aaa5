/** From two readings to what is used now. Pure. */
import { formatTime } from "#api";
import type { Reading } from "./samples.ts";

export interface Usage {
  cpuNanoCores: number;
  memoryBytes: number;
  atMs: number;
  windowMs: number;
}

/** Shorter than this a rate is mostly noise. */
const windowMinMs = 500;

/** A container that has started since is counted from its start. Undefined: too little is known yet. */
export function usageOf(newer: Reading, older: Reading | undefined): Usage | undefined {
  const isSame =
    older !== undefined && older.startMs === newer.startMs && newer.cpuSeconds >= older.cpuSeconds;
  const since = isSame
    ? { cpuSeconds: older.cpuSeconds, atMs: older.atMs }
    : newer.startMs === undefined
      ? undefined
      : { cpuSeconds: 0, atMs: newer.startMs };
  if (!since || newer.atMs - since.atMs < windowMinMs) return undefined;
  const windowMs = newer.atMs - since.atMs;
  return {
    cpuNanoCores: Math.round(((newer.cpuSeconds - since.cpuSeconds) / windowMs) * 1e12),
    memoryBytes: newer.memoryBytes,
    atMs: newer.atMs,
    windowMs,
  };
}

/** `12345n` and `2048Ki`, as upstream's metrics server writes them. */
export function amountsOf({ cpuNanoCores, memoryBytes }: Usage): { cpu: string; memory: string } {
  const memory = memoryBytes % 1024 === 0 ? `${memoryBytes / 1024}Ki` : String(memoryBytes);
  return { cpu: cpuNanoCores === 0 ? "0" : `${cpuNanoCores}n`, memory };
}

export function sumOf(usages: readonly Usage[]): Usage {
  const sum = (of: (each: Usage) => number) => usages.reduce((total, each) => total + of(each), 0);
  const cpuNanoCores = sum((each) => each.cpuNanoCores);
  return { ...usages[0]!, cpuNanoCores, memoryBytes: sum((each) => each.memoryBytes) };
}

/** When the newest of several was taken, and over which time. */
export function timesOf(usages: readonly Usage[]): { timestamp: string; window: string } {
  const atMs = Math.max(...usages.map((each) => each.atMs));
  const windowMs = Math.max(...usages.map((each) => each.windowMs));
  return { timestamp: formatTime(atMs), window: `${Number((windowMs / 1000).toFixed(3))}s` };
}
