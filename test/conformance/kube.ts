/**
 * The cluster as a stock client sees it: `@kubernetes/client-node` brings identity, transport options and watches; `send` sends any request, for what typed calls hide (tables, other media types, errors as they are).
 */
import type { IncomingHttpHeaders } from "node:http";
import { type RequestOptions, request } from "node:https";
import { KubeConfig, Watch } from "@kubernetes/client-node";
import type { Draft, KubernetesList, KubernetesObject, metav1, ResourceType } from "#api";
import { pathOf } from "#api";
import { eventually } from "../eventually.ts";

export interface Answer<T> {
  code: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The parsed body; undefined where it is no JSON. */
  body: T;
}

export interface Sent {
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  contentType?: string;
  headers?: Record<string, string>;
}

export type PatchType = "json" | "merge" | "strategic" | "apply";

const patchTypes: Record<PatchType, string> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

/** What the server answered where something else was needed. */
export class AnswerError extends Error {
  readonly code: number;
  readonly status: metav1.Status | undefined;

  constructor(what: string, answer: Answer<unknown>) {
    super(`${what}: ${answer.code} ${answer.text.slice(0, 2_000)}`);
    this.code = answer.code;
    this.status = answer.body as metav1.Status | undefined;
  }
}

export interface WatchEvent<T> {
  type: string;
  object: T;
}

export class Kube {
  readonly config: KubeConfig;

  constructor(config: KubeConfig) {
    this.config = config;
  }

  static fromFile(kubeconfig: string): Kube {
    const config = new KubeConfig();
    config.loadFromFile(kubeconfig);
    return new Kube(config);
  }

  /** The same cluster as somebody who only has this token. */
  withToken(token: string): Kube {
    const cluster = this.config.getCurrentCluster();
    if (!cluster) throw new Error("the kubeconfig names no cluster");
    const config = new KubeConfig();
    config.loadFromClusterAndUser(cluster, { name: "token", token });
    return new Kube(config);
  }

  /** Any request; every answer of the server is an answer. */
  async send<T = unknown>(method: string, path: string, sent: Sent = {}): Promise<Answer<T>> {
    const url = new URL(path, this.config.getCurrentCluster()?.server);
    for (const [key, value] of Object.entries(sent.query ?? {}))
      if (value !== undefined) url.searchParams.append(key, String(value));
    const options: RequestOptions = { method, headers: { accept: "application/json" }, timeout: 60_000 };
    await this.config.applyToHTTPSOptions(options);
    const headers = { ...(options.headers as Record<string, string>), ...sent.headers };
    const body = sent.body === undefined ? undefined : textOf(sent.body);
    if (body !== undefined) {
      headers["content-type"] = sent.contentType ?? "application/json";
      headers["content-length"] = String(Buffer.byteLength(body));
    }
    return exchange<T>(url, { ...options, headers }, body);
  }

  /** The body of a successful request. */
  async ask<T>(method: string, path: string, sent?: Sent): Promise<T> {
    const answer = await this.send<T>(method, path, sent);
    if (answer.code >= 300) throw new AnswerError(`${method} ${path}`, answer);
    return answer.body;
  }

  resource<T extends KubernetesObject>(type: ResourceType<T>, namespace?: string): Resource<T> {
    return new Resource(this, type, namespace);
  }
}

function textOf(body: unknown): string | Buffer {
  return typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
}

