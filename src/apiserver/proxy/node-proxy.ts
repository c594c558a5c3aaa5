/**
 * Streams through to a pod's node: logs, exec, attach, port-forward. The handshake and the bytes pass through as they
 * are, for SPDY and WebSocket clients alike; only the path changes, and this server proves to the kubelet who it is.
 * https://kubernetes.io/docs/concepts/architecture/control-plane-node-communication/#apiserver-to-kubelet
 */
import type { IncomingMessage as Message } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { createSecureContext } from "node:tls";
import {
  badRequest,
  type corev1,
  definitionOf,
  internalError,
  methodNotAllowed,
  nodes,
  notServed,
  pods,
  type ResourceDefinition,
  StatusError,
} from "#api";
import { messageOf } from "#base";
import type { ApiRequest, ApiResponse } from "../http/exchange.ts";
import { resourceInfoOf } from "../http/request-info.ts";
import type { Call } from "../http/verbs.ts";
import type { Storage } from "../registry/storage.ts";
import { checkLogOptions } from "./log-options.ts";
import { refusalWords, Tunnels } from "./tunnel.ts";

export interface KubeletClient {
  cert: string;
  key: string;
  ca: string;
}

/** Where on which kubelet. */
interface Destination {
  host: string;
  port: number;
  path: string;
}

/** The subresource's name on the kubelet. */
const kubeletPaths: Readonly<Record<string, string>> = {
  log: "containerLogs",
  exec: "exec",
  attach: "attach",
  portforward: "portForward",
};
const connectTimeoutMs = 10_000;

export class NodeProxy {
  readonly #storage: Storage;
  readonly #agent: Agent;
  readonly #tunnels = new Tunnels();

  constructor(storage: Storage, client: KubeletClient) {
    this.#storage = storage;
    // Read once: keys and certificates take longer to read than a session to begin again.
    this.#agent = new Agent({ secureContext: createSecureContext({ ...client }), keepAlive: false });
  }

  close(): void {
    this.#tunnels.close();
    this.#agent.destroy();
  }

  /** Logs, which need no upgrade. Undefined for what is no stream from a node. */
  stream(call: Call): Promise<ApiResponse> | undefined {
    const { definition, info, request } = call;
    if (definition !== (pods as ResourceDefinition) || !Object.hasOwn(kubeletPaths, info.subresource))
      return undefined;
    if (info.subresource !== "log") {
      throw badRequest(
        "you must specify at least 1 of stdin, stdout, stderr by an upgraded connection: Upgrade request required",
      );
    }
    if (request.method !== "GET") throw methodNotAllowed(definition, request.method.toLowerCase());
    checkLogOptions(info.name, new URLSearchParams(request.query));
    const destination = this.#destination(request, info.namespace, info.name, "log");
    // What has no node yet has said nothing yet.
    if (!destination)
      return Promise.resolve({
        status: 200,
        headers: { "content-type": "text/plain" },
        body: Buffer.alloc(0),
      });
    return this.#logs(destination, request);
  }

  /** exec, attach and port-forward: a raw tunnel once the kubelet has agreed. */
  async upgrade(request: ApiRequest, message: Message, client: Duplex, head: Buffer): Promise<void> {
    const info = resourceInfoOf(request.path);
    const definition = info && definitionOf(info.group, info.version, info.resource);
    const isStream =
      definition === (pods as ResourceDefinition) && Object.hasOwn(kubeletPaths, info?.subresource ?? "");
    if (!info || !isStream || info.subresource === "log") throw notServed();
    const destination = this.#destination(request, info.namespace, info.name, info.subresource);
    if (!destination) throw badRequest(`pod ${info.name} does not have a host assigned`);
    const headers: Record<string, string | string[]> = {
      ...upgradeHeaders(message),
      host: `${destination.host}:${destination.port}`,
    };
    const { host, port, path } = destination;
    const outgoing = httpsRequest({ host, port, path, method: request.method, headers, agent: this.#agent });
    await this.#tunnels.open(outgoing, client, head, (error) => dialError(destination, error));
  }

  /** Undefined for a pod without a node. */
  #destination(
    request: ApiRequest,
    namespace: string | undefined,
    name: string,
    subresource: string,
  ): Destination | undefined {
    const pod = this.#storage.get(pods as ResourceDefinition, namespace, name).parse() as corev1.Pod;
    const query = new URLSearchParams(request.query);
    const parts = [kubeletPaths[subresource]!, namespace!, name];
    if (subresource !== "portforward") {
      parts.push(containerOf(pod, query));
      query.delete("container");
    }
    const nodeName = pod.spec.nodeName;
    if (!nodeName) return undefined;
    const node = this.#storage.get(nodes as ResourceDefinition, undefined, nodeName).parse() as corev1.Node;
    const host = node.status?.addresses?.find((a) => a.type === "InternalIP")?.address;
    const port = node.status?.daemonEndpoints?.kubeletEndpoint?.Port;
    if (!host || !port) throw unreachable(`node ${nodeName} does not say where its kubelet listens`);
    const path = `/${parts.map(encodeURIComponent).join("/")}`;
    return { host, port, path: kubeletQuery(path, query, subresource) };
  }

  #logs(destination: Destination, request: ApiRequest): Promise<ApiResponse> {
    return new Promise((resolve, reject) => {
      const { host, port, path } = destination;
      const outgoing = httpsRequest({
        host,
        port,
        path,
        method: "GET",
        agent: this.#agent,
        signal: request.signal,
      });
      // A followed log may be silent for hours: only the answer itself is waited for with a limit.
      outgoing.setTimeout(connectTimeoutMs, () =>
        outgoing.destroy(new Error("the kubelet did not answer in time")),
      );
      outgoing.on("error", (error) => reject(dialError(destination, error)));
      outgoing.on("response", (incoming: Message) => {
        outgoing.setTimeout(0);
        if (incoming.statusCode === 200) {
          const contentType = incoming.headers["content-type"] ?? "text/plain";
          resolve({ status: 200, headers: { "content-type": contentType }, body: incoming });
        } else refusalWords(incoming).then((words) => reject(refusal(incoming.statusCode, words)), reject);
      });
      outgoing.end();
    });
  }
}

