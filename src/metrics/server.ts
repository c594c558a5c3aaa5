/**
 * The resource metrics API as a server that the API server aggregates: HTTPS, for its front proxy's certificate alone.
 * https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { internalError, methodNotAllowed, nodes, notServed, pods, StatusError, unauthorized } from "#api";
import { messageOf, type World } from "#base";
import type { Client, Informers } from "#client";
import { answer, isDiscovery } from "./answers.ts";
import { type Scraper, startScraper } from "./scraper.ts";

export interface MetricsServerOptions {
  world: World;
  client: Client;
  informers: Informers;
  host: string;
  /** PEM. */
  tls: { cert: string; key: string };
  /** PEM: the authority of the front proxy, whose certificates nobody else has. */
  frontProxyCa: string;
}

export interface MetricsServer {
  readonly port: number;
  stop(): Promise<void>;
}

export async function startMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const { world, client, informers } = options;
  const scraper = startScraper({ world, client, nodes: informers.of(nodes) });
  const sockets = new Set<Socket>();
  const server = createServer(
    { ...options.tls, ca: options.frontProxyCa, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      reply(options, scraper, request)
        .then((value) => send(response, 200, value))
        .catch((error: unknown) => {
          const status = error instanceof StatusError ? error : internalError(messageOf(error));
          send(response, status.code, status.status);
        });
    },
  );
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      scraper.stop();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function reply(
  { world, informers }: MetricsServerOptions,
  scraper: Scraper,
  request: IncomingMessage,
): Promise<object> {
  if (!(request.socket as TLSSocket).authorized) throw unauthorized();
  const url = URL.parse(request.url ?? "/", "https://metrics");
  if (!url) throw notServed();
  const path = decodePath(url.pathname);
  if (request.method !== "GET")
    throw methodNotAllowed(
      { group: "metrics.k8s.io", resource: "pods" },
      (request.method ?? "").toLowerCase(),
    );
  if (!isDiscovery(path)) await scraper.ready();
  const podInformer = informers.of(pods);
  const asTable = /as=Table/.test(request.headers.accept ?? "");
  const value = answer(
    { path, query: url.searchParams, asTable },
    {
      nodes: () => informers.of(nodes).list(),
      pods: (namespace) => podInformer.list(namespace),
      scraper,
      nowMs: world.clock.now(),
    },
  );
  if (!value) throw notServed();
  return value;
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw notServed();
  }
}

function send(response: ServerResponse, status: number, value: unknown): void {
  if (response.destroyed) return;
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}
