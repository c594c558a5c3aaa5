/** A runtime's side of SPDY/3.1 for tests: it agrees to every stream, notes what comes, and says what it is told. */
import type { Duplex } from "node:stream";
import { constants, inflateSync } from "node:zlib";
import { headerDictionary } from "../server/spdy/headers.ts";

export function controlFrame(type: number, payload: Buffer, flags = 0, version = 3): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(0x8000 + version, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt32BE(flags * 0x100_0000 + payload.length, 4);
  return Buffer.concat([head, payload]);
}

export function dataFrame(streamId: number, data: Buffer | string, fin = false): Buffer {
  const head = Buffer.alloc(8);
  const bytes = Buffer.from(data);
  head.writeUInt32BE(streamId, 0);
  head.writeUInt32BE((fin ? 0x100_0000 : 0) + bytes.length, 4);
  return Buffer.concat([head, bytes]);
}

export function uint32(...values: number[]): Buffer {
  return Buffer.concat(
    values.map((value) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      return bytes;
    }),
  );
}

export const replyFrame = (streamId: number, fin = false) => controlFrame(2, uint32(streamId), fin ? 1 : 0);
export const resetFrameOf = (streamId: number, status: number) => controlFrame(3, uint32(streamId, status));

function parseHeaders(block: Buffer): Record<string, string> {
  const headers: Record<string, string> = {};
  let at = 4;
  const text = () => {
    const length = block.readUInt32BE(at);
    at += 4 + length;
    return block.subarray(at - length, at).toString();
  };
  for (let left = block.readUInt32BE(0); left > 0; left--) {
    const name = text();
    headers[name] = text();
  }
  return headers;
}

interface SeenStream {
  id: number;
  headers: Record<string, string>;
  received: Buffer;
  ended: boolean;
}

export class SpdyPeer {
  readonly streams: SeenStream[] = [];
  readonly controls: { type: number; payload: Buffer }[] = [];
  readonly #socket: Duplex;
  #rest = Buffer.alloc(0);
  #compressed = Buffer.alloc(0);
  #inflated = 0;
  #agrees: boolean;

  constructor(socket: Duplex, options: { agrees?: boolean } = {}) {
    this.#socket = socket;
    this.#agrees = options.agrees ?? true;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      this.#rest = Buffer.concat([this.#rest, chunk]);
      while (this.#rest.length >= 8 && this.#rest.length >= 8 + this.#rest.readUIntBE(5, 3)) {
        const length = 8 + this.#rest.readUIntBE(5, 3);
        this.#take(this.#rest.subarray(0, length));
        this.#rest = this.#rest.subarray(length);
      }
    });
  }

  send(...frames: Buffer[]): void {
    this.#socket.write(Buffer.concat(frames));
  }

  stream(type: string): SeenStream | undefined {
    return this.streams.find((s) => s.headers.streamtype === type);
  }

  #take(frame: Buffer): void {
    const fin = (frame[4]! & 1) !== 0;
    if (frame[0]! < 0x80) {
      const stream = this.streams.find((s) => s.id === frame.readUInt32BE(0));
      if (!stream) throw new Error("data for a stream that was not opened");
      stream.received = Buffer.concat([stream.received, frame.subarray(8)]);
      stream.ended ||= fin;
      return;
    }
    const type = frame.readUInt16BE(2);
    if (type !== 1) {
      this.controls.push({ type, payload: frame.subarray(8) });
      return;
    }
    const id = frame.readUInt32BE(8);
    this.streams.push({
      id,
      headers: this.#headers(frame.subarray(18)),
      received: Buffer.alloc(0),
      ended: fin,
    });
    if (this.#agrees) this.send(replyFrame(id));
  }

  /** All blocks of the connection are one zlib stream: the newest is what comes out anew. */
  #headers(block: Buffer): Record<string, string> {
    this.#compressed = Buffer.concat([this.#compressed, block]);
    const finishFlush = constants.Z_SYNC_FLUSH;
    const all = inflateSync(this.#compressed, { dictionary: headerDictionary, finishFlush });
    const fresh = all.subarray(this.#inflated);
    this.#inflated = all.length;
    return parseHeaders(fresh);
  }
}
