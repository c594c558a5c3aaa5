import { expect, test } from "vitest";
import { VirtualClock } from "#base";
import { timeoutOf, withDeadline } from "./deadline.ts";

const of = (timeout: string) => timeoutOf(new URLSearchParams({ timeout }));

test.each([
  ["", 60_000],
  ["0s", 60_000],
  ["5s", 5_000],
  ["1.5s", 1_500],
  ["1m", 60_000],
  ["500ms", 500],
  ["1s500ms", 1_500],
  ["2h", 60_000],
  ["-1s", 60_000],
])("timeout=%s allows %i ms", (timeout, ms) => {
  expect(of(timeout)).toBe(ms);
});

test.each(["invalid", "5", "5 s", "s", "1s x"])("timeout=%s is refused", (timeout) => {
  expect(() => of(timeout)).toThrow("invalid timeout specified in the request URL");
});

test("what takes too long is answered with 504, what comes in time as it is", async () => {
  const clock = new VirtualClock();
  const late = withDeadline(clock, 1000, new Promise(() => {}));
  const refused = expect(late).rejects.toMatchObject({
    code: 504,
    status: { reason: "Timeout", message: "Timeout: request did not complete within the allotted timeout" },
  });
  await clock.advance(1000);
  await refused;
  expect(await withDeadline(clock, 1000, Promise.resolve(1))).toBe(1);
  await expect(withDeadline(clock, 1000, Promise.reject(new Error("no")))).rejects.toThrow("no");
});
