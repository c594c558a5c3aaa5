/**
 * Values that speak of their own revision, for a store that tells the revision only after it has taken the value: the
 * value is made with a stand-in, which is cut out, and its places are noted behind the text. Whoever reads the value puts
 * the revision there.
 */

/** Nothing else that a value says is likely to hold these digits. */
const standInDigits = 15;

/** `random` answers a number from 0 to 1. */
export function newStandIn(random: () => number): number {
  const first = 10 ** (standInDigits - 1);
  return first + Math.floor(random() * 9 * first);
}

/** What is stored of `value`: the text without its revision, the places as four bytes each, and how many these are. */
export function stamped(value: Buffer, standIn: number): Buffer {
  const digits = Buffer.from(String(standIn));
  const pieces: Buffer[] = [];
  const places: number[] = [];
  let from = 0;
  let length = 0;
  for (let at = value.indexOf(digits); at >= 0 && places.length < 255; at = value.indexOf(digits, from)) {
    pieces.push(value.subarray(from, at));
    length += at - from;
    places.push(length);
    from = at + digits.length;
  }
  const tail = Buffer.alloc(places.length * 4 + 1);
  places.forEach((place, i) => void tail.writeUInt32LE(place, i * 4));
  tail[tail.length - 1] = places.length;
  return Buffer.concat([...pieces, value.subarray(from), tail]);
}

/** The value at its revision, in a buffer of its own. Undefined if nothing like it was ever stored. */
export function unstamped(stored: Uint8Array, revision: number): Buffer | undefined {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  const count = bytes.at(-1);
  if (count === undefined || bytes.length < count * 4 + 1) return undefined;
  const textLength = bytes.length - 1 - count * 4;
  const digits = Buffer.from(String(revision));
  const value = Buffer.allocUnsafeSlow(textLength + count * digits.length);
  let from = 0;
  let to = 0;
  for (let i = 0; i < count; i++) {
    const place = bytes.readUInt32LE(textLength + i * 4);
    if (place < from || place > textLength) return undefined;
    to += bytes.copy(value, to, from, place);
    to += digits.copy(value, to);
    from = place;
  }
  bytes.copy(value, to, from, textLength);
  return value;
}
