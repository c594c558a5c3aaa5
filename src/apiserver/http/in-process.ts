/** The way in for components of the same process: the same pipeline, no sockets. */
import type { Transport, TransportRequest, TransportResponse } from "#client";
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
      const { status, headers, body } = await pipeline.handle(apiRequest(request, user, signal));
      return { status, headers, body: Buffer.isBuffer(body) ? once(body) : body } satisfies TransportResponse;
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
  const { body } = request;
  const rawQuery = question < 0 ? "" : request.path.slice(question + 1);
  return {
    method: request.method,
    path: question < 0 ? request.path : request.path.slice(0, question),
    query: new URLSearchParams(rawQuery),
    rawQuery,
    headers,
    body: body ? Buffer.from(body.buffer, body.byteOffset, body.byteLength) : Buffer.alloc(0),
    user,
    isLocal: true,
    ...(request.sharesObjects ? { sharesObjects: true } : {}),
    signal,
  };
}

async function* once(body: Buffer): AsyncGenerator<Uint8Array> {
  yield body;
}
