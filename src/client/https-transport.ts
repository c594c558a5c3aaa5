/**
 * The transport to an API server over the network: HTTP/2, one connection for all requests and watches, opened again
 * when it is lost. A connection that says nothing is pinged, as client-go does, so that a dead peer is noticed.
 */
import http2, { type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { type Clock, systemClock } from "#base";
import type { Transport, TransportRequest, TransportResponse } from "./contract.ts";

export interface HttpsTransportOptions {
  url: string;
  /** PEM of the authorities that may have signed the server's certificate. */
  ca: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  /** A bearer token; the function is asked at every request, so that it may change. */
  token?: string | (() => string);
  clock?: Clock;
}

const connectTimeoutMs = 10_000;
const pingPeriodMs = 30_000;
const pingTimeoutMs = 15_000;
/** Room for a large list without waiting for the reader's acknowledgements. */
const windowBytes = 4 * 1024 * 1024;

export function httpsTransport(options: HttpsTransportOptions): Transport {
  return new HttpsTransport(options);
}

class HttpsTransport implements Transport {
  readonly #options: HttpsTransportOptions;
  readonly #clock: Clock;
  #session: Promise<ClientHttp2Session> | undefined;
  #closed = false;

  constructor(options: HttpsTransportOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  async send(request: TransportRequest): Promise<TransportResponse> {
    request.signal?.throwIfAborted();
    // What is sent is what the caller says now.
    const { body } = request;
    const session = await this.#connected();
    request.signal?.throwIfAborted();
    const stream = session.request(this.#headers(request), { endStream: body === undefined });
    if (body !== undefined) stream.end(body);
    return answerOf(stream, request.signal);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const session = await this.#session?.catch(() => undefined);
    session?.destroy();
  }

  #headers(request: TransportRequest): Record<string, string> {
    const { token } = this.#options;
    const bearer = typeof token === "function" ? token() : token;
    return {
      ":method": request.method,
      ":path": request.path,
      ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
      ...(request.body === undefined ? {} : { "content-length": String(request.body.length) }),
      ...request.headers,
    };
  }

  #connected(): Promise<ClientHttp2Session> {
    if (this.#closed) return Promise.reject(new Error("the connection has been closed"));
    if (!this.#session) {
      const opening = this.#open();
      this.#session = opening;
      opening.catch(() => this.#forget(opening));
    }
    return this.#session;
  }

  #forget(session: Promise<ClientHttp2Session>): void {
    if (this.#session === session) this.#session = undefined;
  }

  #open(): Promise<ClientHttp2Session> {
    const { url, ca, cert, key } = this.#options;
    const opening: Promise<ClientHttp2Session> = new Promise((resolve, reject) => {
      const session = http2.connect(url, {
        ca,
        ...(cert && key ? { cert, key } : {}),
        settings: { initialWindowSize: windowBytes, enablePush: false },
      });
      const timeout = this.#clock.after(connectTimeoutMs, () =>
        session.destroy(new Error(`no connection to ${url} within ${connectTimeoutMs / 1000} s`)),
      );
      const stopPings = this.#keepAlive(session);
      session.once("connect", () => {
        timeout.cancel();
        session.setLocalWindowSize(4 * windowBytes);
        resolve(session);
      });
      session.on("error", reject);
      session.once("goaway", () => this.#forget(opening));
      session.once("close", () => {
        timeout.cancel();
        stopPings();
        this.#forget(opening);
        reject(new Error(`the connection to ${url} was closed`));
      });
    });
    return opening;
  }

  #keepAlive(session: ClientHttp2Session): () => void {
    let deadline: { cancel(): void } | undefined;
    const period = this.#clock.every(pingPeriodMs, () => {
      if (session.destroyed || session.connecting) return;
      deadline = this.#clock.after(pingTimeoutMs, () =>
        session.destroy(new Error("the server does not answer")),
      );
      session.ping(() => deadline?.cancel());
    });
    return () => {
      period.cancel();
      deadline?.cancel();
    };
  }
}

/** Resolves at the head of the answer; the body is read from the stream, and ends with an error when it is cut. */
function answerOf(stream: ClientHttp2Stream, signal: AbortSignal | undefined): Promise<TransportResponse> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal?.reason ?? new Error("aborted"));
      stream.close(http2.constants.NGHTTP2_CANCEL);
    };
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    stream.once("response", (headers) => {
      const plain: Record<string, string> = {};
      for (const [name, value] of Object.entries(headers)) {
        if (!name.startsWith(":") && value !== undefined) plain[name] = String(value);
      }
      resolve({ status: Number(headers[":status"]), headers: plain, body: stream });
    });
    stream.on("error", reject);
    stream.once("close", () => {
      signal?.removeEventListener("abort", abort);
      reject(new Error("the connection was closed before the answer"));
    });
  });
}
