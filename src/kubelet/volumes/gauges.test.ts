import { expect, test } from "vitest";
import { createWorld, silentLogger, VirtualClock } from "#base";
import { createGauges } from "./gauges.ts";

function setUp(ageMaxMs = 60_000) {
  const clock = new VirtualClock();
  const gauges = createGauges(createWorld({ clock, log: silentLogger }), ageMaxMs);
  return { clock, gauges, asked: () => [...gauges.of("pod")] };
}

test("what a volume holds is known at the second question, and measured once a minute", async () => {
  const { clock, gauges, asked } = setUp();
  let measured = 0;
  gauges.follow("pod", "v", async () => ({ usedBytes: ++measured }));
  expect(asked()).toEqual([]);
  await clock.advance(1);
  expect(asked()).toEqual([["v", { usedBytes: 1 }]]);
  await clock.advance(60_000);
  asked();
  await clock.advance(1);
  expect(asked()).toEqual([["v", { usedBytes: 2 }]]);
  gauges.forget("pod");
  expect(asked()).toEqual([]);
});

test("nothing is measured where nobody wants it", async () => {
  const { clock, gauges, asked } = setUp(-1);
  let measured = 0;
  gauges.follow("pod", "v", async () => ({ usedBytes: ++measured }));
  asked();
  await clock.advance(120_000);
  expect([asked(), measured]).toEqual([[], 0]);
});

test("one that never answers is asked once, and one that fails is asked again", async () => {
  const { clock, gauges, asked } = setUp();
  let questions = 0;
  gauges.follow("pod", "hangs", () => {
    questions++;
    return new Promise(() => {});
  });
  let failures = 0;
  gauges.follow("pod", "fails", async () => {
    failures++;
    throw new Error("gone");
  });
  for (let i = 0; i < 3; i++) {
    expect(asked()).toEqual([]);
    await clock.advance(60_000);
  }
  expect(questions).toBe(1);
  expect(failures).toBe(3);
});
