/**
 * The `proxy` subresources of pods, services and nodes: HTTP through this server to what it can reach and the client
 * cannot. Bodies pass both ways at the reader's pace.
 * https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/#discovering-builtin-services
 */
import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage as Message,
  type RequestOptions,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import {
  badRequest,
  definitionOf,
  methodNotAllowed,
  notServed,
  type ResourceDefinition,
  type StatusError,
  serviceUnavailable,
  tooManyRequests,
} from "#api";
import { messageOf } from "#base";
import { type ApiRequest, type ApiResponse, bytesResponse } from "../http/exchange.ts";
import { type ResourceInfo, resourceInfoOf, splitProxied } from "../http/request-info.ts";
import { type Call, targetOf } from "../http/verbs.ts";
import type { Storage } from "../registry/storage.ts";
import { requestHeaders, responseHeaders, rewriteRedirect, upgradeHeaders } from "./headers.ts";
import { type Location, locationOf } from "./location.ts";
import type { KubeletClient } from "./node-proxy.ts";
import { Tunnels } from "./tunnel.ts";

const connectTimeoutMs = 10_000;
/** Requests and upgraded connections on their way at once. */
const openMax = 1_000;
const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
/** What Node lets into a request line. */
const sendable = /^[\x21-\x7e]*$/;

export class ResourceProxy {
  readonly #storage: Storage;
  readonly #kubelets: HttpsAgent;
  readonly #plain = new HttpAgent({ keepAlive: false });
  /** Certificates of workloads are signed by whomever they like: as upstream, they are not looked at. */
  readonly #unverified = new HttpsAgent({ keepAlive: false, rejectUnauthorized: false });
  readonly #tunnels = new Tunnels();
  #open = 0;

  constructor(storage: Storage, client: KubeletClient) {
    this.#storage = storage;
    this.#kubelets = new HttpsAgent({ ...client, keepAlive: false });
  }

  close(): void {
    this.#tunnels.close();
    for (const agent of [this.#kubelets, this.#plain, this.#unverified]) agent.destroy();
  }

  /** Undefined for what is no request to a proxy. */
  pass(call: Call): Promise<ApiResponse> | undefined {
    const { definition, info, request } = call;
    if (!isProxy(definition, info)) return undefined;
    if (!methods.has(request.method)) throw methodNotAllowed(definition, request.method.toLowerCase());
    targetOf(call);
    const location = this.#locate(definition, info);
    const { prefix, rest } = splitProxied(request.path);
    if (rest === "" && (request.method === "GET" || request.method === "HEAD")) {
      return Promise.resolve(toRoot(prefix, request.rawQuery));
    }
    return this.#forward(request, location, prefix, rest);
  }

  /** True when it took the connection over. */
  async upgrade(request: ApiRequest, client: Duplex, head: Buffer): Promise<boolean> {
    const info = resourceInfoOf(request.path);
    const definition = info && definitionOf(info.group, info.version, info.resource);
    if (!info || !definition || !isProxy(definition, info)) return false;
    if (definition.namespaced && !info.namespace) throw notServed();
    const location = this.#locate(definition, info);
    const { rest } = splitProxied(request.path);
    const headers = upgradeHeaders(request.headers, request.path);
    const outgoing = this.#dial(location, request, rest, headers);
    await this.#tunnels.open(outgoing, client, head, unreachable);
    return true;
  }

  #locate(definition: ResourceDefinition, info: ResourceInfo): Location {
    const { random } = this.#storage.world;
    return locationOf(this.#storage, definition, info.namespace, info.name, random);
  }

  #forward(request: ApiRequest, location: Location, prefix: string, rest: string): Promise<ApiResponse> {
    const { signal, stream, headers } = request;
    const outgoing = this.#dial(location, request, rest, requestHeaders(headers, request.path), signal);
    return new Promise((resolve, reject) => {
      outgoing.on("error", (error) => reject(unreachable(error)));
      outgoing.on("response", (incoming: Message) => {
        // Whoever has gone reads nothing any more; an error of the answer is its reader's affair.
        incoming.on("error", () => {});
        const status = incoming.statusCode ?? 0;
        if (status < 200 || status > 599) {
          outgoing.destroy(new Error(`the answer has the status ${status}`));
          return;
        }
        const hosts = [location.host, `${location.host}:${location.port}`, headers.host ?? ""];
        resolve(answerOf(incoming, prefix, hosts));
      });
      if (stream) {
        // Node sets it only for methods that usually have a body.
        if (!outgoing.hasHeader("content-length")) outgoing.setHeader("transfer-encoding", "chunked");
        stream.on("error", () => outgoing.destroy());
        stream.pipe(outgoing);
      } else {
        if (request.body.length > 0) outgoing.setHeader("content-length", request.body.length);
        outgoing.end(request.body);
      }
    });
  }

  #dial(
    location: Location,
    request: ApiRequest,
    rest: string,
    headers: Record<string, string>,
    signal?: AbortSignal,
  ): ClientRequest {
    const { host, port, scheme, isKubelet } = location;
    const path = (rest || "/") + (request.rawQuery ? `?${request.rawQuery}` : "");
    if (!sendable.test(path)) throw badRequest("the path has characters that must be escaped");
    if (this.#open + this.#tunnels.count >= openMax)
      throw tooManyRequests("too many requests pass through already", 1);
    const isHttps = scheme === "https";
    const agent = isKubelet ? this.#kubelets : isHttps ? this.#unverified : this.#plain;
    const options: RequestOptions = {
      // Small servers end their lines as they like; browsers and Go take them all.
      insecureHTTPParser: !isKubelet,
      host,
      port,
      path,
      method: request.method,
      headers,
      agent,
      ...(signal ? { signal } : {}),
    };
    const outgoing = isHttps ? httpsRequest({ ...options, servername: "" }) : httpRequest(options);
    this.#open++;
    outgoing.once("close", () => this.#open--);
    limitConnecting(outgoing, isHttps);
    return outgoing;
  }
}

function isProxy(definition: ResourceDefinition, info: ResourceInfo): boolean {
  return info.subresource === "proxy" && Object.hasOwn(definition.subresources, "proxy");
}

/** Only connecting has a limit: an answer may take as long as its reader waits. */
function limitConnecting(outgoing: ClientRequest, isHttps: boolean): void {
  outgoing.setTimeout(connectTimeoutMs, () =>
    outgoing.destroy(new Error("the connection was not made in time")),
  );
  outgoing.once("socket", (socket) =>
    socket.once(isHttps ? "secureConnect" : "connect", () => outgoing.setTimeout(0)),
  );
}

/** Relative links of a page need the slash at the end of what they are relative to. */
function toRoot(prefix: string, rawQuery: string): ApiResponse {
  const location = `${prefix}/${rawQuery ? `?${rawQuery}` : ""}`;
  return bytesResponse(301, "text/plain; charset=utf-8", Buffer.alloc(0), { location });
}

function answerOf(incoming: Message, prefix: string, hosts: readonly string[]): ApiResponse {
  const headers = responseHeaders(incoming.headers);
  if (headers.location) headers.location = rewriteRedirect(headers.location, prefix, hosts);
  const cookies = incoming.headers["set-cookie"];
  return { status: incoming.statusCode ?? 200, headers, ...(cookies ? { cookies } : {}), body: incoming };
}

function unreachable(error: unknown): StatusError {
  return serviceUnavailable(`error trying to reach service: ${messageOf(error)}`);
}
