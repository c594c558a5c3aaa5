/**
 * Sockets: HTTP/2 and HTTP/1.1 with TLS on one port. Reads requests with every bound there is, hands them to the
 * pipeline, writes answers with the reader's pace.
 */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { Duplex, Readable, Writable } from "node:stream";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { badRequest, StatusError } from "#api";
import { codeOf, messageOf, UserError } from "#base";
import type { Credentials } from "../authentication/authenticator.ts";
import type { ApiRequest, ApiResponse } from "./exchange.ts";
import type { Pipeline } from "./pipeline.ts";
import { isProxied } from "./request-info.ts";
import { statusResponse } from "./respond.ts";
import { isReadableStream, overWebSocket } from "./web-socket.ts";

export interface FrontOptions {
  host: string;
  port: number;
  tls: { cert: string; key: string };
  clientCa: string;
  pipeline: Pipeline;
  /** Takes over connections that leave HTTP (exec, port-forward). */
  upgrade(request: ApiRequest, message: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
}

const bodyMaxBytes = 3 * 1024 * 1024;
const discardMaxBytes = 32 * 1024 * 1024;
/** How long a client may take: for the handshake, for a head, for a whole request. */
const handshakeTimeout = 10_000;
const http1Limits = {
  maxHeaderSize: 64 * 1024,
  headersTimeout: 32_000,
  requestTimeout: 60_000,
  connectionsCheckingInterval: 5_000,
};
/** An HTTP/2 connection without a request that says nothing for so long is closed. */
const sessionIdleMs = 60_000;

const plainHeader = /^[\x20-\x7e]*$/;
const controlCharacters = /\p{Cc}/gu;

/** One for all: without a reason every request would make an error of its own. */
const disconnected = new Error("the client has disconnected");

/** Nobody between server and client keeps answers, unless they say that they may be kept. */
const notCached = "no-cache, private";

/** Megabytes that one HTTP/2 session may hold. */
const sessionMemoryMax = 64;

export interface Front {
  readonly port: number;
  close(): Promise<void>;
}

export async function openFront(options: FrontOptions): Promise<Front> {
  const { tls, clientCa, pipeline } = options;
  const server = createSecureServer({
    allowHTTP1: true,
    cert: tls.cert,
    key: tls.key,
    ca: clientCa,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
    handshakeTimeout,
    ...http1Limits,
    maxSessionMemory: sessionMemoryMax,
    settings: { maxConcurrentStreams: 1000, initialWindowSize: 1024 * 1024 },
  });
  const sockets = new Set<TLSSocket>();
  const sessions = new Set<ServerHttp2Session>();
  server.on("secureConnection", (socket: TLSSocket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.on("error", () => session.destroy());
    closeWhenIdle(session);
  });
  server.on("request", (request, response) => {
    serveHttp1(pipeline, request as unknown as IncomingMessage, response as unknown as ServerResponse).catch(
      (error) => giveUp(pipeline, request, error),
    );
  });
  // Listening for requests makes Node serve streams through its compatibility layer too: ours are served directly.
  server.removeAllListeners("stream");
  server.on("stream", (stream, headers) => {
    serveHttp2(pipeline, stream as ServerHttp2Stream, headers).catch((error) =>
      giveUp(pipeline, stream, error),
    );
  });
  server.on("upgrade", (message: IncomingMessage, socket: Duplex, head: Buffer) => {
    void serveUpgrade(options, message, socket, head);
  });
  await listening(server, options);
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** An answer that cannot be written ends this request, and nobody else's. */
function giveUp(pipeline: Pipeline, connection: { destroy(): unknown }, error: unknown): void {
  pipeline.logFailure(error);
  connection.destroy();
}

/** Who neither asks nor waits for an answer holds no connection for ever; watches are open streams, and stay. */
function closeWhenIdle(session: ServerHttp2Session): void {
  let open = 0;
  session.on("stream", (stream) => {
    open++;
    stream.once("close", () => open--);
  });
  session.setTimeout(sessionIdleMs, () => {
    if (open === 0) session.destroy();
  });
}

function listening(server: Http2SecureServer, { host, port }: FrontOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      const inUse = codeOf(error) === "EADDRINUSE";
      const mend = inUse
        ? "stop what listens there, or choose another port"
        : "choose an address of this machine";
      const what = inUse ? "the port is in use" : messageOf(error);
      reject(new UserError(`cannot listen on ${host}:${port}: ${what}`, mend, { cause: error }));
    });
    server.listen(port, host, () => {
      server.removeAllListeners("error");
      server.on("error", () => {});
      resolve();
    });
  });
}

