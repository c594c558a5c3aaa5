/** Requests as no client library would send them: bytes of one's own choice over HTTP/1.1 and HTTP/2. */
import { readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { request as requestHttp1 } from "node:https";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { parse } from "yaml";

export interface Identity {
  cert?: string;
  key?: string;
}

export interface Access {
  host: string;
  port: number;
  ca: string;
  admin: Identity;
}

/** What the kubeconfig's only context says. */
export function accessOf(kubeconfig: string): Access {
  const config = parse(readFileSync(kubeconfig, "utf8")) as {
    clusters: { cluster: Record<string, string> }[];
    users: { user: Record<string, string> }[];
  };
  const { cluster } = config.clusters[0]!;
  const { user } = config.users[0]!;
  const text = (base64: string | undefined) => Buffer.from(base64 ?? "", "base64").toString("utf8");
  const url = new URL(cluster.server!);
  return {
    host: url.hostname,
    port: Number(url.port),
    ca: text(cluster["certificate-authority-data"]),
    admin: { cert: text(user["client-certificate-data"]), key: text(user["client-key-data"]) },
  };
}

export interface RawRequest {
  method?: string;
  path: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** HTTP/1.1 only: no content-length, the body in pieces. */
  chunked?: boolean;
  identity?: Identity;
}

export interface RawBody {
  kind?: string;
  status?: string;
  reason?: string;
  code?: number;
  message?: string;
  metadata?: Record<string, string>;
  items?: unknown[];
}

export interface RawAnswer {
  status: number;
  headers: Record<string, unknown>;
  text: string;
  /** The parsed `Status`, or whatever JSON came; undefined for anything else. */
  body: RawBody | undefined;
}

const patienceMs = 20_000;

function answer(status: number, headers: Record<string, unknown>, chunks: readonly Buffer[]): RawAnswer {
  const text = Buffer.concat(chunks).toString("utf8");
  try {
    return { status, headers, text, body: JSON.parse(text) as RawAnswer["body"] };
  } catch {
    return { status, headers, text, body: undefined };
  }
}

export type Send = (request: RawRequest) => Promise<RawAnswer>;

/** A connection for each request. Rejects when the server says nothing at all. */
export function http1(access: Access): Send {
  return ({ method = "GET", path, headers, body, chunked, identity = access.admin }) =>
    new Promise((resolve, reject) => {
      const { host, port, ca } = access;
      const length = body !== undefined && !chunked ? { "content-length": Buffer.byteLength(body) } : {};
      const request = requestHttp1(
        {
          host,
          port,
          ca,
          ...identity,
          agent: false,
          method,
          path,
          timeout: patienceMs,
          headers: { ...length, ...headers },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", reject);
          response.on("end", () => resolve(answer(response.statusCode ?? 0, response.headers, chunks)));
        },
      );
      request.on("timeout", () => request.destroy(new Error(`no answer in time to ${method} ${path}`)));
      request.on("error", reject);
      request.end(body);
    });
}

export function http2(access: Access): Send {
  return ({ method = "GET", path, headers, body, identity = access.admin }) =>
    new Promise((resolve, reject) => {
      const { host, port, ca } = access;
      const session = connectHttp2(`https://${host}:${port}`, { ca, ...identity });
      const fail = (error: Error) => {
        session.destroy();
        reject(error);
      };
      session.on("error", fail);
      session.setTimeout(patienceMs, () => fail(new Error("no answer in time")));
      const stream = session.request(
        { ":method": method, ":path": path, ...headers },
        { endStream: body === undefined },
      );
      const chunks: Buffer[] = [];
      let head: Record<string, unknown> = {};
      stream.on("response", (received) => {
        head = received;
      });
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", fail);
      stream.on("end", () => {
        session.close();
        if (head[":status"] === undefined) return fail(new Error("the stream ended without an answer"));
        resolve(answer(Number(head[":status"]), head, chunks));
      });
      if (body !== undefined) stream.end(body);
    });
}

/** A socket after its handshake, to write on what one likes. */
export function openSocket(access: Access, protocol = "http/1.1"): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const { host, port, ca, admin } = access;
    const socket = connectTls({ host, port, ca, ...admin, ALPNProtocols: [protocol] });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      socket.off("error", reject);
      socket.on("error", () => {});
      // The end is only seen by who reads.
      socket.resume();
      resolve(socket);
    });
  });
}

/** Everything the server says to `bytes` until it closes, or until `waitMs` have passed. */
export async function exchange(access: Access, bytes: string | Buffer, waitMs = 2_000): Promise<string> {
  const socket = await openSocket(access);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.setTimeout(waitMs, () => socket.destroy());
  socket.write(bytes);
  await closed;
  return Buffer.concat(chunks).toString("latin1");
}
