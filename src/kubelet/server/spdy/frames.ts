/**
 * Frames of SPDY/3.1, as far as a client needs them: what it sends, and what it understands of a peer.
 * https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/#26-control-frame-types
 */

/** The peer broke the protocol: the connection cannot go on. */
export class SpdyError extends Error {
  override name = "SpdyError";
}

export type Frame =
  | { type: "data"; streamId: number; data: Buffer; fin: boolean }
  | { type: "reply"; streamId: number; fin: boolean }
  | { type: "headers"; streamId: number; fin: boolean }
  | { type: "reset"; streamId: number; status: number }
  | { type: "stream"; streamId: number }
  | { type: "ping"; id: number }
  | { type: "goAway" };

const types = { synStream: 1, synReply: 2, rstStream: 3, ping: 6, goAway: 7, headers: 8 } as const;
const version = 3;
const headBytes = 8;
const finFlag = 0x01;
const streamIdMask = 0x7fff_ffff;
/** Peers send a few headers at most; more is no runtime. */
const controlMaxBytes = 64 * 1024;
/** Small enough that one stream does not hold up the others for long. */
const dataMaxBytes = 32 * 1024;

export const resetStatus = { refusedStream: 3 } as const;

function controlFrame(type: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE((0x8000_0000 + version * 0x1_0000 + type) >>> 0, 0);
  head.writeUInt32BE(flags * 0x100_0000 + payload.length, 4);
  return Buffer.concat([head, payload]);
}

function words(...values: number[]): Buffer {
  const payload = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => {
    payload.writeUInt32BE(value, i * 4);
  });
  return payload;
}

export function synStreamFrame(streamId: number, compressedHeaders: Buffer): Buffer {
  // No parent; priority 0, the highest; no credential slot.
  return controlFrame(
    types.synStream,
    0,
    Buffer.concat([words(streamId, 0), Buffer.from([0, 0]), compressedHeaders]),
  );
}

export function resetFrame(streamId: number, status: number): Buffer {
  return controlFrame(types.rstStream, 0, words(streamId, status));
}

export function pingFrame(id: number): Buffer {
  return controlFrame(types.ping, 0, words(id));
}

export function goAwayFrame(): Buffer {
  return controlFrame(types.goAway, 0, words(0, 0));
}

function dataHead(streamId: number, length: number, fin: boolean): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(streamId, 0);
  head.writeUInt32BE((fin ? finFlag * 0x100_0000 : 0) + length, 4);
  return head;
}

/** Bytes for a stream as frames; none for no bytes. */
export function dataFrames(streamId: number, bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += dataMaxBytes) {
    const part = bytes.subarray(at, at + dataMaxBytes);
    frames.push(dataHead(streamId, part.length, false), part);
  }
  return frames;
}

/** This side has no more to say on the stream. */
export function finFrame(streamId: number): Buffer {
  return dataHead(streamId, 0, true);
}

interface Head {
  /** The type of a control frame; undefined for data. */
  control: number | undefined;
  streamId: number;
  fin: boolean;
  length: number;
}

function headOf(bytes: Buffer): Head {
  const first = bytes.readUInt32BE(0);
  const second = bytes.readUInt32BE(4);
  const fin = ((second >>> 24) & finFlag) !== 0;
  const length = second & 0xff_ffff;
  if (first < 0x8000_0000) {
    if (first === 0) throw new SpdyError("data for stream 0");
    return { control: undefined, streamId: first, fin, length };
  }
  const spoken = (first >>> 16) & 0x7fff;
  if (spoken !== version) throw new SpdyError(`version ${spoken} of SPDY is not spoken here`);
  if (length > controlMaxBytes) throw new SpdyError(`a control frame of ${length} bytes is too long`);
  return { control: first & 0xffff, streamId: 0, fin, length };
}

const leastBytes: ReadonlyMap<number, number> = new Map([
  [types.synStream, 10],
  [types.synReply, 4],
  [types.rstStream, 8],
  [types.ping, 4],
  [types.goAway, 4],
  [types.headers, 4],
]);

/**
 * The meaning of a control frame. Headers stay compressed: nothing that a runtime says in them concerns the client.
 * Undefined for what may be passed over: settings, window sizes, types of the future.
 */
function controlMeaning({ control, fin }: Head, payload: Buffer): Frame | undefined {
  const least = leastBytes.get(control!);
  if (least === undefined) return undefined;
  if (payload.length < least) throw new SpdyError(`a control frame of type ${control} is cut short`);
  const id = payload.readUInt32BE(0);
  if (control === types.ping) return { type: "ping", id };
  if (control === types.goAway) return { type: "goAway" };
  const streamId = id & streamIdMask;
  if (streamId === 0) throw new SpdyError(`a control frame of type ${control} for stream 0`);
  if (control === types.synStream) return { type: "stream", streamId };
  if (control === types.rstStream) return { type: "reset", streamId, status: payload.readUInt32BE(4) };
  return { type: control === types.synReply ? "reply" : "headers", streamId, fin };
}

/** Takes frames out of bytes that come in pieces of any size. Data is handed on as it comes, never gathered. */
export class FrameReader {
  readonly #headBytes = Buffer.alloc(headBytes);
  #headFilled = 0;
  #head: Head | undefined;
  #left = 0;
  #payload: Buffer[] = [];

  *read(chunk: Buffer): Generator<Frame> {
    let at = 0;
    while (at < chunk.length) {
      if (!this.#head) {
        at += this.#fillHead(chunk.subarray(at));
        if (!this.#head) return;
      }
      const part = chunk.subarray(at, at + this.#left);
      at += part.length;
      this.#left -= part.length;
      const frame = this.#take(this.#head, part);
      if (frame) yield frame;
    }
  }

  #fillHead(chunk: Buffer): number {
    const copied = chunk.copy(this.#headBytes, this.#headFilled);
    this.#headFilled += copied;
    if (this.#headFilled === headBytes) {
      this.#headFilled = 0;
      this.#head = headOf(this.#headBytes);
      this.#left = this.#head.length;
    }
    return copied;
  }

  #take(head: Head, part: Buffer): Frame | undefined {
    const complete = this.#left === 0;
    if (complete) this.#head = undefined;
    if (head.control === undefined) {
      const fin = complete && head.fin;
      return part.length > 0 || fin ? { type: "data", streamId: head.streamId, data: part, fin } : undefined;
    }
    this.#payload.push(part);
    if (!complete) return undefined;
    const payload = Buffer.concat(this.#payload);
    this.#payload = [];
    return controlMeaning(head, payload);
  }
}
