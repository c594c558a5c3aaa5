/**
 * Calls webhooks: admission, conversion of custom resources. A service is reached at one of its ready endpoints, under
 * the name its certificate must have.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#contacting-the-webhook
 */
import { Agent, type RequestOptions, request } from "node:https";
import type { admissionregistrationv1 } from "#api";
import { messageOf } from "#base";
import { endpointOf } from "../proxy/location.ts";
import type { Storage } from "../registry/storage.ts";

type ClientConfig = Readonly<admissionregistrationv1.WebhookClientConfig>;

const answerMaxBytes = 6 * 1024 * 1024;
const agentsMax = 200;
const defaultPort = 443;

/** The webhook could not be asked, or its answer is none. */
export class WebhookError extends Error {}

export class WebhookClient {
  readonly #storage: Storage;
  /** One for each authority: connections are kept open. */
  readonly #agents = new Map<string, Agent>();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  /** Posts JSON and answers JSON. Throws `WebhookError` with the words of upstream's client. */
  async post(config: ClientConfig, body: unknown, timeoutMs: number): Promise<unknown> {
    const { url, options } = this.#addressOf(config);
    const asked = `${url}?timeout=${timeoutMs / 1000}s`;
    try {
      const { status, text } = await exchange(options, JSON.stringify(body), timeoutMs);
      if (status < 200 || status > 299)
        throw new Error(`the server responded with status ${status}: ${text.slice(0, 300)}`);
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new WebhookError(`Post ${JSON.stringify(asked)}: ${messageOf(error)}`);
    }
  }

  #addressOf({ url, service, caBundle = "" }: ClientConfig): { url: string; options: RequestOptions } {
    const agent = this.#agentOf(caBundle);
    if (!service) {
      const { hostname, port, pathname, search, href } = new URL(url ?? "");
      const host = hostname.replace(/^\[|\]$/g, "");
      const options = { host, port: port ? Number(port) : defaultPort, path: pathname + search, agent };
      return { url: href, options };
    }
    const { namespace, name, path = "/", port = defaultPort } = service;
    const serverName = `${name}.${namespace}.svc`;
    const full = `https://${serverName}:${port}${path}`;
    const { random } = this.#storage.world;
    try {
      const endpoint = endpointOf(this.#storage, { namespace, name, port }, random);
      const headers = { host: `${serverName}:${port}` };
      return { url: full, options: { ...endpoint, path, servername: serverName, headers, agent } };
    } catch (error) {
      throw new WebhookError(`Post ${JSON.stringify(full)}: ${messageOf(error)}`);
    }
  }

  #agentOf(caBundle: string): Agent {
    const known = this.#agents.get(caBundle);
    if (known) return known;
    if (this.#agents.size >= agentsMax) this.close();
    const ca = caBundle ? { ca: Buffer.from(caBundle, "base64") } : {};
    const agent = new Agent({ ...ca, keepAlive: true, maxSockets: 100 });
    this.#agents.set(caBundle, agent);
    return agent;
  }
}

function exchange(
  options: RequestOptions,
  body: string,
  timeoutMs: number,
): Promise<{ status: number; text: string }> {
  const headers = {
    accept: "application/json",
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...(options.headers as Record<string, string>),
  };
  const signal = AbortSignal.timeout(timeoutMs);
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(signal.aborted ? new Error("context deadline exceeded") : error);
    const outgoing = request({ ...options, method: "POST", headers, signal }, (incoming) => {
      const chunks: Buffer[] = [];
      let size = 0;
      incoming.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > answerMaxBytes)
          outgoing.destroy(new Error(`the answer is larger than ${answerMaxBytes} bytes`));
        else chunks.push(chunk);
      });
      incoming.on("error", fail);
      incoming.on("end", () =>
        resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
      );
    });
    outgoing.on("error", fail);
    outgoing.end(body);
  });
}
