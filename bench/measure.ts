/** What benchmarks share: samples, medians, and one row of the result table. */

/** One figure of a benchmark. `goal` and `peer` are in the same unit; the ratio to the peer is worked out from them. */
export interface Row {
  what: string;
  unit: "ms" | "MB" | "1/s" | "MB/s" | "%";
  samples: number[];
  goal?: number;
  /** Measured in the same run, on the same machine. */
  peer?: { name: string; samples: number[] };
  note?: string;
}

export interface Benchmark {
  title: string;
  rows: Row[];
}

/** The value `share` of the samples lie below. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export async function repeat(times: number, work: (i: number) => Promise<number>): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < times; i++) samples.push(await work(i));
  return samples;
}

/** How many calls a second `clients` loops make together, once each second for `seconds`. */
export async function rate(
  clients: number,
  seconds: number,
  call: (n: number) => Promise<unknown>,
): Promise<number[]> {
  const samples: number[] = [];
  let count = 0;
  let next = 0;
  let stop = false;
  const loops = Array.from({ length: clients }, async () => {
    while (!stop) {
      await call(next++);
      count++;
    }
  });
  for (let second = 0; second < seconds; second++) {
    const [before, start] = [count, performance.now()];
    await new Promise((resolve) => setTimeout(resolve, 1000));
    samples.push(((count - before) * 1000) / (performance.now() - start));
  }
  stop = true;
  await Promise.all(loops);
  return samples;
}
