/** The typed client over any transport: paths, bodies and errors of the Kubernetes API conventions. */
import {
  apiVersionOf,
  copyOf,
  type Draft,
  type KubernetesList,
  type KubernetesObject,
  type metav1,
  pathOf,
  type ResourceType,
  StatusError,
  type StatusReason,
} from "#api";
import type {
  BlindWriteOptions,
  Client,
  ListOptions,
  ObjectRef,
  PatchType,
  Transport,
  TransportRequest,
  TransportResponse,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from "./contract.ts";
import { decodeFrames } from "./frames.ts";

/** Answers longer than this are refused: a list that big must be read in pages. */
const answerMaxBytes = 1024 * 1024 * 1024;

const patchContentTypes: Record<PatchType, string> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

const reasonByCode: Record<number, StatusReason> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  406: "NotAcceptable",
  409: "Conflict",
  410: "Expired",
  413: "RequestEntityTooLarge",
  415: "UnsupportedMediaType",
  422: "Invalid",
  429: "TooManyRequests",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/** `userAgent` is who writes, as `metadata.managedFields` tells it. */
export function createClient(transport: Transport, { userAgent = "knarr" } = {}): Client {
  return new TransportClient(transport, userAgent);
}

type Query = Record<string, string | number | boolean | undefined>;

function withQuery(path: string, query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text ? `${path}?${text}` : path;
}

function writeQuery(options: WriteOptions): Query {
  return {
    dryRun: options.dryRun ? "All" : undefined,
    fieldManager: options.fieldManager,
    force: options.force ? true : undefined,
  };
}

/** The whole body as text. */
export async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > answerMaxBytes) throw new Error(`an answer of more than ${answerMaxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** What an answer that is no success means; the body is the server's `Status`, or anything at all from a proxy. */
export function errorOf(status: number, text: string): StatusError {
  try {
    const value = JSON.parse(text) as metav1.Status;
    if (value?.kind === "Status") return new StatusError({ ...value, code: value.code ?? status });
  } catch {
    // Not JSON: the text itself is the message.
  }
  const message = text.trim().slice(0, 1024) || `the server answered ${status}`;
  return StatusError.of(status, reasonByCode[status] ?? "InternalError", message);
}

class TransportClient implements Client {
  readonly transport: Transport;
  readonly userAgent: string;

  constructor(transport: Transport, userAgent: string) {
    this.transport = transport;
    this.userAgent = userAgent;
  }

  get<T extends KubernetesObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    options: WriteOptions = {},
  ): Promise<T> {
    const path = pathOf(type, { ...ref, subresource: options.subresource });
    return this.#call<T>({ method: "GET", path }, options.signal);
  }

  async list<T extends KubernetesObject>(
    type: ResourceType<T>,
    options: ListOptions = {},
  ): Promise<KubernetesList<T>> {
    const { namespace, signal, ...query } = options;
    const path = withQuery(pathOf(type, { namespace }), query);
    const list = await this.#call<KubernetesList<T>>({ method: "GET", path }, signal);
    const apiVersion = apiVersionOf(type);
    list.items ??= [];
    // Items of a list may leave out what the list says for all of them.
    for (const item of list.items) {
      item.apiVersion ??= apiVersion;
      item.kind ??= type.kind;
    }
    return list;
  }

  async *watch<T extends KubernetesObject>(
    type: ResourceType<T>,
    options: WatchOptions = {},
  ): AsyncGenerator<WatchEvent<T>> {
    const { namespace, signal, ...query } = options;
    const path = withQuery(pathOf(type, { namespace }), { watch: true, ...query });
    const stop = new AbortController();
    const abort = () => stop.abort();
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    try {
      const headers = { accept: "application/json" };
      const request: TransportRequest = { method: "GET", path, headers, sharesObjects: true };
      const response = await this.transport.send({ ...request, signal: stop.signal });
      if (response.status !== 200) throw errorOf(response.status, await readText(response.body));
      for await (const frame of decodeFrames(response.body)) {
        const event = frame as WatchEvent<T> | { type: "ERROR"; object: metav1.Status };
        if (event.type === "ERROR") throw new StatusError(event.object);
        yield event;
      }
    } catch (error) {
      if (!signal?.aborted) throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
      stop.abort();
    }
  }

  async create<T extends KubernetesObject>(
    type: ResourceType<T>,
    object: Draft<T>,
    options: WriteOptions & Partial<BlindWriteOptions> = {},
  ): Promise<T & undefined> {
    const whole = identified(type, object);
    const path = withQuery(pathOf(type, { namespace: whole.metadata?.namespace }), writeQuery(options));
    const request = withBody("POST", path, whole);
    if (options.ignoresAnswer) return this.#ask(request, options.signal) as Promise<undefined & T>;
    return this.#call<T & undefined>(request, options.signal);
  }

  update<T extends KubernetesObject>(
    type: ResourceType<T>,
    object: Draft<T>,
    options: WriteOptions = {},
  ): Promise<T> {
    const whole = identified(type, object);
    const ref = { namespace: whole.metadata?.namespace, name: whole.metadata?.name ?? "" };
    const path = withQuery(pathOf(type, { ...ref, subresource: options.subresource }), writeQuery(options));
    return this.#call<T>(withBody("PUT", path, whole), options.signal);
  }

  async patch<T extends KubernetesObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    patchType: PatchType,
    patch: unknown,
    options: WriteOptions & Partial<BlindWriteOptions> = {},
  ): Promise<T & undefined> {
    const path = withQuery(pathOf(type, { ...ref, subresource: options.subresource }), writeQuery(options));
    const request = withBody("PATCH", path, patch, patchContentTypes[patchType]);
    if (options.ignoresAnswer) return this.#ask(request, options.signal) as Promise<undefined & T>;
    return this.#call<T & undefined>(request, options.signal);
  }

  async delete(type: ResourceType, ref: ObjectRef, options: Draft<metav1.DeleteOptions> = {}): Promise<void> {
    const body = { kind: "DeleteOptions", apiVersion: "v1", ...options };
    await this.#ask(withBody("DELETE", pathOf(type, ref), body), undefined);
  }

  async deleteCollection(type: ResourceType, options: ListOptions = {}): Promise<void> {
    const { namespace, signal, ...query } = options;
    await this.#ask({ method: "DELETE", path: withQuery(pathOf(type, { namespace }), query) }, signal);
  }

  post<R = unknown>(type: ResourceType, ref: ObjectRef, subresource: string, body: unknown): Promise<R> {
    return this.#call<R>(withBody("POST", pathOf(type, { ...ref, subresource }), body), undefined);
  }

  async #call<R>(request: TransportRequest, signal: AbortSignal | undefined): Promise<R> {
    const response = await this.#send(request, signal);
    const object = response.whole?.object;
    return (object ? copyOf(object()) : JSON.parse(await textOf(response))) as R;
  }

  /** For those who need nothing but that it was done: the answer is drained, and nothing is made of it. */
  async #ask(request: TransportRequest, signal: AbortSignal | undefined): Promise<void> {
    const { body, whole } = await this.#send(request, signal);
    if (!whole) for await (const _ of body);
  }

  /** A good answer. */
  async #send(request: TransportRequest, signal: AbortSignal | undefined): Promise<TransportResponse> {
    // The request itself is completed: a copy would make its body.
    request.headers = { accept: "application/json", "user-agent": this.userAgent, ...request.headers };
    if (signal) request.signal = signal;
    const response = await this.transport.send(request);
    if (response.status >= 200 && response.status <= 299) return response;
    throw errorOf(response.status, await textOf(response));
  }
}

function textOf({ whole, body }: TransportResponse): string | Promise<string> {
  if (!whole) return readText(body);
  const { buffer, byteOffset, byteLength } = whole.bytes;
  return Buffer.from(buffer, byteOffset, byteLength).toString("utf8");
}

type Identified = { metadata?: { namespace?: string; name?: string } };

/** The object with the kind that belongs to the resource: drafts leave it out. */
function identified<T extends KubernetesObject>(
  type: ResourceType<T>,
  object: Draft<T>,
): Draft<T> & Identified {
  return { apiVersion: apiVersionOf(type), kind: type.kind, ...object } as Draft<T> & Identified;
}

function withBody(
  method: TransportRequest["method"],
  path: string,
  value: unknown,
  contentType = "application/json",
): TransportRequest {
  let bytes: Buffer | undefined;
  return {
    method,
    path,
    headers: { "content-type": contentType },
    value,
    get body() {
      bytes ??= Buffer.from(JSON.stringify(value));
      return bytes;
    },
  };
}
