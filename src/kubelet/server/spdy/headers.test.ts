import { constants, inflateSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { HeaderCompressor, headerBlock, headerDictionary } from "./headers.ts";

function adler32(bytes: Buffer): number {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return b * 65_536 + a;
}

test("the dictionary is the one of SPDY/3, byte for byte", () => {
  expect(headerDictionary.length).toBe(1423);
  expect(adler32(headerDictionary)).toBe(0xe3c6a7c2);
});

test("the blocks of a connection are one zlib stream", () => {
  const headers = fc.dictionary(fc.stringMatching(/^[a-z-]{1,20}$/), fc.string({ maxLength: 200 }));
  fc.assert(
    fc.property(fc.array(headers, { minLength: 1, maxLength: 8 }), (blocks) => {
      const compressor = new HeaderCompressor();
      const stream = Buffer.concat(blocks.map((block) => compressor.compress(block)));
      const finishFlush = constants.Z_SYNC_FLUSH;
      const plain = inflateSync(stream, { dictionary: headerDictionary, finishFlush });
      expect(plain).toEqual(Buffer.concat(blocks.map(headerBlock)));
    }),
  );
});

test("names are sent in lower case, with their lengths", () => {
  expect(headerBlock({ StreamType: "é" }).toString("hex")).toBe(
    `00000001${"0000000a"}${Buffer.from("streamtype").toString("hex")}00000002c3a9`,
  );
});
