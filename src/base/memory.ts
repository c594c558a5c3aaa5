/** What a process needed only to start is given back to the machine. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "./clock.ts";

/** By then a start is over, and what it used is garbage. */
const settledMs = 10_000;

/**
 * Once, a while after the start: V8 leaves the heap of an idle process as it is, and a quarter of it is what starting
 * has left behind. Answers how to call it off.
 */
export function releaseStartMemory(clock: Clock): { stop(): Promise<void> } {
  const stopping = new AbortController();
  clock.sleep(settledMs, stopping.signal).then(collectGarbage, () => {});
  return { stop: async () => stopping.abort() };
}

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  if (typeof gc === "function") gc();
}
