import fc from "fast-check";
import { expect, it } from "vitest";
import { Gate } from "./gate.ts";

it("seats no more than it has, in order, and refuses what would wait too much", async () => {
  const gate = new Gate({ seatsMax: 2, waitingMax: 2, waitingMaxBytes: 100 });
  const started: number[] = [];
  const finish: (() => void)[] = [];
  const request = (id: number, bytes = 10) =>
    gate.run(bytes, () => {
      started.push(id);
      return new Promise<number>((resolve) => finish.push(() => resolve(id)));
    });
  const running = [request(1), request(2), request(3, 95)];
  await expect(request(4, 10)).rejects.toMatchObject({
    code: 429,
    status: { details: { retryAfterSeconds: 1 } },
  });
  running.push(request(5, 5));
  await expect(request(6, 0)).rejects.toMatchObject({ code: 429 });
  expect([started, gate.inFlight]).toEqual([[1, 2], 4]);
  while (finish.length > 0) {
    finish.shift()!();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await Promise.all(running)).toEqual([1, 2, 3, 5]);
  expect([started, gate.inFlight]).toEqual([[1, 2, 3, 5], 0]);
});

it("never seats too many, and gives every seat back, whatever fails", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 40 }), async (outcomes) => {
      const gate = new Gate({ seatsMax: 3, waitingMax: 100, waitingMaxBytes: 100 });
      let inside = 0;
      const work = outcomes.map((fails) =>
        gate.run(1, async () => {
          expect(++inside).toBeLessThanOrEqual(3);
          await Promise.resolve();
          inside--;
          if (fails) throw new Error("failed");
        }),
      );
      const results = await Promise.allSettled(work);
      expect(results.map((r) => r.status === "rejected")).toEqual(outcomes);
      expect(gate.inFlight).toBe(0);
    }),
  );
});
