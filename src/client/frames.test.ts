import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeFrames, encodeFrame, letStandFor } from "./frames.ts";

async function* chunksOf(bytes: Buffer, cuts: number[]) {
  let start = 0;
  for (const cut of [...cuts, bytes.length]) {
    const end = Math.max(start, Math.min(cut, bytes.length));
    yield bytes.subarray(start, end);
    start = end;
  }
}

async function collect(frames: AsyncIterable<unknown>): Promise<unknown[]> {
  const values: unknown[] = [];
  for await (const value of frames) values.push(value);
  return values;
}

test("frames survive any cutting into chunks, inside of characters too", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ type: fc.string({ unit: "grapheme" }), n: fc.integer() }), { maxLength: 8 }),
      fc.array(fc.nat(300), { maxLength: 12 }),
      async (values, cuts) => {
        const bytes = Buffer.concat(values.map(encodeFrame));
        const decoded = await collect(
          decodeFrames(
            chunksOf(
              bytes,
              cuts.sort((a, b) => a - b),
            ),
          ),
        );
        expect(decoded).toEqual(values);
      },
    ),
  );
});

test("a torn last frame is an error", async () => {
  const torn = Buffer.concat([encodeFrame({ a: 1 }), Buffer.from('{"b":')]);
  await expect(collect(decodeFrames(chunksOf(torn, [])))).rejects.toThrow(SyntaxError);
});

test("a frame that stands for an object is that object, between others", async () => {
  const event = { type: "ADDED" };
  const frame = Buffer.from("x");
  letStandFor(frame, event);
  const others = [encodeFrame({ n: 1 }), encodeFrame({ n: 2 })] as const;
  async function* chunks() {
    yield* [others[0], frame, others[1]];
  }
  const values = await collect(decodeFrames(chunks()));
  expect(values).toEqual([{ n: 1 }, event, { n: 2 }]);
  expect(values[1]).toBe(event);
});
