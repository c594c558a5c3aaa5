/** Slow start: the first try shows whether it works at all before many more are made. */

/**
 * Calls `task` up to `count` times in batches of 1, 2, 4… and stops after the first batch with a failure.
 * Answers how many succeeded, and the first failure.
 */
export async function inSlowStartBatches(
  count: number,
  task: (index: number) => Promise<void>,
): Promise<{ succeeded: number; error?: unknown }> {
  let succeeded = 0;
  let started = 0;
  for (let size = 1; started < count; size *= 2) {
    const batch = Array.from({ length: Math.min(size, count - started) }, (_, i) => task(started + i));
    started += batch.length;
    const results = await Promise.allSettled(batch);
    const failure = results.find((result) => result.status === "rejected");
    succeeded += results.filter((result) => result.status === "fulfilled").length;
    if (failure) return { succeeded, error: failure.reason };
  }
  return { succeeded };
}
