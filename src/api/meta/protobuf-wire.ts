/** The protobuf wire format: what the codec of API objects is made of. https://protobuf.dev/programming-guides/encoding/ */
import { DecodeError } from "./decode.ts";

export const wireVarint = 0;
const wireFixed64 = 1;
export const wireBytes = 2;
const wireFixed32 = 5;

/** Reads one message; every read is checked against its end. */
export class WireReader {
  readonly buffer: Buffer;
  position: number;
  readonly end: number;

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.buffer = buffer;
    this.position = start;
    this.end = end;
  }

  get done(): boolean {
    return this.position >= this.end;
  }

  /** As a number: exact up to 2^53, which is as much as JSON carries. Negative ones take ten bytes. */
  varint(): number {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.position >= this.end) throw new DecodeError("unexpected EOF");
      const byte = this.buffer[this.position++]!;
      const bits = byte & 0x7f;
      if (shift < 28) low += bits * 2 ** shift;
      else high += bits * 2 ** (shift - 28);
      if (byte < 0x80) return toSigned(low, high);
    }
    throw new DecodeError("proto: integer overflow");
  }

  /** A length-delimited part, as a reader of its own. */
  part(): WireReader {
    const length = this.varint();
    const start = this.position;
    if (length < 0 || start + length > this.end) throw new DecodeError("unexpected EOF");
    this.position = start + length;
    return new WireReader(this.buffer, start, start + length);
  }

  bytes(): Buffer {
    const part = this.part();
    return this.buffer.subarray(part.position, part.end);
  }

  text(): string {
    return this.bytes().toString("utf8");
  }

  double(): number {
    if (this.position + 8 > this.end) throw new DecodeError("unexpected EOF");
    this.position += 8;
    return this.buffer.readDoubleLE(this.position - 8);
  }

  skip(wireType: number): void {
    if (wireType === wireVarint) this.varint();
    else if (wireType === wireBytes) this.part();
    else if (wireType === wireFixed64 || wireType === wireFixed32) {
      this.position += wireType === wireFixed64 ? 8 : 4;
      if (this.position > this.end) throw new DecodeError("unexpected EOF");
    } else throw new DecodeError(`proto: illegal wireType ${wireType}`);
  }
}

/** Low 28 bits and the rest of a 64-bit two's complement. */
function toSigned(low: number, high: number): number {
  if (high < 2 ** 35) return high * 2 ** 28 + low;
  const value = (BigInt(high) << 28n) + BigInt(low);
  return Number(BigInt.asIntN(64, value));
}

/**
 * Writes messages from their end to their start, as the length of a part must stand before it: nothing is copied or
 * measured twice.
 */
export class WireWriter {
  private buffer = Buffer.allocUnsafe(4096);
  private start = this.buffer.length;

  /** Bytes written so far: the difference of two marks is the length of what lies between. */
  get mark(): number {
    return this.buffer.length - this.start;
  }

  finish(): Buffer {
    return Buffer.from(this.buffer.subarray(this.start));
  }

  /** May replace the buffer: take the position first, then use `this.buffer`. */
  private reserve(bytes: number): number {
    if (bytes > this.start) {
      const used = this.mark;
      const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, used + bytes + 1024));
      this.buffer.copy(larger, larger.length - used, this.start);
      this.buffer = larger;
      this.start = larger.length - used;
    }
    this.start -= bytes;
    return this.start;
  }

  varint(value: number): void {
    if (value < 0 || value > Number.MAX_SAFE_INTEGER) {
      this.bigVarint(BigInt.asUintN(64, BigInt(Math.trunc(value))));
      return;
    }
    let size = 1;
    for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
    let at = this.reserve(size);
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.buffer[at++] = (rest % 128) | 0x80;
    this.buffer[at] = rest;
  }

  private bigVarint(value: bigint): void {
    const bytes: number[] = [];
    for (let rest = value; ; rest >>= 7n) {
      const bits = Number(rest & 0x7fn);
      if (rest < 128n) {
        bytes.push(bits);
        break;
      }
      bytes.push(bits | 0x80);
    }
    this.raw(Buffer.from(bytes));
  }

  raw(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length);
    this.buffer.set(bytes, at);
  }

  text(value: string): void {
    const length = Buffer.byteLength(value);
    const at = this.reserve(length);
    this.buffer.write(value, at, length, "utf8");
  }

  double(value: number): void {
    const at = this.reserve(8);
    this.buffer.writeDoubleLE(value, at);
  }

  tag(field: number, wireType: number): void {
    this.varint(field * 8 + wireType);
  }

  /** Closes a length-delimited field whose content was written since `from`. */
  closePart(field: number, from: number): void {
    this.varint(this.mark - from);
    this.tag(field, wireBytes);
  }

  textField(field: number, value: string): void {
    const from = this.mark;
    this.text(value);
    this.closePart(field, from);
  }

  varintField(field: number, value: number): void {
    this.varint(value);
    this.tag(field, wireVarint);
  }
}
