/** Waiting for what a cluster does by itself. */
import { systemClock } from "#base";

/** Asks until the answer is not undefined; an error counts as «not yet», and is thrown when time is up. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  patienceMs = 60_000,
): Promise<T> {
  const deadline = systemClock.monotonic() + patienceMs;
  let last: unknown;
  while (systemClock.monotonic() < deadline) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await systemClock.sleep(100);
  }
  const seen = last instanceof Error ? `; last seen: ${last.message.slice(0, 1_500)}` : "";
  throw new Error(`${what} did not come about in ${patienceMs / 1000} s${seen}`, { cause: last });
}

/** Nothing must come about for that long. */
export async function never(what: string, ask: () => Promise<unknown>, durationMs: number): Promise<void> {
  const deadline = systemClock.monotonic() + durationMs;
  while (systemClock.monotonic() < deadline) {
    if ((await ask()) !== undefined) throw new Error(`${what} came about`);
    await systemClock.sleep(200);
  }
}
