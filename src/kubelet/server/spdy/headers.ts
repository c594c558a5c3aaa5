/**
 * Header blocks of SPDY/3.1: names and values with their lengths, compressed as one zlib stream for the connection.
 * https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/#2610-name-value-header-block
 */
import { constants, deflateRawSync, deflateSync } from "node:zlib";

/** Names and values that both sides know from the start, as the specification lists them. */
const knownWords = [
  ..."options head post put delete trace accept accept-charset accept-encoding accept-language".split(" "),
  ..."accept-ranges age allow authorization cache-control connection content-base".split(" "),
  ..."content-encoding content-language content-length content-location content-md5".split(" "),
  ..."content-range content-type date etag expect expires from host if-match".split(" "),
  ..."if-modified-since if-none-match if-range if-unmodified-since last-modified location".split(" "),
  ..."max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after".split(" "),
  ..."server te trailer transfer-encoding upgrade user-agent vary via warning".split(" "),
  ..."www-authenticate method get status".split(" "),
  "200 OK",
  ..."version HTTP/1.1 url public set-cookie keep-alive origin".split(" "),
];

const knownText = [
  "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505",
  "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized",
  "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable",
  "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT",
  "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,",
  "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.",
].join("");

function withLength(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export const headerDictionary = Buffer.concat([...knownWords.map(withLength), Buffer.from(knownText)]);

/** The block before compression. SPDY wants names in lower case. */
export function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(headers);
  const count = Buffer.alloc(4);
  count.writeUInt32BE(entries.length);
  return Buffer.concat([
    count,
    ...entries.flatMap(([name, value]) => [withLength(name.toLowerCase()), withLength(value)]),
  ]);
}

/** What was compressed before: a runtime is asked for the same few streams again and again. */
const compressed = new Map<string, Buffer>();
const compressedMax = 64;

function deflated(block: Buffer, isFirst: boolean): Buffer {
  const key = `${isFirst}${block.toString("latin1")}`;
  const known = compressed.get(key);
  if (known) return known;
  const finishFlush = constants.Z_SYNC_FLUSH;
  const bytes = isFirst
    ? deflateSync(block, { dictionary: headerDictionary, finishFlush })
    : deflateRawSync(block, { finishFlush });
  if (compressed.size < compressedMax) compressed.set(key, bytes);
  return bytes;
}

/**
 * Compresses the blocks of one connection. Each block is deflated by itself and ends on a byte border, so that all of
 * them laid end to end are one zlib stream to the peer, while nothing is kept here between two blocks.
 */
export class HeaderCompressor {
  #begun = false;

  compress(headers: Readonly<Record<string, string>>): Buffer {
    const isFirst = !this.#begun;
    this.#begun = true;
    return deflated(headerBlock(headers), isFirst);
  }
}
