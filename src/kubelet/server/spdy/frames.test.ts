import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { controlFrame, dataFrame, replyFrame, resetFrameOf, uint32 } from "../../testing/spdy-peer.ts";
import { dataFrames, type Frame, FrameReader, finFrame, SpdyError } from "./frames.ts";

const streamId = fc.integer({ min: 1, max: 0x7fff_ffff });

/** A frame as the peer sends it, and what the client should understand. */
const frame: fc.Arbitrary<{ bytes: Buffer; meaning: Frame | undefined }> = fc.oneof(
  fc
    .record({ id: streamId, data: fc.uint8Array({ maxLength: 300 }), fin: fc.boolean() })
    .map(({ id, data, fin }) => ({
      bytes: dataFrame(id, Buffer.from(data), fin),
      meaning:
        data.length > 0 || fin
          ? ({ type: "data", streamId: id, data: Buffer.from(data), fin } as const)
          : undefined,
    })),
  fc.tuple(streamId, fc.boolean()).map(([id, fin]) => ({
    bytes: replyFrame(id, fin),
    meaning: { type: "reply", streamId: id, fin } as const,
  })),
  fc.tuple(streamId, fc.integer({ min: 1, max: 11 })).map(([id, status]) => ({
    bytes: resetFrameOf(id, status),
    meaning: { type: "reset", streamId: id, status } as const,
  })),
  streamId.map((id) => ({ bytes: controlFrame(6, uint32(id)), meaning: { type: "ping", id } as const })),
  streamId.map((id) => ({
    bytes: controlFrame(7, uint32(id, 0)),
    meaning: { type: "goAway" } as const,
  })),
  streamId.map((id) => ({
    bytes: controlFrame(8, Buffer.concat([uint32(id), Buffer.from("packed")]), 1),
    meaning: { type: "headers", streamId: id, fin: true } as const,
  })),
  streamId.map((id) => ({
    bytes: controlFrame(1, Buffer.concat([uint32(id, 0), Buffer.alloc(20)])),
    meaning: { type: "stream", streamId: id } as const,
  })),
  // Settings, a window size, and a type nobody knows: passed over.
  fc.constantFrom(4, 9, 77).map((type) => ({
    bytes: controlFrame(type, Buffer.alloc(8)),
    meaning: undefined,
  })),
);

/** The bytes in pieces, cut anywhere. */
function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const borders = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return borders.slice(1).map((end, i) => bytes.subarray(borders[i]!, end));
}

function readAll(chunks: readonly Buffer[]): Frame[] {
  const reader = new FrameReader();
  return chunks.flatMap((chunk) => [...reader.read(chunk)]);
}

/** Data frames come in parts: laid together again. */
function joined(frames: readonly Frame[]): Frame[] {
  const result: Frame[] = [];
  for (const next of frames) {
    const last = result.at(-1);
    if (next.type === "data" && last?.type === "data" && last.streamId === next.streamId && !last.fin)
      result[result.length - 1] = { ...next, data: Buffer.concat([last.data, next.data]) };
    else result.push(next);
  }
  return result;
}

describe("reading frames", () => {
  test("means the same wherever the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        (frames, cuts) => {
          const bytes = Buffer.concat(frames.map((f) => f.bytes));
          const expected = frames.flatMap((f) => f.meaning ?? []);
          expect(joined(readAll(pieces(bytes, cuts)))).toEqual(joined(expected));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("hostile bytes end in a SpdyError or in frames, never in anything else", () => {
    const start = fc.constantFrom("", "8003", "80030001", "8003000200000004", "00000001ff");
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 200 }), (head, tail) => {
        try {
          readAll([Buffer.concat([Buffer.from(head, "hex"), Buffer.from(tail)])]);
        } catch (error) {
          expect(error).toBeInstanceOf(SpdyError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ["another version", controlFrame(2, uint32(1), 0, 2), "version 2"],
    ["data for no stream", dataFrame(0, "x"), "stream 0"],
    ["a reply for no stream", replyFrame(0), "stream 0"],
    ["a reset cut short", controlFrame(3, uint32(1)), "cut short"],
    ["a ping cut short", controlFrame(6, Buffer.alloc(2)), "cut short"],
    ["headers of megabytes", Buffer.from("8003000800ffffff", "hex"), "too long"],
  ])("%s is refused", (_, bytes, words) => {
    expect(() => readAll([bytes])).toThrow(words);
  });

  test("data is handed on before its frame is complete", () => {
    const reader = new FrameReader();
    const bytes = Buffer.concat([Buffer.from("0000000300ffffff", "hex"), Buffer.from("begin")]);
    expect([...reader.read(bytes)]).toEqual([
      { type: "data", streamId: 3, data: Buffer.from("begin"), fin: false },
    ]);
  });
});

test("what is written is read back, in frames of bounded length", () => {
  const bytes = Buffer.alloc(100_000, "cargo");
  const frames = dataFrames(5, bytes);
  expect(frames.every((f) => f.length <= 32 * 1024)).toBe(true);
  const read = joined(readAll([...frames, finFrame(5)]));
  expect(read).toEqual([{ type: "data", streamId: 5, data: bytes, fin: true }]);
  expect(dataFrames(5, Buffer.alloc(0))).toEqual([]);
});
