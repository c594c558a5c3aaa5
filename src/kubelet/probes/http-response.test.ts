import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BodyError, type HttpAnswer, ResponseReader } from "./http-response.ts";

/** All of it at once, then the end of the connection. */
function read(...parts: (string | Buffer)[]): HttpAnswer {
  const reader = new ResponseReader();
  for (const part of parts) {
    const bytes = Buffer.from(part);
    const answer = reader.push(bytes);
    // The memory is the next connection's.
    bytes.fill(0);
    if (answer) return answer;
  }
  return reader.end();
}

const long = "x".repeat(10 * 1024);

describe("an answer", () => {
  test.each<[string, HttpAnswer]>([
    ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", { status: 200, body: "ok" }],
    ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", { status: 200, body: "ok" }],
    ["HTTP/1.1 200\n\nuntil the end", { status: 200, body: "until the end" }],
    ["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nas it is", { status: 200, body: "as it is" }],
    ["HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", { status: 204, body: "" }],
    ["HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", { status: 304, body: "" }],
    ["HTTP/1.1 101 Switching\r\n\r\n", { status: 101, body: "" }],
    ["HTTP/1.1 100 Continue\r\nLocation: /no\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", { status: 200, body: "" }],
    [
      "HTTP/1.1 302 Found\r\nlocation:  /ä \r\nLocation: /second\r\n\r\n",
      { status: 302, body: "", location: "/ä" },
    ],
    [
      "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\nContent-Length: 9\r\n\r\n2;name=v\r\nok\r\n4 \r\n, go\r\n0\r\nT: x\r\n\r\n",
      { status: 200, body: "ok, go" },
    ],
    ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nyes", { status: 200, body: "yes" }],
    ["HTTP/1.1 200 OK\r\nX-Folded: a\r\n  b\r\n\r\n", { status: 200, body: "" }],
    [`HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n${long}yyy`, { status: 200, body: long }],
    [`HTTP/1.1 200 OK\r\n\r\n${long}yyy`, { status: 200, body: long }],
    [
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFF\r\n${long}yyy`,
      { status: 200, body: long },
    ],
  ])("%j", (text, answer) => {
    expect(read(text)).toEqual(answer);
  });
});

const transport = "net/http: HTTP/1.x transport connection broken:";

describe("what is no answer is told as upstream tells it", () => {
  test.each([
    ["", "EOF"],
    ["HTTP/1.1 200", "unexpected EOF"],
    ["HTTP/1.1 200 OK\r\nContent-Le", "unexpected EOF"],
    ["SSH-2.0-OpenSSH_9.2p1\r\n", `${transport} malformed HTTP response "SSH-2.0-OpenSSH_9.2p1"`],
    ["\x15\x03\x01\n", `${transport} malformed HTTP response "\\u0015\\u0003\\u0001"`],
    ["HTTP/1.1 2x0 OK\r\n", `${transport} malformed HTTP status code "2x0"`],
    ["HTTP/1.1 -99 OK\r\n", `${transport} malformed HTTP status code "-99"`],
    ["HTTPS 200 OK\r\n", `${transport} malformed HTTP version "HTTPS"`],
    ["HTTP/1.1 200 OK\r\nno colon\r\n", `${transport} malformed MIME header line: no colon`],
    ["HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", `${transport} bad Content-Length "-1"`],
    ["HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", `${transport} invalid empty Content-Length ""`],
    [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
      `${transport} unsupported transfer encoding: "gzip"`,
    ],
    [
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      `${transport} http: message cannot contain multiple Content-Length headers; got ["1" "2"]`,
    ],
    [
      `HTTP/1.1 200 OK\r\nX: ${"x".repeat(2 ** 20)}`,
      "net/http: server response headers exceeded 1048576 bytes; aborted",
    ],
  ])("%#: %.40j", (text, message) => {
    expect(() => read(text)).toThrow(new Error(message));
  });

  test.each([
    ["Content-Length: 5\r\n\r\nshor", "unexpected EOF"],
    ["Transfer-Encoding: chunked\r\n\r\n", "unexpected EOF"],
    ["Transfer-Encoding: chunked\r\n\r\n5\r\nshor", "unexpected EOF"],
    ["Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", "unexpected EOF"],
    ["Transfer-Encoding: chunked\r\n\r\n\r\n", "empty hex number for chunk length"],
    ["Transfer-Encoding: chunked\r\n\r\n-2\r\n", "invalid byte in chunk length"],
    ["Transfer-Encoding: chunked\r\n\r\n1234567890123456\r\n", "http chunk length too large"],
    ["Transfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n", "malformed chunked encoding"],
    [
      `Transfer-Encoding: chunked\r\n\r\n1;${"x".repeat(2 ** 20)}`,
      "chunked encoding contains too much non-data",
    ],
  ])("and a body that breaks off is the body's own fault, %#: %.60j", (rest, message) => {
    expect(() => read(`HTTP/1.1 200 OK\r\n${rest}`)).toThrow(new BodyError(message));
  });
});

/** A text in one of the three ways to tell where it ends. */
const response = fc
  .record({
    status: fc.constantFrom(200, 201, 301, 404, 503),
    body: fc.string({ unit: "binary", maxLength: 300 }),
    framing: fc.constantFrom("length", "chunks", "end"),
    chunkSizes: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
    location: fc.option(fc.constantFrom("/a", "http://b.example/c?d"), { nil: undefined }),
    lineEnd: fc.constantFrom("\r\n", "\n"),
    others: fc.array(fc.constantFrom("Server: x", "Date: today", "Set-Cookie: a=b", "Content-Type: t"), {
      maxLength: 3,
    }),
  })
  .map(({ status, body, framing, chunkSizes, location, lineEnd, others }) => {
    const bytes = Buffer.from(body);
    const headers = [...others, ...(location ? [`Location: ${location}`] : [])];
    if (framing === "length") headers.push(`Content-Length: ${bytes.length}`);
    if (framing === "chunks") headers.push("Transfer-Encoding: chunked");
    const head = [`HTTP/1.1 ${status} Words`, ...headers, "", ""].join(lineEnd);
    const parts: Buffer[] = [];
    for (let at = 0, i = 0; framing === "chunks" && at < bytes.length; i++) {
      const part = bytes.subarray(at, at + chunkSizes[i % chunkSizes.length]!);
      parts.push(Buffer.from(part.length.toString(16) + lineEnd), part, Buffer.from(lineEnd));
      at += part.length;
    }
    const tail = framing === "chunks" ? [...parts, Buffer.from(`0${lineEnd}${lineEnd}`)] : [bytes];
    const answer: HttpAnswer = { status, body: bytes.toString("utf8"), ...(location ? { location } : {}) };
    return { bytes: Buffer.concat([Buffer.from(head), ...tail]), answer };
  });

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((place, i) => bytes.subarray(places[i], place));
}

/** What was read, or why nothing was: the same for the same bytes. */
function outcome(parts: Buffer[]): unknown {
  try {
    return read(...parts);
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : "no error";
  }
}

test("an answer is the same in whatever parts it comes", () => {
  const cuts = fc.array(fc.nat(), { maxLength: 12 });
  fc.assert(
    fc.property(response, cuts, ({ bytes, answer }, places) => {
      expect(read(...split(bytes, places))).toEqual(answer);
      expect(read(...split(bytes, Array.from(bytes.keys())))).toEqual(answer);
    }),
  );
});

test("whatever comes is an answer or an error, and the same in whatever parts", () => {
  const damage = fc.record({
    at: fc.nat(),
    length: fc.integer({ min: 0, max: 4 }),
    by: fc.uint8Array({ maxLength: 4 }),
  });
  const damaged = fc.tuple(response, damage).map(([{ bytes }, { at, length, by }]) => {
    const place = at % bytes.length;
    return Buffer.concat([bytes.subarray(0, place), by, bytes.subarray(place + length)]);
  });
  const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.oneof(damaged, noise), fc.array(fc.nat(), { maxLength: 12 }), (bytes, places) => {
      const whole = outcome([bytes]);
      expect(whole).not.toBe("no error");
      expect(outcome(split(bytes, places))).toEqual(whole);
    }),
  );
});
