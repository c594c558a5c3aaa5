/**
 * exec, attach and port-forward: the runtime serves them over SPDY. A SPDY client is joined to the runtime byte for
 * byte, a WebSocket client through a translator (exec, attach) or a tunnel of SPDY in WebSocket messages
 * (port-forward). https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
 */
import type { IncomingMessage } from "node:http";
import { connect, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createWebSocketStream } from "ws";
import type { corev1 } from "#api";
import type { StreamOptions } from "#contracts";
import { containerNamed } from "../pod-containers.ts";
import { isRunning, latestContainer, type ObservedContainer } from "../pod-state.ts";
import { chooseProtocol } from "./channels.ts";
import { serveRemoteCommand } from "./remote-command.ts";
import {
  booleanParameter,
  findPod,
  findWorker,
  HttpError,
  type PodTarget,
  pathParts,
  type Serving,
  type StreamServing,
} from "./request.ts";
import { upgradeToSpdy } from "./runtime-upgrade.ts";
import { SpdyConnection } from "./spdy/connection.ts";
import { acceptWebSocket, checkHandshake, isWebSocket, offeredProtocols } from "./web-socket.ts";

interface Upgrade {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
  /** Aborts when the client has gone. */
  gone: AbortSignal;
  idleMs: number;
}

/** How the runtime serves a stream: where, and for exec and attach which streams. */
interface RuntimeStream {
  url: URL;
  streams: StreamOptions | undefined;
  isExec: boolean;
}

const tunnelProtocol = "SPDY/3.1+portforward.k8s.io";
const portForwardProtocol = "portforward.k8s.io";
/** What runtimes speak over WebSocket themselves: for each port a data and an error channel. */
const portChannelProtocols = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io", portForwardProtocol];
const commandProtocol = "v4.channel.k8s.io";
/** A peer that lost power is noticed after so long without a word. */
const keepAliveMs = 30_000;
const portsMax = 100;

async function runtimeStream(serving: Serving, url: URL): Promise<RuntimeStream> {
  const verb = url.pathname.split("/")[1];
  const [namespace, name, ...rest] = pathParts(url);
  if (verb === "portForward") {
    const target = await findPod(serving, namespace, name);
    return {
      url: await portForwardUrl(serving, target, portsOf(url)),
      streams: undefined,
      isExec: false,
    };
  }
  if (verb !== "exec" && verb !== "attach") throw new HttpError(404, "404 page not found");
  const container = rest.at(-1) ?? "";
  const { pod, uid } = findWorker(serving, namespace, name);
  const isExec = verb === "exec";
  const tty = isExec ? booleanParameter(url, "tty") : (containerNamed(pod, container)?.tty ?? false);
  const streams = wantedStreams(url, tty);
  const command = url.searchParams.getAll("command");
  if (isExec && command.length === 0)
    throw new HttpError(400, "you must specify at least 1 command for the container");
  const { runtime, statuses } = serving.context;
  const ask = (id: string) => (isExec ? runtime.exec(id, command, streams) : runtime.attach(id, streams));
  // It most likely still runs; otherwise the runtime refuses, and is asked what does.
  const known = runningId(statuses.get(uid), container);
  const answer = known && (await ask(known).catch(() => undefined));
  const found = async () => runningContainer(await findPod(serving, namespace, name), container).id;
  return { url: new URL(answer || (await ask(await found()))), streams, isExec };
}

/** As it was last reported. */
function runningId(status: Readonly<corev1.PodStatus> | undefined, container: string): string | undefined {
  const {
    containerStatuses = [],
    initContainerStatuses = [],
    ephemeralContainerStatuses = [],
  } = status ?? {};
  const all = [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses];
  const reported = all.find((each) => each.name === container);
  return reported?.state?.running && reported.containerID?.split("://")[1];
}

/** Clients show these words as they are: nothing in them may read as YAML. */
function runningContainer({ state }: PodTarget, name: string): ObservedContainer {
  const latest = latestContainer(state, name);
  if (latest && isRunning(latest)) return latest;
  throw new HttpError(500, `container not found (${JSON.stringify(name)})`);
}

/** The ports that a WebSocket client names before it speaks; SPDY names one with each stream. */
function portsOf(url: URL): number[] {
  const names = url.searchParams.getAll("port").flatMap((text) => text.split(","));
  if (names.length > portsMax) throw new HttpError(400, `at most ${portsMax} ports at once`);
  return names.map((text) => {
    const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
    if (port < 1 || port > 65_535) throw new HttpError(400, `invalid port: ${text.slice(0, 50)}`);
    return port;
  });
}

async function portForwardUrl(serving: Serving, target: PodTarget, ports: number[]): Promise<URL> {
  const sandbox = target.state.sandboxes.find((s) => s.state === "SANDBOX_READY");
  if (!sandbox) throw new HttpError(400, `pod ${target.pod.metadata.name} is not running`);
  return new URL(await serving.context.runtime.portForward(sandbox.id, ports));
}

