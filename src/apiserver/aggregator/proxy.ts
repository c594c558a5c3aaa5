/**
 * Requests for the server behind an APIService: passed on with who asks in the headers, under the front proxy's own
 * certificate.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
 */
import type { ClientRequest, IncomingMessage as Message } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { type apiregistrationv1, serviceUnavailable } from "#api";
import { messageOf } from "#base";
import type { ApiRequest, ApiResponse } from "../http/exchange.ts";
import { requestHeaders, responseHeaders, upgradeHeaders } from "../proxy/headers.ts";
import { endpointOf } from "../proxy/location.ts";
import { Tunnels } from "../proxy/tunnel.ts";
import type { Storage } from "../registry/storage.ts";
import type { User } from "../user.ts";

/** PEM: what the front proxy shows, and the authority that it is known by. */
export interface FrontProxy {
  cert: string;
  key: string;
  ca: string;
}

const agentsMax = 100;

export class AggregatorProxy {
  readonly #storage: Storage;
  readonly #frontProxy: FrontProxy | undefined;
  readonly #agents = new Map<string, Agent>();
  readonly #tunnels = new Tunnels();

  constructor(storage: Storage, frontProxy: FrontProxy | undefined) {
    this.#storage = storage;
    this.#frontProxy = frontProxy;
  }

  close(): void {
    this.#tunnels.close();
    this.#endAgents();
  }

  #endAgents(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  forward(service: Readonly<apiregistrationv1.APIService>, request: ApiRequest): Promise<ApiResponse> {
    const { headers, method, path, rawQuery, body, signal } = request;
    const passed = requestHeaders(headers, path);
    const target = rawQuery ? `${path}?${rawQuery}` : path;
    if (body.length > 0) passed["content-length"] = String(body.length);
    const outgoing = this.dial(service, {
      method,
      path: target,
      headers: passed,
      user: request.user,
      signal,
    });
    return new Promise((resolve, reject) => {
      outgoing.on("error", (error) => reject(unreachable(error)));
      outgoing.on("response", (incoming: Message) => {
        // Whoever has gone reads nothing any more; an error of the answer is its reader's affair.
        incoming.on("error", () => {});
        resolve({
          status: incoming.statusCode ?? 502,
          headers: responseHeaders(incoming.headers),
          body: incoming,
        });
      });
      outgoing.end(body);
    });
  }

  /** A raw tunnel once the other server has agreed. */
  tunnel(
    service: Readonly<apiregistrationv1.APIService>,
    request: ApiRequest,
    client: Duplex,
    head: Buffer,
  ): Promise<void> {
    const { headers, method, path, rawQuery, user } = request;
    const target = rawQuery ? `${path}?${rawQuery}` : path;
    const passed = upgradeHeaders(headers, path);
    const outgoing = this.dial(service, { method, path: target, headers: passed, user });
    return this.#tunnels.open(outgoing, client, head, unreachable);
  }

  /** Throws 503 where nobody is there to be asked. */
  dial(
    service: Readonly<apiregistrationv1.APIService>,
    options: {
      method: string;
      path: string;
      headers: Record<string, string>;
      user: User;
      signal?: AbortSignal;
    },
  ): ClientRequest {
    const { namespace = "", name = "", port = 443 } = service.spec?.service ?? {};
    const endpoint = endpointOf(this.#storage, { namespace, name, port }, this.#storage.world.random);
    const own = Object.entries(options.headers).filter(([header]) => !header.startsWith("x-remote-"));
    const headers = { ...Object.fromEntries(own), ...identityHeaders(options.user) };
    return httpsRequest({
      ...endpoint,
      method: options.method,
      path: options.path,
      headers: { ...headers, host: `${name}.${namespace}.svc:${port}` },
      servername: `${name}.${namespace}.svc`,
      agent: this.#agentOf(service),
      ...(options.signal ? { signal: options.signal } : {}),
    });
  }

  #agentOf({ spec }: Readonly<apiregistrationv1.APIService>): Agent {
    const { caBundle = "", insecureSkipTLSVerify = false } = spec ?? {};
    const id = `${insecureSkipTLSVerify} ${caBundle}`;
    const known = this.#agents.get(id);
    if (known) return known;
    if (this.#agents.size >= agentsMax) this.#endAgents();
    const { cert, key } = this.#frontProxy ?? {};
    const agent = new Agent({
      keepAlive: true,
      rejectUnauthorized: !insecureSkipTLSVerify,
      ...(caBundle ? { ca: Buffer.from(caBundle, "base64") } : {}),
      ...(cert && key ? { cert, key } : {}),
    });
    this.#agents.set(id, agent);
    return agent;
  }
}

/** Who asks, for a server that believes the front proxy. */
function identityHeaders(user: User): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {
    "x-remote-user": user.username,
    "x-remote-group": [...user.groups],
  };
  if (user.uid) headers["x-remote-uid"] = user.uid;
  for (const [name, values] of Object.entries(user.extra ?? {}))
    headers[`x-remote-extra-${encodeURIComponent(name).toLowerCase()}`] = [...values];
  return headers;
}

function unreachable(error: unknown): Error {
  return serviceUnavailable(`error trying to reach service: ${messageOf(error)}`);
}
