/**
 * The kubelet's server: logs, exec, attach, port-forward and a few facts, over HTTPS with client certificates only.
 * https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { codeOf, messageOf, UserError, type World } from "#base";
import type { PodContext } from "../pod-context.ts";
import type { PodWorkers } from "../pod-workers.ts";
import type { LocalFolders } from "../volumes/local-folders.ts";
import { serveLocalVolumes } from "./local-volumes.ts";
import { serveLogs } from "./logs.ts";
import { HttpError, urlOf } from "./request.ts";
import { serveStream } from "./streaming.ts";

interface ClientIdentity {
  user: string;
  groups: readonly string[];
}

export interface KubeletServerOptions {
  host: string;
  port: number;
  /** PEM. */
  tls: { cert: string | Buffer; key: string | Buffer };
  /** PEM; a client without a certificate of this authority is refused. */
  clientCa: string | Buffer;
  /** Who may use the server; default: the API server's kubelet client and cluster administrators. */
  authorize?(identity: ClientIdentity): boolean;
  context: PodContext;
  workers: PodWorkers;
  localFolders: LocalFolders;
  world: World;
}

export interface KubeletServer {
  readonly port: number;
  stop(): Promise<void>;
}

const apiServerUsers = ["kube-apiserver-kubelet-client", "kube-apiserver", "system:kube-apiserver"];

function mayUseKubelet(identity: ClientIdentity): boolean {
  return apiServerUsers.includes(identity.user) || identity.groups.includes("system:masters");
}

/** The name and the organizations of a client's certificate; undefined without a verified one. */
function identityOf(socket: TLSSocket): ClientIdentity | undefined {
  if (!socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  if (!subject) return undefined;
  const list = (value: string | string[] | undefined) =>
    value === undefined ? [] : Array.isArray(value) ? value : [value];
  return { user: list(subject.CN)[0] ?? "", groups: list(subject.O) };
}

type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void>;

function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  type = "text/plain; charset=utf-8",
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { "content-type": type });
  response.end(text);
}

function routes(options: KubeletServerOptions): Record<string, Handler> {
  const { context, workers, world } = options;
  return {
    healthz: async (_request, response) => {
      const late = workers.sinceRelistMs() > 180_000;
      sendText(response, late ? 500 : 200, late ? "the runtime does not list its pods" : "ok");
    },
    pods: async (_request, response) => {
      const items = workers
        .list()
        .map((pod) => ({ ...pod, status: context.statuses.get(pod.metadata.uid) ?? pod.status }));
      const list = { kind: "PodList", apiVersion: "v1", metadata: {}, items };
      sendText(response, 200, JSON.stringify(list), "application/json");
    },
    metrics: async (_request, response) => {
      sendText(response, 200, await world.metrics.text(), world.metrics.contentType);
    },
    containerLogs: (_request, response, url) => serveLogs({ context, workers }, response, url),
    localVolumes: (request, response, url) => serveLocalVolumes(options.localFolders, request, response, url),
  };
}

/** Those that take more than questions. */
const writing: ReadonlySet<string> = new Set(["localVolumes"]);

export async function startKubeletServer(options: KubeletServerOptions): Promise<KubeletServer> {
  const { world } = options;
  const authorize = options.authorize ?? mayUseKubelet;
  const table = routes(options);
  const sockets = new Set<Socket>();

  const refusal = (socket: TLSSocket): HttpError | undefined => {
    const identity = identityOf(socket);
    if (!identity) return new HttpError(401, "Unauthorized");
    return authorize(identity) ? undefined : new HttpError(403, `Forbidden (user=${identity.user})`);
  };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const refused = refusal(request.socket as TLSSocket);
    if (refused) throw refused;
    const url = urlOf(request);
    const name = url.pathname.split("/")[1] ?? "";
    const handler = Object.hasOwn(table, name) ? table[name] : undefined;
    if (!handler) throw new HttpError(404, "404 page not found");
    if (request.method !== "GET" && !writing.has(name)) throw new HttpError(405, "Method Not Allowed");
    await handler(request, response, url);
  }

  async function upgrade(request: IncomingMessage, socket: TLSSocket, head: Buffer): Promise<void> {
    // Node leaves a connection to whoever upgrades it, with its errors.
    socket.on("error", () => socket.destroy());
    const refused = refusal(socket);
    if (refused) throw refused;
    await serveStream(options, request, socket, head, urlOf(request));
  }

  const server: Server = createServer(
    { ...options.tls, ca: options.clientCa, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      handle(request, response).catch((error: unknown) => {
        const status = error instanceof HttpError ? error.status : 500;
        if (status === 500) world.log.warn({ error: messageOf(error) }, "a request failed");
        sendText(response, status, messageOf(error));
      });
    },
  );
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("upgrade", (request: IncomingMessage, socket: TLSSocket, head: Buffer) => {
    upgrade(request, socket, head).catch((error: unknown) => {
      const status = error instanceof HttpError ? error.status : 500;
      const text = messageOf(error);
      if (socket.writable)
        socket.end(
          `HTTP/1.1 ${status} Error\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
        );
    });
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        codeOf(error) === "EADDRINUSE"
          ? new UserError(
              `port ${options.port} for the kubelet is in use`,
              "end the other program, or choose another port",
            )
          : error,
      ),
    );
    server.listen(options.port, options.host, () => resolve());
  });
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
