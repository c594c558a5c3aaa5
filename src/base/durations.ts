/** Go's durations, as configuration files write them: `1h30m`, `250ms`. */

const unitMs: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
  μs: 0.001,
  ns: 0.000_001,
};

/** Milliseconds, below zero too, as Go's `time.ParseDuration` reads them; undefined for what is no duration. */
export function goDurationMs(text: string): number | undefined {
  const match = /^([-+]?)(0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$/.exec(text);
  if (!match) return undefined;
  let sum = 0;
  for (const [, count, unit] of match[2]!.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g))
    sum += Number(count) * unitMs[unit!]!;
  return match[1] === "-" ? -sum : sum;
}

/** Milliseconds. Throws an `Error` for what is none, or below zero. */
export function parseGoDuration(text: string): number {
  const ms = goDurationMs(text);
  if (ms === undefined || text.startsWith("-"))
    throw new Error(`must be a duration such as 1m30s, not ${JSON.stringify(text)}`);
  return ms;
}

/** `1h0m0s`, `1m30s`, `250ms`, `0s`. */
export function formatGoDuration(ms: number): string {
  if (ms > 0 && ms < 1000) return `${ms}ms`;
  const seconds = ms / 1000;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = `${Number((seconds % 60).toFixed(3))}s`;
  if (hours > 0) return `${hours}h${minutes}m${rest}`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}