/** The container that was named, or the only one. */
function containerOf({ spec, metadata }: Readonly<corev1.Pod>, query: URLSearchParams): string {
  const { containers, initContainers = [], ephemeralContainers = [] } = spec;
  const named = query.get("container");
  if (named) {
    if ([...initContainers, ...containers, ...ephemeralContainers].some(({ name }) => name === named))
      return named;
    throw badRequest(`container ${named} is not valid for pod ${metadata.name}`);
  }
  if (containers.length === 1) return containers[0]!.name;
  const names = (list: readonly { name: string }[]) => list.map(({ name }) => name).join(" ");
  const inits = initContainers.length > 0 ? ` or one of the init containers: [${names(initContainers)}]` : "";
  const choice = `choose one of: [${names(containers)}]${inits}`;
  throw badRequest(`a container name must be specified for pod ${metadata.name}, ${choice}`);
}

/** The kubelet's own names of the streams. */
const streamNames: ReadonlyMap<string, string> = new Map([
  ["stdin", "input"],
  ["stdout", "output"],
  ["stderr", "error"],
  ["tty", "tty"],
]);

function kubeletQuery(path: string, query: URLSearchParams, subresource: string): string {
  const wanted = new URLSearchParams();
  for (const [name, value] of query) {
    const stream = streamNames.get(name);
    if (subresource === "log") wanted.append(name, value);
    else if (subresource === "portforward") {
      if (name === "ports") wanted.append("port", value);
    } else if (name === "command") wanted.append(name, value);
    else if (stream && value !== "false" && value !== "0") wanted.append(stream, "1");
  }
  const text = wanted.toString();
  return text ? `${path}?${text}` : path;
}

const passedHeaders = ["connection", "upgrade", "origin", "user-agent"];

function upgradeHeaders(message: Message): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(message.headers)) {
    if (value === undefined) continue;
    if (
      passedHeaders.includes(name) ||
      name.startsWith("x-stream-protocol") ||
      name.startsWith("sec-websocket-")
    ) {
      headers[name] = name === "x-stream-protocol-version" ? distinct(message, name) : value;
    }
  }
  return headers;
}

/** Node joins repeated headers with commas, which SPDY servers do not take apart. */
function distinct(message: Message, name: string): string[] {
  return message.headersDistinct[name] ?? [];
}

/** What the kubelet says to a plain request, as a Status: `container "c" in pod "web" is waiting to start`. */
function refusal(code: number | undefined, words: Buffer): StatusError {
  const message = words.toString("utf8").trim() || `the kubelet answered ${code}`;
  if (code === 400) return badRequest(message);
  if (code === 404) return StatusError.of(404, "NotFound", message);
  return code === 403 ? StatusError.of(403, "Forbidden", message) : internalError(message);
}

function dialError({ host, port }: Destination, error: unknown): StatusError {
  return unreachable(`error dialing backend: ${host}:${port}: ${messageOf(error)}`);
}

function unreachable(message: string): StatusError {
  return StatusError.of(503, "ServiceUnavailable", message);
}
