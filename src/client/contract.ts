/**
 * The client every component uses. Inside the server's process its transport calls the API server directly; from a
 * node it is HTTPS. Errors are `StatusError` from `#api`; a broken connection is any other error.
 */
import type { Draft, KubernetesList, KubernetesObject, metav1, ResourceType } from "#api";

/** One request as the API server takes it, wherever it runs. */
export interface TransportRequest {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With the query string. */
  path: string;
  headers?: Record<string, string>;
  readonly body?: Uint8Array;
  /** What the body says, where it is JSON: with a server in the same process the body itself is never made. */
  value?: unknown;
  /** A watch in the same process may hand over frames that stand for objects: `letStandFor`. */
  sharesObjects?: boolean;
  signal?: AbortSignal;
}

export interface TransportResponse {
  status: number;
  headers: Record<string, string>;
  body: AsyncIterable<Uint8Array>;
  /** The same, all of it, from a server in the same process: the body need not be read. */
  whole?: WholeAnswer;
}

export interface WholeAnswer {
  readonly bytes: Uint8Array;
  /** What the bytes say, where that is at hand; everybody's. */
  readonly object?: (() => Readonly<object>) | undefined;
}

export interface Transport {
  send(request: TransportRequest): Promise<TransportResponse>;
  close(): Promise<void>;
}

export interface ObjectRef {
  namespace?: string | undefined;
  name: string;
}

export interface ListOptions {
  namespace?: string | undefined;
  labelSelector?: string;
  fieldSelector?: string;
  limit?: number;
  continue?: string;
  resourceVersion?: string;
  resourceVersionMatch?: "Exact" | "NotOlderThan";
  signal?: AbortSignal;
}

export interface WatchOptions {
  namespace?: string | undefined;
  labelSelector?: string;
  fieldSelector?: string;
  resourceVersion?: string;
  allowWatchBookmarks?: boolean;
  timeoutSeconds?: number;
  signal?: AbortSignal;
}

export interface WriteOptions {
  subresource?: string;
  dryRun?: boolean;
  fieldManager?: string;
  /** Only for `apply`: take fields from their owners. */
  force?: boolean;
  signal?: AbortSignal;
}

/** The caller needs nothing but that it was done: what a busy writer does not read is not parsed. */
export interface BlindWriteOptions extends WriteOptions {
  ignoresAnswer: true;
}

export type PatchType = "json" | "merge" | "strategic" | "apply";

export type WatchEvent<T> =
  | { type: "ADDED" | "MODIFIED" | "DELETED"; object: T }
  /** Only `metadata.resourceVersion` of the object means anything. */
  | { type: "BOOKMARK"; object: KubernetesObject };

export interface Client {
  readonly transport: Transport;
  /** Who writes, as `metadata.managedFields` tells it. */
  readonly userAgent: string;
  get<T extends KubernetesObject>(type: ResourceType<T>, ref: ObjectRef, options?: WriteOptions): Promise<T>;
  list<T extends KubernetesObject>(type: ResourceType<T>, options?: ListOptions): Promise<KubernetesList<T>>;
  /** Ends when the server ends it; an `ERROR` event is thrown as `StatusError`. */
  watch<T extends KubernetesObject>(
    type: ResourceType<T>,
    options?: WatchOptions,
  ): AsyncIterable<WatchEvent<T>>;
  create<T extends KubernetesObject>(
    type: ResourceType<T>,
    object: Draft<T>,
    options: BlindWriteOptions,
  ): Promise<void>;
  create<T extends KubernetesObject>(
    type: ResourceType<T>,
    object: Draft<T>,
    options?: WriteOptions,
  ): Promise<T>;
  update<T extends KubernetesObject>(
    type: ResourceType<T>,
    object: Draft<T>,
    options?: WriteOptions,
  ): Promise<T>;
  patch(
    type: ResourceType,
    ref: ObjectRef,
    patchType: PatchType,
    patch: unknown,
    options: BlindWriteOptions,
  ): Promise<void>;
  patch<T extends KubernetesObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    patchType: PatchType,
    patch: unknown,
    options?: WriteOptions,
  ): Promise<T>;
  delete(type: ResourceType, ref: ObjectRef, options?: Draft<metav1.DeleteOptions>): Promise<void>;
  deleteCollection(type: ResourceType, options?: ListOptions): Promise<void>;
  /** POST to a subresource whose body and answer are of other kinds: `binding`, `token`, `eviction`. */
  post<R = unknown>(type: ResourceType, ref: ObjectRef, subresource: string, body: unknown): Promise<R>;
}