function exchange<T>(
  url: URL,
  options: RequestOptions,
  body: string | Buffer | undefined,
): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, options, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        resolve({ code: incoming.statusCode ?? 0, headers: incoming.headers, text, body: parsed<T>(text) });
      });
    });
    outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer in time: ${url.pathname}`)));
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

function parsed<T>(text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined as T;
  }
}

export interface Selection {
  labelSelector?: string;
  fieldSelector?: string;
}

/** The verbs of one resource, in one namespace or in none (then across all). */
export class Resource<T extends KubernetesObject> {
  readonly kube: Kube;
  readonly type: ResourceType<T>;
  readonly namespace: string | undefined;

  constructor(kube: Kube, type: ResourceType<T>, namespace?: string) {
    this.kube = kube;
    this.type = type;
    this.namespace = namespace;
  }

  path(name?: string, subresource?: string): string {
    return pathOf(this.type, { namespace: this.namespace, name, subresource });
  }

  /** `apiVersion` and `kind` are filled in. */
  create(object: Draft<T>, query?: Sent["query"]): Promise<T> {
    return this.kube.ask("POST", this.path(), { body: this.#complete(object), ...(query && { query }) });
  }

  get(name: string, subresource?: string): Promise<T> {
    return this.kube.ask("GET", this.path(name, subresource));
  }

  /** Undefined where there is none. */
  async find(name: string): Promise<T | undefined> {
    const answer = await this.kube.send<T>("GET", this.path(name));
    if (answer.code === 404) return undefined;
    if (answer.code >= 300) throw new AnswerError(`GET ${this.path(name)}`, answer);
    return answer.body;
  }

  list(query: Selection & Record<string, string | number | boolean> = {}): Promise<KubernetesList<T>> {
    return this.kube.ask("GET", this.path(), { query });
  }

  replace(object: T, subresource?: string): Promise<T> {
    const path = this.path(object.metadata.name ?? "", subresource);
    return this.kube.ask("PUT", path, { body: this.#complete(object as Draft<T>) });
  }

  /** Reads, changes and writes until nobody else came between. */
  async update(name: string, change: (object: T) => void, subresource?: string): Promise<T> {
    for (;;) {
      const object = await this.get(name);
      change(object);
      try {
        return await this.replace(object, subresource);
      } catch (error) {
        if (!(error instanceof AnswerError) || error.code !== 409) throw error;
      }
    }
  }

  patch(
    name: string,
    type: PatchType,
    body: unknown,
    subresource?: string,
    query?: Sent["query"],
  ): Promise<T> {
    const contentType = patchTypes[type];
    const path = this.path(name, subresource);
    return this.kube.ask("PATCH", path, { body, contentType, ...(query && { query }) });
  }

  delete(name: string, options?: metav1.DeleteOptions): Promise<unknown> {
    return this.kube.ask("DELETE", this.path(name), options ? { body: options } : {});
  }

  deleteCollection(query: Selection = {}, options?: metav1.DeleteOptions): Promise<unknown> {
    return this.kube.ask("DELETE", this.path(), { query: { ...query }, ...(options && { body: options }) });
  }

  /** Waits until the object is as wanted, and answers it. */
  until(name: string, wanted: (object: T) => boolean, patienceMs?: number): Promise<T> {
    const what = `${this.type.resource}/${name} as wanted`;
    return eventually(
      what,
      async () => {
        const object = await this.get(name);
        if (wanted(object)) return object;
        throw new Error(JSON.stringify(object));
      },
      patienceMs,
    );
  }

  untilGone(name: string, patienceMs?: number): Promise<true> {
    return eventually(
      `the end of ${this.type.resource}/${name}`,
      async () => ((await this.find(name)) === undefined ? true : undefined),
      patienceMs,
    );
  }

  /** Watches until `close`. From now on, or from a revision. */
  async watch(query: Selection & Record<string, string | number | boolean> = {}): Promise<Watched<T>> {
    const watched = new Watched<T>();
    const { signal, abort } = await this.#openWatch(query, watched);
    watched.onClose = () => {
      if (!signal.aborted) abort();
    };
    return watched;
  }

  async #openWatch(query: Record<string, string | number | boolean>, watched: Watched<T>) {
    const controller = await new Watch(this.kube.config).watch(
      this.path(),
      query,
      (type, object) => watched.push({ type, object: object as T }),
      (error: unknown) => watched.end(error),
    );
    return { signal: controller.signal, abort: () => controller.abort() };
  }

  #complete(object: Draft<T>): Draft<T> {
    const { group, version, kind } = this.type;
    return { apiVersion: group ? `${group}/${version}` : version, kind, ...object };
  }
}

/** The events of a watch, as they came. */
export class Watched<T extends KubernetesObject> {
  readonly events: WatchEvent<T>[] = [];
  /** Set once the server or the client has ended it. */
  ended = false;
  onClose: () => void = () => {};

  push(event: WatchEvent<T>): void {
    this.events.push(event);
  }

  end(_reason: unknown): void {
    this.ended = true;
  }

  close(): void {
    this.onClose();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The first event of that type that is as wanted. */
  next(
    type: string,
    wanted: (object: T) => boolean = () => true,
    patienceMs?: number,
  ): Promise<WatchEvent<T>> {
    return eventually(
      `a ${type} event`,
      async () => this.events.find((event) => event.type === type && wanted(event.object)),
      patienceMs,
    );
  }
}
