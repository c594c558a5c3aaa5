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
      const { status, headers, body, object } = await pipeline.handle(apiRequest(request, user, signal));
      if (!Buffer.isBuffer(body)) return { status, headers, body };
      return { status, headers, body: once(body), whole: { bytes: body, object } };
    },
    async close() {
      closing.abort();
    },
  };
}

function apiRequest(request: TransportRequest, user: User, signal: AbortSignal): ApiRequest {
  const question = request.path.indexOf("?");
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers ?? {})) headers[name.toLowerCase()] = value;
  const rawQuery = question < 0 ? "" : request.path.slice(question + 1);
  // Taken now: what the caller does with its object afterwards is its own affair.
  const said = request.value === undefined ? undefined : asJson(request.value);
  return {
    method: request.method,
    path: question < 0 ? request.path : request.path.slice(0, question),
    query: new URLSearchParams(rawQuery),
    rawQuery,
    headers,
    get body() {
      return bufferOf(request.body);
    },
    ...said,
    user,
    isLocal: true,
    ...(request.sharesObjects ? { sharesObjects: true } : {}),
    signal,
  };
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
