/**
 * Schedules of CronJobs: five fields, or `@daily` and its like, or `@every 90m`. What is allowed and what is said of the
 * rest is upstream's; when it falls due in a time zone is croner's business.
 * https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax
 */
import { Cron } from "croner";

export interface Schedule {
  /** The first time after this one; undefined when there is none (30 February). */
  next(afterMs: number): number | undefined;
}

/** A text that is no schedule; the message is for the user. */
export class ScheduleError extends Error {}

interface Field {
  min: number;
  max: number;
  names?: readonly string[];
}

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const fields: readonly Field[] = [
  { min: 0, max: 59 },
  { min: 0, max: 23 },
  { min: 1, max: 31 },
  { min: 1, max: 12, names: months },
  { min: 0, max: 6, names: weekdays },
];

const descriptors: ReadonlyMap<string, string> = new Map([
  ["@yearly", "0 0 1 1 *"],
  ["@annually", "0 0 1 1 *"],
  ["@monthly", "0 0 1 * *"],
  ["@weekly", "0 0 * * 0"],
  ["@daily", "0 0 * * *"],
  ["@midnight", "0 0 * * *"],
  ["@hourly", "0 * * * *"],
]);

/** Throws `ScheduleError`. Without a time zone the schedule is in UTC. */
export function parseSchedule(text: string, timeZone = "UTC"): Schedule {
  const every = /^@every (.*)$/.exec(text);
  if (every) return everySchedule(text, every[1] ?? "");
  if (text.startsWith("@") && !descriptors.has(text))
    throw new ScheduleError(`unrecognized descriptor: ${text}`);
  const parts = (descriptors.get(text) ?? text).split(/\s+/).filter(Boolean);
  if (parts.length !== fields.length) {
    const found = `found ${parts.length}: [${parts.join(" ")}]`;
    throw new ScheduleError(`expected exactly ${fields.length} fields, ${found}`);
  }
  const pattern = parts.map((part, i) => expandField(part, fields[i] as Field)).join(" ");
  const cron = new Cron(pattern, { timezone: timeZone, mode: "5-part", paused: true });
  return { next: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() };
}

const durationUnits: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** Counts from the time before, in whole seconds, at least one. */
function everySchedule(text: string, duration: string): Schedule {
  if (!/^(\d+(\.\d+)?(ns|us|\u00b5s|ms|s|m|h))+$/.test(duration)) {
    const why = `time: invalid duration ${JSON.stringify(duration)}`;
    throw new ScheduleError(`failed to parse duration ${text}: ${why}`);
  }
  let ms = 0;
  for (const [, amount, , unit] of duration.matchAll(/(\d+(\.\d+)?)(ns|us|\u00b5s|ms|s|m|h)/g))
    ms += Number(amount) * (durationUnits[unit ?? ""] ?? 0);
  const stepMs = Math.max(1_000, Math.floor(ms / 1_000) * 1_000);
  return { next: (afterMs) => Math.floor(afterMs / 1_000) * 1_000 + stepMs };
}

/** The field's numbers as a plain list; a field that restricts nothing stays `*`, which matters to the two day fields. */
function expandField(text: string, field: Field): string {
  const ranges = text.split(",").map((part) => rangeOf(part, field));
  if (ranges.some((range) => range.all)) return "*";
  const numbers = new Set<number>();
  for (const { from, to, step } of ranges) {
    for (let number = from; number <= to; number += step) numbers.add(number);
  }
  return [...numbers].sort((a, b) => a - b).join(",");
}

interface Range {
  from: number;
  to: number;
  step: number;
  all: boolean;
}

function rangeOf(text: string, field: Field): Range {
  const [bounds = "", stepText, ...more] = text.split("/");
  const [low = "", high, ...rest] = bounds.split("-");
  if (rest.length > 0) throw new ScheduleError(`too many hyphens: ${text}`);
  if (more.length > 0) throw new ScheduleError(`too many slashes: ${text}`);
  const isAll = low === "*" || low === "?";
  const from = isAll ? field.min : numberOf(low, field);
  const end = high === undefined ? from : numberOf(high, field);
  const step = stepText === undefined ? 1 : numberOf(stepText);
  // `5/15` runs from 5 to the end.
  const to = isAll || (high === undefined && stepText !== undefined) ? field.max : end;
  if (from < field.min)
    throw new ScheduleError(`beginning of range (${from}) below minimum (${field.min}): ${text}`);
  if (to > field.max) throw new ScheduleError(`end of range (${to}) above maximum (${field.max}): ${text}`);
  if (from > to) throw new ScheduleError(`beginning of range (${from}) beyond end of range (${to}): ${text}`);
  if (step === 0) throw new ScheduleError(`step of range should be a positive number: ${text}`);
  return { from, to, step, all: isAll && step === 1 };
}

function numberOf(text: string, field?: Field): number {
  const index = field?.names?.indexOf(text.toLowerCase()) ?? -1;
  if (field && index >= 0) return field.min + index;
  if (/^-\d+$/.test(text)) throw new ScheduleError(`negative number (${text}) not allowed: ${text}`);
  if (!/^\d{1,9}$/.test(text)) {
    const quoted = JSON.stringify(text);
    throw new ScheduleError(
      `failed to parse int from ${text}: strconv.Atoi: parsing ${quoted}: invalid syntax`,
    );
  }
  return Number(text);
}

/** Whether the name is one of https://www.iana.org/time-zones that this machine knows. */
export function isTimeZone(name: string): boolean {
  // Offsets are no zones, though the language would take them.
  if (!/^[A-Za-z_]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