function wantedStreams(url: URL, tty: boolean): StreamOptions {
  const streams = {
    stdin: booleanParameter(url, "input", "stdin"),
    stdout: booleanParameter(url, "output", "stdout"),
    // A terminal has one output.
    stderr: !tty && booleanParameter(url, "error", "stderr"),
    tty,
  };
  if (streams.stdin || streams.stdout || streams.stderr) return streams;
  throw new HttpError(400, "you must specify at least 1 of stdin, stdout, stderr");
}

/**
 * Joins two connections. When the client's ends, so does the runtime's, at once; when the runtime's ends, the client
 * still gets what is on its way.
 */
function join(client: Duplex, runtime: Duplex): void {
  const clientGone = () => {
    client.destroy();
    runtime.destroy();
  };
  const runtimeGone = () => {
    runtime.destroy();
    if (client instanceof Socket) client.destroySoon();
    else client.end();
  };
  client.on("error", clientGone).on("close", clientGone);
  runtime.on("error", runtimeGone).on("close", runtimeGone);
  client.pipe(runtime);
  runtime.pipe(client);
  if (client.destroyed) clientGone();
}

/** On the runtime's side: what a client says to keep its own side open is not heard there. */
function closeWhenIdle(runtime: Duplex, idleMs: number): void {
  if (runtime instanceof Socket) runtime.setTimeout(idleMs, () => runtime.destroy());
}

const hopHeaders = new Set(["host", "authorization"]);

/** The handshake and the bytes as they are. */
async function joinRaw({ request, socket, head, idleMs }: Upgrade, target: URL): Promise<void> {
  const upstream = connect({ host: target.hostname.replace(/^\[|\]$/g, ""), port: Number(target.port) });
  await new Promise<void>((resolve, reject) => {
    upstream.once("connect", resolve);
    upstream.once("error", reject);
  });
  const lines = [`${request.method} ${target.pathname}${target.search} HTTP/1.1`, `Host: ${target.host}`];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i]!;
    const isProtocols = name.toLowerCase() === "sec-websocket-protocol";
    const value = isProtocols ? portChannels(request).join(", ") : request.rawHeaders[i + 1];
    if (value && !hopHeaders.has(name.toLowerCase())) lines.push(`${name}: ${value}`);
  }
  upstream.setNoDelay(true);
  closeWhenIdle(upstream, idleMs);
  upstream.write(`${lines.join("\r\n")}\r\n\r\n`);
  if (head.length > 0) upstream.write(head);
  join(socket, upstream);
}

function portChannels(request: IncomingMessage): string[] {
  return offeredProtocols(request).filter((name) => portChannelProtocols.includes(name));
}

async function translate(
  serving: Serving,
  { request, socket, head, gone, idleMs }: Upgrade,
  { url, isExec }: RuntimeStream,
  streams: StreamOptions,
): Promise<void> {
  checkHandshake(request);
  const offered = offeredProtocols(request);
  const protocol = chooseProtocol(offered);
  if (!protocol) throw unknownProtocols(offered);
  const connection = await upgradeToSpdy(url, commandProtocol, gone);
  closeWhenIdle(connection, idleMs);
  const client = acceptWebSocket(request, socket, head, protocol.name);
  if (!client) {
    connection.destroy();
    return;
  }
  const runtime = new SpdyConnection(connection);
  const { clock } = serving.context.world;
  await serveRemoteCommand({ client, protocol, runtime, streams, hangsUp: isExec && streams.tty, clock });
}

/** SPDY inside the messages of a WebSocket, taken out and passed on. */
async function tunnel({ request, socket, head, gone, idleMs }: Upgrade, url: URL): Promise<void> {
  checkHandshake(request);
  const connection = await upgradeToSpdy(url, portForwardProtocol, gone);
  closeWhenIdle(connection, idleMs);
  const client = acceptWebSocket(request, socket, head, tunnelProtocol);
  if (!client) {
    connection.destroy();
    return;
  }
  join(createWebSocketStream(client), connection);
}

function unknownProtocols(offered: readonly string[]): HttpError {
  const names = offered.join(", ").slice(0, 200);
  return new HttpError(400, `unable to upgrade: none of the subprotocols is supported: ${names}`);
}

export async function serveStream(
  serving: StreamServing,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  url: URL,
): Promise<void> {
  const left = new AbortController();
  socket.once("close", () => left.abort());
  if (socket instanceof Socket) socket.setNoDelay(true).setKeepAlive(true, keepAliveMs);
  const upgrade = { request, socket, head, gone: left.signal, idleMs: serving.idleMs };
  const runtime = await runtimeStream(serving, url);
  const { url: target, streams } = runtime;
  if (!isWebSocket(request)) return joinRaw(upgrade, target);
  if (streams) return translate(serving, upgrade, runtime, streams);
  const offered = offeredProtocols(request);
  if (offered.includes(tunnelProtocol)) return tunnel(upgrade, target);
  if (offered.length > 0 && portChannels(request).length === 0) throw unknownProtocols(offered);
  return joinRaw(upgrade, target);
}
