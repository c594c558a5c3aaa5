/** The way in for components of the same process: the same pipeline, no sockets. */
import { asJson } from "#api";
import type { Transport, TransportRequest } from "#client";
import type { User } from "../user.ts";
import type { ApiRequest } from "./exchange.ts";
import type { Pipeline } from "./pipeline.ts";

export function inProcessTransport(pipeline: Pipeline, user: User): Transport {
  const closing = new AbortController();
  return {
    async send(request) {
      request.signal?.throwIfAborted();
      closing.signal.throwIfAborted();
      const signal = request.signal ? AbortSignal.any([request.signal, closing.signal]) : closing.signal;
      const { status, headers, body, object } = await pipeline.handle(
        new LocalRequest(request, user, signal),
      );
      if (!Buffer.isBuffer(body)) return { status, headers, body };
      return { status, headers, body: once(body), whole: { bytes: body, object } };
    },
    async close() {
      closing.abort();
    },
  };
}

/** A class: a literal with a getter would be made anew, slowly, for each request. */
class LocalRequest implements ApiRequest {
  readonly #sent: TransportRequest;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly rawQuery: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: unknown;
  readonly user: User;
  readonly isLocal = true;
  readonly sharesObjects: boolean;
  readonly signal: AbortSignal;

  constructor(sent: TransportRequest, user: User, signal: AbortSignal) {
    const { path } = sent;
    const question = path.indexOf("?");
    this.#sent = sent;
    this.method = sent.method;
    this.path = question < 0 ? path : path.slice(0, question);
    this.rawQuery = question < 0 ? "" : path.slice(question + 1);
    this.query = new URLSearchParams(this.rawQuery);
    this.headers = lowerCased(sent.headers);
    // Taken now: what the caller does with its object afterwards is its own affair.
    this.value = sent.value === undefined ? undefined : asJson(sent.value)?.value;
    this.user = user;
    this.sharesObjects = sent.sharesObjects ?? false;
    this.signal = signal;
  }

  get body(): Buffer {
    return bufferOf(this.#sent.body);
  }
}

function lowerCased(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  const lower: Record<string, string> = {};
  for (const name in headers) lower[name.toLowerCase()] = headers[name]!;
  return lower;
}

function bufferOf(bytes: Uint8Array | undefined): Buffer {
  return bytes ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : Buffer.alloc(0);
}

function once(body: Buffer): AsyncIterable<Uint8Array> {
  return {
    async *[Symbol.asyncIterator]() {
      yield body;
    },
  };
}
