/** Go's durations, as configuration files write them: `1h30m`, `250ms`. */

const unitMs: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
  ns: 0.000_001,
};

/** Milliseconds. Throws an `Error` for what is none, or below zero. */
export function parseGoDuration(text: string): number {
  if (text === "0") return 0;
  if (!/^\+?(\d+(\.\d+)?(h|ms|m|s|us|µs|ns))+$/.test(text))
    throw new Error(`must be a duration such as 1m30s, not ${JSON.stringify(text)}`);
  let sum = 0;
  for (const [, amount, , unit] of text.matchAll(/(\d+(\.\d+)?)(h|ms|m|s|us|µs|ns)/g))
    sum += Number(amount) * unitMs[unit!]!;
  return sum;
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
