import fc from "fast-check";
import { expect, test } from "vitest";
import { isTimeZone, parseSchedule, ScheduleError } from "./schedule.ts";

const times = (text: string, from: string, count: number, timeZone?: string) => {
  const schedule = parseSchedule(text, timeZone);
  const found: string[] = [];
  for (
    let at = schedule.next(Date.parse(from));
    at !== undefined && found.length < count;
    at = schedule.next(at)
  )
    found.push(new Date(at).toISOString().slice(0, 16));
  return found;
};

test("fields, lists, ranges, steps, names and descriptors", () => {
  const start = "2026-01-01T00:00:00Z";
  expect(times("*/20 9-10 * * mon-fri", start, 4)).toEqual([
    "2026-01-01T09:00",
    "2026-01-01T09:20",
    "2026-01-01T09:40",
    "2026-01-01T10:00",
  ]);
  expect(times("5/25 0 * JAN ?", start, 3)).toEqual([
    "2026-01-01T00:05",
    "2026-01-01T00:30",
    "2026-01-01T00:55",
  ]);
  expect(times("@monthly", start, 2)).toEqual(["2026-02-01T00:00", "2026-03-01T00:00"]);
  expect(times("@every 90m", start, 2)).toEqual(["2026-01-01T01:30", "2026-01-01T03:00"]);
  // Where both day fields restrict, either of them is enough.
  expect(times("0 0 13 * 5", start, 3)).toEqual(["2026-01-02T00:00", "2026-01-09T00:00", "2026-01-13T00:00"]);
  expect(times("0 0 30 2 *", start, 1)).toEqual([]);
});

test("time zones, their summer time too", () => {
  expect(times("0 9 * * *", "2026-03-28T00:00:00Z", 2, "Europe/Oslo")).toEqual([
    "2026-03-28T08:00",
    "2026-03-29T07:00",
  ]);
  expect(isTimeZone("America/New_York")).toBe(true);
  for (const name of ["Mars/Base", "+01:00", "", "../etc"]) expect(isTimeZone(name)).toBe(false);
});

test("what is no schedule is told in upstream's words", () => {
  const said = (text: string) => {
    try {
      parseSchedule(text);
      return undefined;
    } catch (error) {
      return error instanceof ScheduleError ? error.message : error;
    }
  };
  expect(said("60 * * * *")).toBe("end of range (60) above maximum (59): 60");
  expect(said("* * 0 * *")).toBe("beginning of range (0) below minimum (1): 0");
  expect(said("* * * * 7")).toBe("end of range (7) above maximum (6): 7");
  expect(said("5-1 * * * *")).toBe("beginning of range (5) beyond end of range (1): 5-1");
  expect(said("*/0 * * * *")).toBe("step of range should be a positive number: */0");
  expect(said("a * * * *")).toBe('failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax');
  expect(said("@never")).toBe("unrecognized descriptor: @never");
  expect(said("")).toBe("expected exactly 5 fields, found 0: []");
});

test("property: any text is a schedule or a clear error, and times only go forward", () => {
  const part = fc.stringMatching(/^[0-9*,/?a-z-]{1,8}$/);
  fc.assert(
    fc.property(fc.array(part, { minLength: 5, maxLength: 5 }), (parts) => {
      try {
        const schedule = parseSchedule(parts.join(" "));
        const from = Date.UTC(2026, 0, 1);
        expect(schedule.next(from) ?? Number.POSITIVE_INFINITY).toBeGreaterThan(from);
      } catch (error) {
        expect(error).toBeInstanceOf(ScheduleError);
      }
    }),
    { numRuns: 300 },
  );
});