type Certificate = Credentials["certificate"];

const certificates = new WeakMap<object, { certificate: Certificate }>();

/** Looked up once for each connection. */
function certificateOf(socket: TLSSocket): Certificate {
  const known = certificates.get(socket);
  if (known) return known.certificate;
  const peer = socket.getPeerCertificate();
  const certificate = socket.authorized ? subjectOf(peer) : peer?.subject ? "refused" : undefined;
  certificates.set(socket, { certificate });
  return certificate;
}

function subjectOf(peer: PeerCertificate | undefined): Certificate {
  const names = [peer?.subject?.CN ?? []].flat();
  if (!names[0]) return undefined;
  return { commonName: names[0], organizations: [peer?.subject.O ?? []].flat() };
}

interface Head {
  method: string;
  url: string;
  headers: Readonly<Record<string, string | undefined>>;
  socket: TLSSocket;
  isBodyless: boolean;
}

async function answerTo(
  pipeline: Pipeline,
  head: Head,
  body: Readable,
  signal: AbortSignal,
): Promise<ApiResponse> {
  try {
    const request = await authenticated(pipeline, head, signal);
    if (isProxied(request.path)) {
      return await pipeline.handle(head.isBodyless ? request : { ...request, stream: body });
    }
    const hasBody = head.method !== "GET" && head.method !== "HEAD";
    const bytes = hasBody ? await readBody(body, head.headers["content-length"]) : request.body;
    return await pipeline.handle({ ...request, body: bytes });
  } catch (error) {
    return statusResponse(pipeline.statusOf(error));
  }
}

async function authenticated(pipeline: Pipeline, head: Head, signal: AbortSignal): Promise<ApiRequest> {
  const { method, url, headers } = head;
  const path = pathOfUrl(url);
  const credentials = { authorization: headers.authorization, certificate: certificateOf(head.socket) };
  const rawQuery = url.slice(path.length + 1);
  const query = new URLSearchParams(rawQuery);
  const request = { method, path, query, rawQuery, headers, body: Buffer.alloc(0), signal };
  return { ...request, user: await pipeline.authenticate(credentials, request) };
}

function pathOfUrl(url: string): string {
  const question = url.indexOf("?");
  return question < 0 ? url : url.slice(0, question);
}

/** A body that is cut short also just ends: its length is checked. */
async function readBody(body: Readable, contentLength: string | undefined): Promise<Buffer> {
  const expected = contentLength === undefined ? undefined : Number(contentLength);
  if (expected !== undefined && expected > discardMaxBytes) throw tooLarge();
  const { bytes, size } = await collect(body);
  if (size > bodyMaxBytes) throw tooLarge();
  if (expected !== undefined && size !== expected) {
    throw badRequest(`the body has ${size} bytes, its content-length says ${expected}`);
  }
  return bytes;
}

function tooLarge(): StatusError {
  return StatusError.of(413, "RequestEntityTooLarge", `Request entity too large: limit is ${bodyMaxBytes}`);
}

/**
 * Keeps what is within the limit. What is beyond it is read and dropped, up to a point: a client that is still sending
 * when the connection closes might never see why.
 */
function collect(body: Readable): Promise<{ bytes: Buffer; size: number }> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const cut = () => reject(badRequest("the body ended before it was complete"));
    const done = () => {
      body.off("close", cut);
      resolve({ bytes: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks), size });
    };
    body.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= bodyMaxBytes) chunks.push(chunk);
      else chunks.length = 0;
      if (size > discardMaxBytes) done();
    });
    body.once("end", done);
    body.once("error", (error) => reject(badRequest(`the body could not be read: ${messageOf(error)}`)));
    body.once("close", cut);
  });
}

async function serveHttp1(
  pipeline: Pipeline,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort(disconnected));
  request.on("error", () => gone.abort(disconnected));
  const head: Head = {
    method: request.method ?? "GET",
    url: request.url ?? "/",
    headers: flatHeaders(request.headers),
    socket: request.socket as TLSSocket,
    isBodyless: !("content-length" in request.headers || "transfer-encoding" in request.headers),
  };
  const answer = await answerTo(pipeline, head, request, gone.signal);
  if (gone.signal.aborted) return discard(answer);
  // What is left of a body that was refused would be read as the next request.
  const headers = request.complete ? answer.headers : { ...answer.headers, connection: "close" };
  response.writeHead(answer.status, withLength(answer, headers));
  if (head.method === "HEAD") response.end();
  else await writeBody(response, answer, gone.signal);
}

