import fc from "fast-check";
import { expect, test } from "vitest";
import { VirtualClock } from "#base";
import { InterruptedError } from "./abortable.ts";
import { RuntimeTurns, type TurnKind } from "./turns.ts";

/** Two processors: six at once. */
const atOnce = 6;
const idle = new AbortController().signal;
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

function fixture() {
  const clock = new VirtualClock();
  const turns = new RuntimeTurns(clock, 2);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const start = (name: string, kind: TurnKind = "sandbox", signal = idle) =>
    turns.run(kind, signal, () => {
      begun.push(name);
      return new Promise<void>((resolve) => ends.set(name, resolve));
    });
  const end = async (name: string) => {
    ends.get(name)!();
    await settle();
  };
  const fill = async () => {
    for (let i = 0; i < atOnce; i++) void start(`first-${i}`);
    await settle();
    begun.length = 0;
  };
  return { clock, start, end, fill, begun };
}

test("what makes a pod whole goes before what begins another, and otherwise the first to come", async () => {
  const { start, end, fill, begun } = fixture();
  await fill();
  void start("sandbox-1");
  void start("sandbox-2");
  void start("container", "container");
  await settle();
  expect(begun).toEqual([]);
  await end("first-0");
  await end("first-1");
  expect(begun).toEqual(["container", "sandbox-1"]);
});

test("what waits for something else does not keep others waiting, and gives its turn away once", async () => {
  const { clock, start, end, fill, begun } = fixture();
  await fill();
  for (let i = 0; i < atOnce + 1; i++) void start(`next-${i}`);
  await clock.advance(1_999);
  expect(begun).toEqual([]);
  await clock.advance(1);
  expect(begun).toHaveLength(atOnce);
  await end("first-0");
  expect(begun).toHaveLength(atOnce);
});

test("who is interrupted while waiting has begun nothing", async () => {
  const { start, end, fill, begun } = fixture();
  await fill();
  const newer = new AbortController();
  const waiting = start("deleted", "sandbox", newer.signal);
  newer.abort();
  await expect(waiting).rejects.toThrow(InterruptedError);
  await expect(start("late", "container", newer.signal)).rejects.toThrow(InterruptedError);
  void start("other");
  await end("first-0");
  expect(begun).toEqual(["other"]);
});

test("everybody has a turn, never too many at once, whoever fails or leaves", async () => {
  const work = fc.record({
    kind: fc.constantFrom<TurnKind>("sandbox", "container"),
    fails: fc.boolean(),
    leaves: fc.boolean(),
    rounds: fc.nat(3),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(work, { maxLength: 40 }), async (all) => {
      const turns = new RuntimeTurns(new VirtualClock(), 2);
      let busy = 0;
      let most = 0;
      const outcomes = await Promise.allSettled(
        all.map(({ kind, fails, leaves, rounds }) => {
          const leaving = new AbortController();
          const done = turns.run(kind, leaving.signal, async () => {
            most = Math.max(most, ++busy);
            for (let i = 0; i < rounds; i++) await settle();
            busy--;
            if (fails) throw new Error("refused");
          });
          if (leaves) leaving.abort();
          return done;
        }),
      );
      expect(most).toBeLessThanOrEqual(atOnce);
      const left = outcomes.filter((o) => o.status === "rejected" && o.reason instanceof InterruptedError);
      expect(left.length).toBeLessThanOrEqual(all.filter(({ leaves }) => leaves).length);
      // None is lost: as many as before can be busy again.
      await Promise.all(Array.from({ length: atOnce }, () => turns.run("sandbox", idle, settle)));
    }),
    { numRuns: 50 },
  );
});
