import { describe, expect, it } from "vitest";
import { systemClock } from "./clock.ts";
import { Turns } from "./turn.ts";

function busy(ms: number): void {
  for (const began = performance.now(); performance.now() - began < ms; );
}

describe("turns of the event loop", () => {
  it("hold short work without delay", async () => {
    const turns = new Turns(systemClock);
    const done: number[] = [];
    const work = [1, 2, 3].map((each) => turns.run(async () => done.push(each)));
    expect(done).toEqual([1, 2, 3]);
    expect(await Promise.all(work)).toEqual([1, 2, 3]);
  });

  it("end for work that would go on and on, in the order in which it came", async () => {
    const turns = new Turns(systemClock);
    const done: (number | string)[] = [];
    const timer = new Promise<void>((resolve) => {
      setTimeout(() => {
        done.push("timer");
        resolve();
      }, 1);
    });
    const work = Array.from({ length: 20 }, (_, i) =>
      turns.run(async () => {
        busy(6);
        done.push(i);
      }),
    );
    await Promise.all([timer, ...work]);
    expect(done.filter((each) => each !== "timer")).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(done.indexOf("timer")).toBeLessThan(10);
  });

  it("pass failures on", async () => {
    const turns = new Turns(systemClock);
    const failing = Array.from({ length: 3 }, () =>
      turns.run(async () => {
        busy(12);
        throw new Error("as expected");
      }),
    );
    for (const each of failing) await expect(each).rejects.toThrow("as expected");
  });
});