async function serveHttp2(
  pipeline: Pipeline,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Promise<void> {
  const gone = new AbortController();
  stream.once("close", () => gone.abort(disconnected));
  stream.on("error", () => gone.abort(disconnected));
  const head: Head = {
    method: String(headers[":method"] ?? "GET"),
    url: String(headers[":path"] ?? "/"),
    headers: { host: headers[":authority"], ...flatHeaders(headers) },
    socket: stream.session?.socket as unknown as TLSSocket,
    isBodyless: stream.endAfterHeaders,
  };
  // As for HTTP/1.1: a request that does not arrive does not wait for ever.
  stream.setTimeout(http1Limits.requestTimeout, () => stream.close());
  const answer = await answerTo(pipeline, head, stream, gone.signal);
  stream.setTimeout(0);
  if (gone.signal.aborted || stream.destroyed) return discard(answer);
  stream.respond({ ":status": answer.status, ...withLength(answer, answer.headers) });
  await writeBody(stream, answer, gone.signal);
  // A body that was refused, or that nobody behind the proxy wanted, is not read to its end.
  const isUnwanted = !head.isBodyless && !stream.readableEnded && isProxied(pathOfUrl(head.url));
  if (answer.status === 413 || isUnwanted) stream.close();
}

async function serveUpgrade(
  options: FrontOptions,
  message: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const { pipeline } = options;
  const gone = new AbortController();
  socket.once("close", () => gone.abort(disconnected));
  socket.on("error", () => socket.destroy());
  try {
    const tls = message.socket as TLSSocket;
    const headers = flatHeaders(message.headers);
    const request = await authenticated(
      pipeline,
      { method: message.method ?? "GET", url: message.url ?? "/", headers, socket: tls, isBodyless: true },
      gone.signal,
    );
    pipeline.authorize(request);
    if (message.headers.upgrade?.toLowerCase() === "websocket" && isReadableStream(request)) {
      const refusal = await overWebSocket(request, message, socket, head, (each) => pipeline.handle(each));
      if (refusal) endWithResponse(socket, refusal);
      return;
    }
    await options.upgrade(request, message, socket, head);
  } catch (error) {
    endWithResponse(socket, statusResponse(pipeline.statusOf(error)));
  }
}

/** An answer on a connection that asked to leave HTTP and may not. */
function endWithResponse(socket: Duplex, { status, headers, body }: ApiResponse): void {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
  const lines = Object.entries({
    ...wireHeaders(headers),
    "content-length": String(bytes.length),
    connection: "close",
  });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  socket.end(
    Buffer.concat([Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${head}\r\n`), bytes]),
  );
}

function flatHeaders(headers: IncomingHttpHeaders): Record<string, string | undefined> {
  const flat: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(":")) flat[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return flat;
}

function withLength(
  { body, cookies }: ApiResponse,
  headers: Record<string, string>,
): Record<string, string | string[]> {
  const wire = {
    "cache-control": notCached,
    ...wireHeaders(headers),
    ...(cookies ? { "set-cookie": [...cookies] } : {}),
  };
  return Buffer.isBuffer(body) ? { ...wire, "content-length": String(body.length) } : wire;
}

/** Headers repeat words of clients (warnings): as UTF-8, which Node takes byte by byte, and nothing that ends a line. */
function wireHeaders(headers: Record<string, string>): Record<string, string> {
  const wire: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    wire[name] = plainHeader.test(value)
      ? value
      : Buffer.from(value.replace(controlCharacters, " "), "utf8").toString("latin1");
  }
  return wire;
}

function discard({ body }: ApiResponse): void {
  if (!Buffer.isBuffer(body)) void body[Symbol.asyncIterator]().return?.();
}

async function writeBody(out: Writable, { body }: ApiResponse, signal: AbortSignal): Promise<void> {
  if (Buffer.isBuffer(body)) {
    out.end(body);
    return;
  }
  try {
    if ("flushHeaders" in out) (out as ServerResponse).flushHeaders();
    for await (const chunk of body) {
      if (signal.aborted) return;
      if (!out.write(chunk)) await drained(out, signal);
    }
    out.end();
  } catch {
    // The head is out: all that can still be said is that the body is not complete.
    out.destroy();
  }
}

function drained(out: Writable, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      out.off("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    out.on("drain", done);
    signal.addEventListener("abort", done);
  });
}
