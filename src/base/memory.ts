/**
 * What a process needed only for a while is given back to the machine: V8 and the C library both keep it for a next time.
 * https://man7.org/linux/man-pages/man3/malloc_trim.3.html
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "./clock.ts";

/** How often the process looks at itself. */
const lookMs = 10_000;
/** The share of one core that a process does not fall below while there is work. */
const busyShare = 0.1;
/** Work that comes and goes all the time does not make a collection each time. */
const restMs = 30_000;
/** What little happens in an idle process leaves some megabytes behind in that time. */
const idleMs = 300_000;
/** A larger heap is collected by V8 alone: collecting it at once would take as long as a client notices. */
const heapMaxBytes = 64 * 1024 * 1024;

/** What is asked about the process, and done to it. */
interface Process {
  /** Milliseconds of processor time since its start. */
  cpuMs(): number;
  heapBytes(): number;
  release(): void | Promise<void>;
}

const thisProcess: Process = {
  cpuMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  heapBytes: () => process.memoryUsage().heapUsed,
  async release() {
    collectGarbage();
    await trimMalloc();
  },
};

/** Each time work has ended, the start being the first, and now and then while idle. Answers how to call it off. */
export function releaseMemoryAfterWork(clock: Clock, self: Process = thisProcess): { stop(): Promise<void> } {
  let cpuMs = self.cpuMs();
  let atMs = clock.monotonic();
  let hadWork = true;
  let releasedMs = Number.NEGATIVE_INFINITY;
  const timer = clock.every(lookMs, () => {
    const [cpuNowMs, nowMs] = [self.cpuMs(), clock.monotonic()];
    const isBusy = cpuNowMs - cpuMs > (nowMs - atMs) * busyShare;
    [cpuMs, atMs] = [cpuNowMs, nowMs];
    hadWork ||= isBusy;
    if (isBusy || nowMs - releasedMs < (hadWork ? restMs : idleMs)) return;
    hadWork = false;
    releasedMs = nowMs;
    if (self.heapBytes() <= heapMaxBytes) void Promise.resolve(self.release()).catch(() => {});
  });
  return { stop: async () => timer.cancel() };
}

/** As on the last resort before running out of memory: functions that are not in use lose their bytecode too. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  if (typeof gc === "function") gc({ type: "major", execution: "sync", flavor: "last-resort" });
}

/** glibc keeps what lies below something that is still in use: a third of what it holds after a start. */
async function trimMalloc(): Promise<void> {
  try {
    const { dlopen } = await import("node:ffi");
    const { functions } = dlopen(null, { malloc_trim: { arguments: ["u64"], return: "i32" } });
    functions.malloc_trim(0n);
  } catch {
    // Another C library, or an older Node: it stays as it is.
  }
}
