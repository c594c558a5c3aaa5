/**
 * V8's optimizing compiler only for a process that has work for long: its own code and what it needs while compiling are 5 MB,
 * and without it a process that is idle is as quick. Such a process is started with `--no-maglev`.
 * https://v8.dev/blog/maglev
 */
import { setFlagsFromString } from "node:v8";
import type { Clock } from "./clock.ts";

const lookMs = 10_000;
/** A share of one core below which it does not matter. */
const busyShare = 0.1;
/** So many looks in a row: a start is over sooner. */
const looksMin = 3;

/** What is asked about the process, and done to it. */
interface Process {
  /** Milliseconds of processor time since its start. */
  cpuMs(): number;
  optimize(): void;
}

const thisProcess: Process = {
  cpuMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  optimize: optimizeFromNowOn,
};

/** For who knows that there is much to do. V8 asks for this flag whenever a function has become hot. */
export function optimizeFromNowOn(): void {
  setFlagsFromString("--maglev");
}

/** From then on for good. Answers how to call it off. */
export function optimizeAfterLastingWork(
  clock: Clock,
  self: Process = thisProcess,
): { stop(): Promise<void> } {
  let cpuMs = self.cpuMs();
  let atMs = clock.monotonic();
  let busyLooks = 0;
  const timer = clock.every(lookMs, () => {
    const [cpuNowMs, nowMs] = [self.cpuMs(), clock.monotonic()];
    busyLooks = cpuNowMs - cpuMs > (nowMs - atMs) * busyShare ? busyLooks + 1 : 0;
    [cpuMs, atMs] = [cpuNowMs, nowMs];
    if (busyLooks < looksMin) return;
    timer.cancel();
    self.optimize();
  });
  return { stop: async () => timer.cancel() };
}
