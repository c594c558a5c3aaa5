/** Where the times to live stand in a message. https://www.rfc-editor.org/rfc/rfc1035#section-4.1 */

export interface Ttl {
  offset: number;
  seconds: number;
}

export const headBytes = 12;
/** Type, class, time to live and length of a record. */
const recordHeadBytes = 10;
const optType = 41;

/** Of every record but OPT, which has none; undefined for what is no message. */
export function ttlsOf(message: Buffer): Ttl[] | undefined {
  if (message.length < headBytes) return undefined;
  const questions = message.readUInt16BE(4);
  const records = message.readUInt16BE(6) + message.readUInt16BE(8) + message.readUInt16BE(10);
  let at: number | undefined = headBytes;
  for (let i = 0; i < questions && at !== undefined; i++) {
    at = afterName(message, at);
    if (at !== undefined) at += 4;
  }
  const ttls: Ttl[] = [];
  for (let i = 0; i < records && at !== undefined; i++) {
    const head: number | undefined = afterName(message, at);
    if (head === undefined || head + recordHeadBytes > message.length) return undefined;
    const offset = head + 4;
    if (message.readUInt16BE(head) !== optType) ttls.push({ offset, seconds: message.readUInt32BE(offset) });
    at = head + recordHeadBytes + message.readUInt16BE(head + 8);
  }
  return at !== undefined && at <= message.length ? ttls : undefined;
}

/** Of a message with one question: where that ends. */
export function endOfQuestion(message: Buffer): number | undefined {
  const end = afterName(message, headBytes);
  return end === undefined || end + 4 > message.length ? undefined : end + 4;
}

/** Labels until the empty one, or until a pointer, which ends a name. */
function afterName(message: Buffer, start: number): number | undefined {
  let at = start;
  for (;;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    at += length + 1;
  }
}
