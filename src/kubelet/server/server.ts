/**
 * The kubelet's server: logs, exec, attach, port-forward and a few facts, over HTTPS.
 * https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { codeOf, messageOf, UserError, type World } from "#base";
import type { PodContext } from "../pod-context.ts";
import type { PodWorkers } from "../pod-workers.ts";
import { probeMetrics } from "../probes/metrics.ts";
import type { NodeStats } from "../stats/node-stats.ts";
import type { LocalFolders } from "../volumes/local-folders.ts";
import { createAccess } from "./access.ts";
import { checkpoint } from "./checkpoint.ts";
import { serveLocalVolumes } from "./local-volumes.ts";
import { serveLogs } from "./logs.ts";
import { booleanParameter, HttpError, urlOf } from "./request.ts";
import { serveStream } from "./streaming.ts";
import { serveSystemLogs } from "./system-logs.ts";

export interface KubeletServerOptions {
  host: string;
  port: number;
  /** PEM. */
  tls: { cert: string | Buffer; key: string | Buffer };
  /** PEM; a client without a certificate of this authority is refused. */
  clientCa: string | Buffer;
  context: PodContext;
  workers: PodWorkers;
  localFolders: LocalFolders;
  stats: NodeStats;
  /** The folder of the machine's own logs; absent: they are not shown. */
  systemLogsDir?: string;
  /** Logs, exec, attach and port-forward are served. */
  debugging: boolean;
  /** What `/configz` shows. */
  configuration: object;
  world: World;
}

export interface KubeletServer {
  readonly port: number;
  stop(): Promise<void>;
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

const json = "application/json";

/** Pods as they are now, with what has not reached the API yet. */
function podList({ context, workers }: KubeletServerOptions): string {
  const items = workers
    .list()
    .map((pod) => ({ ...pod, status: context.statuses.get(pod.metadata.uid) ?? pod.status }));
  return JSON.stringify({ kind: "PodList", apiVersion: "v1", metadata: {}, items });
}

/** `/metrics` and what lies below it. */
async function serveMetrics(options: KubeletServerOptions, response: ServerResponse, url: URL) {
  const { world, stats, context } = options;
  const { contentType } = world.metrics;
  switch (url.pathname.replace(/\/$/, "")) {
    case "/metrics":
      return sendText(response, 200, (await world.metrics.text()) + stats.claims(), contentType);
    case "/metrics/resource":
      return sendText(response, 200, await stats.resource(), contentType);
    case "/metrics/cadvisor":
      return sendText(response, 200, await stats.cadvisor(), contentType);
    case "/metrics/probes":
      return sendText(response, 200, probeMetrics(context.probes.counts()), contentType);
    default:
      throw new HttpError(404, "404 page not found");
  }
}

async function serveStats({ stats }: KubeletServerOptions, response: ServerResponse, url: URL) {
  if (url.pathname.replace(/\/$/, "") !== "/stats/summary") throw new HttpError(404, "404 page not found");
  const onlyCpuAndMemory = booleanParameter(url, "only_cpu_and_memory");
  sendText(response, 200, JSON.stringify(await stats.summary(onlyCpuAndMemory)), json);
}

function routes(options: KubeletServerOptions): Record<string, Handler> {
  const { context, workers } = options;
  return {
    healthz: async (_request, response) => {
      const late = workers.sinceRelistMs() > 180_000;
      sendText(response, late ? 500 : 200, late ? "the runtime does not list its pods" : "ok");
    },
    pods: async (_request, response) => sendText(response, 200, podList(options), json),
    runningpods: async (_request, response) => sendText(response, 200, podList(options), json),
    configz: async (_request, response) =>
      sendText(response, 200, JSON.stringify({ kubeletconfig: options.configuration }), json),
    metrics: (_request, response, url) => serveMetrics(options, response, url),
    stats: (_request, response, url) => serveStats(options, response, url),
    logs: async (request, response, url) => {
      const { systemLogsDir } = options;
      if (!systemLogsDir) throw new HttpError(405, "logs endpoint is disabled.");
      await serveSystemLogs(systemLogsDir, request, response, url);
    },
    containerLogs: (_request, response, url) => serveLogs({ context, workers }, response, url),
    checkpoint: async (request, response, url) => {
      const location = await checkpoint({ context, workers }, request.method, url);
      sendText(response, 200, JSON.stringify({ items: [location] }), json);
    },
    localVolumes: (request, response, url) => serveLocalVolumes(options.localFolders, request, response, url),
  };
}

/** Upstream's answer where logs, exec, attach and port-forward are switched off; what else is missing then is not there. */
const disabled = ["run", "exec", "attach", "portForward", "containerLogs", "runningpods", "logs", "debug"];
const withDebugging: ReadonlySet<string> = new Set([...disabled, "configz", "checkpoint"]);

function checkDebugging({ debugging }: Pick<KubeletServerOptions, "debugging">, name: string): void {
  if (debugging || !withDebugging.has(name)) return;
  if (!disabled.includes(name)) throw new HttpError(404, "404 page not found");
  throw new HttpError(405, "Debug endpoints are disabled.");
}

/** Those that take more than questions. */
const writing: ReadonlySet<string> = new Set(["localVolumes", "checkpoint"]);

export async function startKubeletServer(options: KubeletServerOptions): Promise<KubeletServer> {
  const { world } = options;
  const { client, nodeName } = options.context;
  const access = createAccess({ client, world, nodeName });
  const table = routes(options);
  const sockets = new Set<Socket>();

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "/";
    await access.check(request, request.socket as TLSSocket, path.split("?")[0]!);
    const url = urlOf(request);
    const name = url.pathname.split("/")[1] ?? "";
    checkDebugging(options, name);
    const handler = Object.hasOwn(table, name) ? table[name] : undefined;
    if (!handler) throw new HttpError(404, "404 page not found");
    if (request.method !== "GET" && !writing.has(name)) throw new HttpError(405, "Method Not Allowed");
    await handler(request, response, url);
  }

  async function upgrade(request: IncomingMessage, socket: TLSSocket, head: Buffer): Promise<void> {
    // Node leaves a connection to whoever upgrades it, with its errors.
    socket.on("error", () => socket.destroy());
    await access.check(request, socket, (request.url ?? "/").split("?")[0]!);
    const url = urlOf(request);
    checkDebugging(options, url.pathname.split("/")[1] ?? "");
    await serveStream(options, request, socket, head, url);
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
