import fc from "fast-check";
import { expect, test } from "vitest";
import { goDuration, KeyedBackoff } from "./backoff.ts";

test("the first try is free, then waits double up to the largest", () => {
  const backoff = new KeyedBackoff(10_000, 300_000);
  expect(backoff.remainingMs("a", 0, 0)).toBe(0);
  const delays: number[] = [];
  let nowMs = 0;
  for (let i = 0; i < 7; i++) {
    backoff.next("a", nowMs, nowMs);
    delays.push(backoff.remainingMs("a", nowMs, nowMs));
    nowMs += backoff.delayMs("a");
    expect(backoff.remainingMs("a", nowMs - backoff.delayMs("a"), nowMs)).toBe(0);
  }
  expect(delays).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
});

test("what went well for ten minutes starts over; what is forgotten too", () => {
  const backoff = new KeyedBackoff(10_000, 300_000);
  for (let i = 0; i < 5; i++) backoff.next("uid/a", 0, 0);
  backoff.next("uid/a", 600_001, 600_001);
  expect(backoff.delayMs("uid/a")).toBe(10_000);
  backoff.forget("uid/");
  expect(backoff.delayMs("uid/a")).toBe(0);
});

test("a wait is never negative and never longer than the largest", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1_000_000), { maxLength: 20 }), (steps) => {
      const backoff = new KeyedBackoff(1000, 60_000);
      let nowMs = 0;
      for (const step of steps) {
        nowMs += step;
        const left = backoff.remainingMs("k", nowMs, nowMs);
        expect(left).toBeGreaterThanOrEqual(0);
        expect(left).toBeLessThanOrEqual(60_000);
        backoff.next("k", nowMs, nowMs);
      }
    }),
  );
});

test.each([
  [10_000, "10s"],
  [80_000, "1m20s"],
  [300_000, "5m0s"],
  [3_600_000, "1h0m0s"],
])("%d ms is %s", (ms, text) => {
  expect(goDuration(ms)).toBe(text);
});

test("a short longest delay does not make what crashes start over sooner", () => {
  const backoff = new KeyedBackoff(5000, 5000);
  backoff.next("a", 0, 0);
  expect(backoff.remainingMs("a", 500_000, 500_000)).toBe(5000);
  expect(backoff.remainingMs("a", 600_001, 600_001)).toBe(0);
});

test("a clock that went back makes nobody wait longer than the delay", () => {
  const backoff = new KeyedBackoff(10_000, 60_000);
  const hourMs = 3_600_000;
  backoff.next("a", hourMs, hourMs);
  expect(backoff.remainingMs("a", hourMs, 0)).toBe(10_000);
});
