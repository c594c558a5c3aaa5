/** Timestamps as Kubernetes writes them, and ages as `kubectl get` prints them. */

/** The last that was asked for: most of what is written in a second carries the same time. */
let [formattedSecond, formatted] = [Number.NaN, ""];

/** `2026-11-22T03:10:00Z`: seconds, UTC. */
export function formatTime(ms: number): string {
  const second = Math.floor(ms / 1_000);
  if (second !== formattedSecond)
    [formattedSecond, formatted] = [second, `${new Date(ms).toISOString().slice(0, 19)}Z`];
  return formatted;
}

/** `2026-11-22T03:10:00.123000Z`: microseconds, as Events and Leases use. */
export function formatMicroTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000Z`;
}

const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

/** Milliseconds since the epoch of an RFC 3339 timestamp; undefined when it is none. */
export function parseTime(text: string): number | undefined {
  const match = rfc3339.exec(text);
  if (!match) return undefined;
  const [, , month, day, hour, minute, second] = match.map(Number);
  if (month! < 1 || month! > 12 || day! < 1 || day! > 31 || hour! > 23 || minute! > 59 || second! > 59)
    return undefined;
  const ms = Date.parse(text.toUpperCase());
  if (Number.isNaN(ms)) return undefined;
  // 30 February would silently become March.
  return daysIn(match[1]!, match[2]!) < day! ? undefined : ms;
}

function daysIn(year: string, month: string): number {
  return new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
}

/** What Go's parser says of a text that is no timestamp. */
export function timeError(text: string): string {
  const quoted = JSON.stringify(text);
  return `parsing time ${quoted} as "2006-01-02T15:04:05Z07:00": cannot parse ${quoted} as "2006"`;
}

const canonicalMax = 1_024;
/** Texts that were found to be canonical: the same few stand in all that is written. */
const canonical = new Set<string>();

/** The canonical form of a timestamp: UTC, whole seconds. Undefined when it is none. */
export function canonicalTime(text: string): string | undefined {
  if (canonical.has(text)) return text;
  if (text.length === 20 && text.endsWith("Z")) {
    if (parseTime(text) === undefined) return undefined;
    if (canonical.size >= canonicalMax) canonical.clear();
    canonical.add(text);
    return text;
  }
  const ms = parseTime(text);
  return ms === undefined ? undefined : formatTime(ms);
}

/** As `canonicalTime`, with six digits of a second. */
export function canonicalMicroTime(text: string): string | undefined {
  const ms = parseTime(text);
  if (ms === undefined) return undefined;
  const fraction = (/\.(\d+)/.exec(text)?.[1] ?? "").padEnd(6, "0").slice(0, 6);
  return `${new Date(ms).toISOString().slice(0, 19)}.${fraction}Z`;
}

/**
 * A duration as kubectl shortens it: `5s`, `3m20s`, `13m`, `2h5m`, `26h`, `2d3h`, `12d`, `2y10d`.
 * https://github.com/kubernetes/apimachinery/blob/master/pkg/util/duration/duration.go
 */
export function formatAge(durationMs: number): string {
  const seconds = Math.trunc(durationMs / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return pair(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return pair(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (hours < 192) return pair(days, "d", hours % 24, "h");
  if (hours < 24 * 365 * 2) return `${days}d`;
  const years = Math.trunc(days / 365);
  return hours < 24 * 365 * 8 ? pair(years, "y", days % 365, "d") : `${years}y`;
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

/** The AGE cell of a timestamp; `<unknown>` without one. */
export function ageOf(timestamp: string | undefined, nowMs: number): string {
  const ms = timestamp === undefined ? undefined : parseTime(timestamp);
  return ms === undefined ? "<unknown>" : formatAge(nowMs - ms);
}
