/**
 * The kubelet's server: logs, exec, attach, port-forward and a few facts, over HTTPS.
 * https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { TLSSocket } from "node:tls";
import { messageOf } from "#base";
import type { ServerSettings } from "../config/settings.ts";
import { kubeletMetrics } from "../metrics.ts";
import { createAccess } from "./access.ts";
import { type Listening, listen } from "./listen.ts";
import { startHealthServer, startReadOnlyServer } from "./plain.ts";
import { HttpError, urlOf } from "./request.ts";
import { meterRequest } from "./request-metrics.ts";
import { checkDebugging, dispatch, type RouteOptions, routes, sendError } from "./routes.ts";
import { serveStream } from "./streaming.ts";
import { followServingPair, readServingPair, type ServingPair, tlsOptionsOf } from "./tls.ts";

export interface KubeletServerOptions extends RouteOptions {
  host: string;
  port: number;
  /** PEM. */
  tls: ServingPair;
  /** PEM; a client without a certificate of this authority is refused. */
  clientCa: string | Buffer;
  settings: ServerSettings;
}

export type KubeletServer = Listening;

/** Longer than this no timer of Node's waits. */
const timerMaxMs = 2 ** 31 - 1;

/** The path as it is answered, so that nobody is asked about another; "/" where there is none. */
const pathOf = (request: IncomingMessage) =>
  URL.parse(request.url ?? "/", "https://kubelet")?.pathname ?? "/";

function createSecureServer(options: KubeletServerOptions, pair: ServingPair): Server {
  const { world, settings } = options;
  const { client, nodeName } = options.context;
  const access = createAccess({ client, world, nodeName, settings });
  const table = routes(options);
  const debugging = settings.enableDebuggingHandlers;
  const metrics = kubeletMetrics(world.metrics);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    meterRequest(metrics, world.clock, table, request, response);
    await access.check(request, request.socket as TLSSocket, pathOf(request));
    const url = urlOf(request);
    checkDebugging(debugging, url);
    await dispatch(table, request, response, url);
  }

  async function upgrade(request: IncomingMessage, socket: TLSSocket, head: Buffer): Promise<void> {
    // Node leaves a connection to whoever upgrades it, with its errors.
    socket.on("error", () => socket.destroy());
    await access.check(request, socket, pathOf(request));
    const url = urlOf(request);
    checkDebugging(debugging, url);
    const idleMs = Math.min(settings.streamingIdleMs, timerMaxMs);
    await serveStream({ ...options, idleMs }, request, socket, head, url);
  }

  const server: Server = createServer(
    {
      ...pair,
      ...tlsOptionsOf(settings),
      ca: options.clientCa,
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      handle(request, response).catch((error: unknown) => sendError(response, error, world));
    },
  );
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
  return server;
}

async function startSecureServer(options: KubeletServerOptions): Promise<Listening> {
  const { settings, world, clientCa } = options;
  const pair = await readServingPair(settings, options.tls);
  const server = createSecureServer(options, pair);
  const listening = await listen(server, options.host, options.port, "the kubelet");
  const ending = new AbortController();
  const renew = (next: ServingPair) =>
    server.setSecureContext({ ...next, ...tlsOptionsOf(settings), ca: clientCa });
  const following = followServingPair(settings, pair, renew, world, ending.signal);
  return {
    port: listening.port,
    async stop() {
      ending.abort();
      await Promise.all([listening.stop(), following]);
    },
  };
}

/** All servers that the settings want; the port is that of the one with TLS, whether it is there or not. */
export async function startKubeletServer(options: KubeletServerOptions): Promise<KubeletServer> {
  const { settings, host, port } = options;
  const started: Pick<Listening, "stop">[] = [];
  const stop = async () => {
    await Promise.all(started.map((each) => each.stop()));
  };
  try {
    const secure = settings.enableServer ? await startSecureServer(options) : { port, stop: async () => {} };
    started.push(secure);
    if (settings.readOnlyPort > 0)
      started.push(await startReadOnlyServer(options, host, settings.readOnlyPort));
    if (settings.healthzPort > 0)
      started.push(startHealthServer(options, settings.healthzBindAddress, settings.healthzPort));
    return { port: secure.port, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
