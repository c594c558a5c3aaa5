/**
 * A small API server in memory, for unit tests of whoever talks to one: objects, revisions, watches, merge patches,
 * finalizers. It knows no schema, no defaults and no validation; what it serves it serves as the real one does.
 */
import {
  alreadyExists,
  conflict,
  expired,
  formatTime,
  type KubernetesObject,
  methodNotAllowed,
  notFound,
  StatusError,
} from "#api";
import { type Clock, VirtualClock } from "#base";
import type { Transport, TransportRequest, TransportResponse } from "../contract.ts";
import { encodeFrame } from "../frames.ts";

interface Target {
  /** `/api/v1` or `/apis/apps/v1`. */
  prefix: string;
  group: string;
  resource: string;
  namespace: string | undefined;
  name: string | undefined;
  subresource: string | undefined;
  query: URLSearchParams;
}

interface Change {
  revision: number;
  type: "ADDED" | "MODIFIED" | "DELETED";
  bucket: string;
  object: KubernetesObject;
}

type Json = Record<string, unknown>;

export class FakeApi implements Transport {
  readonly #clock: Clock;
  readonly #objects = new Map<string, Map<string, KubernetesObject>>();
  readonly #history: Change[] = [];
  readonly #watchers = new Set<(change: Change | undefined) => void>();
  #revision = 1;
  #compacted = 0;
  #uids = 0;
  /** Every write that came in, as `POST pods`, `PUT pods/status`…: what idempotence is measured by. */
  readonly writes: string[] = [];
  /** Set to make the next requests fail: answers the error, or undefined to serve. */
  fault: ((request: TransportRequest) => Error | undefined) | undefined;

  /** Set to lose answers: the request is served, and the client sees a broken connection. */
  losesAnswer: ((request: TransportRequest) => boolean) | undefined;

  constructor(clock: Clock = new VirtualClock()) {
    this.#clock = clock;
  }

  async send(request: TransportRequest): Promise<TransportResponse> {
    request.signal?.throwIfAborted();
    const fault = this.fault?.(request);
    if (fault && !(fault instanceof StatusError)) throw fault;
    try {
      if (fault) throw fault;
      const response = this.#serve(request);
      if (this.losesAnswer?.(request)) throw new Error("the connection was lost");
      return response;
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      return answer(error.code, error.status);
    }
  }

  async close(): Promise<void> {
    this.dropWatches();
  }

  /** Ends every watch, as a lost connection does. */
  dropWatches(): void {
    for (const watcher of this.#watchers) watcher(undefined);
  }

  /** Forgets the past: watches from before now are answered 410. */
  compact(): void {
    this.#compacted = this.#revision;
  }

  get watches(): number {
    return this.#watchers.size;
  }

  #serve(request: TransportRequest): TransportResponse {
    const target = parse(request.path);
    if (request.method === "GET") return this.#read(request, target);
    const path = [target.resource, target.subresource].filter(Boolean).join("/");
    this.writes.push(`${request.method} ${path}`);
    const body = request.body ? (JSON.parse(Buffer.from(request.body).toString()) as Json) : {};
    switch (request.method) {
      case "POST":
        return answer(201, target.subresource ? this.#bind(target, body) : this.#create(target, body));
      case "PUT":
        return answer(200, this.#update(target, body));
      case "PATCH":
        return answer(200, this.#patch(target, body));
      case "DELETE":
        return answer(200, this.#delete(target, body));
    }
  }

  #read(request: TransportRequest, target: Target): TransportResponse {
    if (target.subresource === "scale") return answer(200, scaleOf(this.#get(target)));
    if (target.name !== undefined) return answer(200, this.#get(target));
    if (target.query.get("watch") === "true") return this.#watch(request, target);
    const items = [...this.#bucket(target).values()].filter((object) => selected(object, target));
    return answer(200, {
      kind: "List",
      apiVersion: "v1",
      metadata: { resourceVersion: String(this.#revision) },
      items,
    });
  }

  #watch(request: TransportRequest, target: Target): TransportResponse {
    const after = Number(target.query.get("resourceVersion") ?? 0);
    if (after < this.#compacted) throw expired(`too old resource version: ${after} (${this.#compacted})`);
    const bucket = bucketOf(target);
    const pending = this.#history.filter((change) => change.revision > after);
    let wake: (() => void) | undefined;
    let open = true;
    const watcher = (change: Change | undefined) => {
      if (change) pending.push(change);
      else open = false;
      wake?.();
    };
    this.#watchers.add(watcher);
    const abort = () => watcher(undefined);
    request.signal?.addEventListener("abort", abort, { once: true });
    const watchers = this.#watchers;
    async function* body() {
      try {
        while (open) {
          for (const { type, object, bucket: where } of pending.splice(0)) {
            if (where === bucket && selected(object, target)) yield encodeFrame({ type, object });
          }
          if (!open || pending.length > 0) continue;
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        watchers.delete(watcher);
        request.signal?.removeEventListener("abort", abort);
      }
    }
    return { status: 200, headers: {}, body: body() };
  }

  #bucket(target: Target): Map<string, KubernetesObject> {
    const name = bucketOf(target);
    let bucket = this.#objects.get(name);
    if (!bucket) {
      bucket = new Map();
      this.#objects.set(name, bucket);
    }
    return bucket;
  }

  #get(target: Target): KubernetesObject {
    const object = this.#bucket(target).get(`${target.namespace ?? ""}/${target.name}`);
    if (!object) throw notFound(target, target.name ?? "");
    return object;
  }

  #create(target: Target, body: Json): KubernetesObject {
    const object = structuredClone(body) as unknown as KubernetesObject;
    object.metadata ??= {} as KubernetesObject["metadata"];
    const { metadata } = object;
    this.#uids++;
    metadata.name ??= `${metadata.generateName}${String(this.#uids).padStart(5, "0")}`;
    if (target.namespace) metadata.namespace = target.namespace;
    if (this.#bucket(target).has(`${target.namespace ?? ""}/${metadata.name}`)) {
      throw alreadyExists(target, metadata.name);
    }
    metadata.uid ??= `uid-${this.#uids}`;
    metadata.creationTimestamp ??= formatTime(this.#clock.now());
    metadata.generation ??= 1;
    return this.#commit("ADDED", target, object);
  }

  #update(target: Target, body: Json): KubernetesObject {
    const old = this.#get(target);
    const next = structuredClone(body) as unknown as KubernetesObject;
    const version = next.metadata.resourceVersion;
    if (version && version !== old.metadata.resourceVersion) {
      throw conflict(target, old.metadata.name, "the object has been modified; please apply your changes");
    }
    if (target.subresource !== "scale") return this.#replace(target, old, next);
    const { replicas } = (next as unknown as Json).spec as Json;
    const { spec } = old as unknown as Json;
    return this.#replace(target, old, { ...old, spec: { ...(spec as Json), replicas } } as KubernetesObject);
  }

  #patch(target: Target, patch: Json): KubernetesObject {
    const old = this.#get(target);
    return this.#replace(target, old, merged(old, patch) as KubernetesObject);
  }

  #replace(target: Target, old: KubernetesObject, next: KubernetesObject): KubernetesObject {
    const kept = { ...old.metadata, ...next.metadata, uid: old.metadata.uid };
    const status = (object: KubernetesObject) => (object as unknown as Json).status;
    const object = (
      target.subresource === "status"
        ? { ...old, status: status(next) }
        : { ...next, metadata: kept, ...(status(old) === undefined ? {} : { status: status(old) }) }
    ) as KubernetesObject;
    const spec = (o: KubernetesObject) => JSON.stringify((o as unknown as Json).spec);
    object.metadata = { ...object.metadata };
    if (spec(old) !== spec(object)) object.metadata.generation = (old.metadata.generation ?? 0) + 1;
    if (JSON.stringify(object) === JSON.stringify(old)) return old;
    if (object.metadata.deletionTimestamp && !object.metadata.finalizers?.length && isFinished(object)) {
      return this.#commit("DELETED", target, object);
    }
    return this.#commit("MODIFIED", target, object);
  }

  #delete(target: Target, options: Json): KubernetesObject {
    const old = this.#get(target);
    const expected = (options.preconditions as Json | undefined)?.uid;
    if (expected && expected !== old.metadata.uid)
      throw conflict(target, old.metadata.name, "the UID differs");
    const finalizer = { Foreground: "foregroundDeletion", Orphan: "orphan" }[
      String(options.propagationPolicy)
    ];
    const finalizers = [...(old.metadata.finalizers ?? []), ...(finalizer ? [finalizer] : [])];
    const graceful = target.resource === "pods" && options.gracePeriodSeconds !== 0 && Boolean(nodeOf(old));
    if (finalizers.length === 0 && !graceful) return this.#commit("DELETED", target, old);
    if (old.metadata.deletionTimestamp && !finalizer) return old;
    const metadata = {
      ...old.metadata,
      finalizers,
      deletionTimestamp: formatTime(this.#clock.now()),
      deletionGracePeriodSeconds: graceful ? 30 : 0,
    };
    return this.#commit("MODIFIED", target, { ...old, metadata });
  }

  #bind(target: Target, body: Json): unknown {
    const old = this.#get(target) as KubernetesObject & { spec: Json };
    if (target.subresource !== "binding") throw methodNotAllowed(target, "create");
    const nodeName = (body.target as Json).name;
    if (old.spec.nodeName) throw conflict(target, old.metadata.name, `pod is already assigned to node`);
    this.#commit("MODIFIED", target, { ...old, spec: { ...old.spec, nodeName } } as KubernetesObject);
    return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
  }

  #commit(type: Change["type"], target: Target, object: KubernetesObject): KubernetesObject {
    this.#revision++;
    const next = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#revision) } };
    const key = `${next.metadata.namespace ?? ""}/${next.metadata.name}`;
    if (type === "DELETED") this.#bucket(target).delete(key);
    else this.#bucket(target).set(key, next);
    const change: Change = { revision: this.#revision, type, bucket: bucketOf(target), object: next };
    this.#history.push(change);
    for (const watcher of this.#watchers) watcher(change);
    return next;
  }
}

function nodeOf(object: KubernetesObject): unknown {
  return ((object as unknown as Json).spec as Json | undefined)?.nodeName;
}

/** Only pods wait for somebody after their last finalizer has gone. */
function isFinished(object: KubernetesObject): boolean {
  return object.metadata.deletionGracePeriodSeconds === 0;
}

/** Of a workload whose selector is made of labels. */
function scaleOf(object: KubernetesObject): unknown {
  const { spec, status } = object as unknown as { spec?: Json; status?: Json };
  const labels = (spec?.selector as { matchLabels?: Record<string, string> } | undefined)?.matchLabels ?? {};
  const selector = Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
  const { name, namespace, resourceVersion } = object.metadata;
  return {
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name, namespace, resourceVersion },
    spec: { replicas: spec?.replicas ?? 0 },
    status: { replicas: status?.replicas ?? 0, selector },
  };
}

function bucketOf(target: Target): string {
  return `${target.prefix}/${target.resource}`;
}

function parse(path: string): Target {
  const url = new URL(path, "http://fake");
  const parts = url.pathname.split("/").filter(Boolean).map(decodeURIComponent);
  const [prefix, rest] =
    parts[0] === "api" ? [parts.slice(0, 2), parts.slice(2)] : [parts.slice(0, 3), parts.slice(3)];
  const group = parts[0] === "api" ? "" : (parts[1] ?? "");
  const namespaced =
    rest[0] === "namespaces" && rest.length > 2 && !["status", "finalize"].includes(rest[2] ?? "");
  const [namespace, tail] = namespaced ? [rest[1], rest.slice(2)] : [undefined, rest];
  const [resource = "", name, subresource] = tail;
  return {
    prefix: `/${prefix.join("/")}`,
    group,
    resource,
    namespace,
    name,
    subresource,
    query: url.searchParams,
  };
}

function valueAt(object: unknown, path: string): string {
  let value: unknown = object;
  for (const part of path.split(".")) value = (value as Json | undefined)?.[part];
  return value === undefined ? "" : String(value);
}

function selected(object: KubernetesObject, target: Target): boolean {
  if (target.namespace && object.metadata.namespace !== target.namespace) return false;
  const terms = (name: string) => (target.query.get(name) ?? "").split(",").filter(Boolean);
  const holds = (term: string, read: (path: string) => string) => {
    const negated = term.includes("!=");
    const [path = "", value = ""] = term.split(negated ? "!=" : /==?/);
    return (read(path) === value) !== negated;
  };
  const labels = object.metadata.labels ?? {};
  return (
    terms("fieldSelector").every((term) => holds(term, (path) => valueAt(object, path))) &&
    terms("labelSelector").every((term) => holds(term, (path) => labels[path] ?? ""))
  );
}

/** RFC 7386. */
function merged(value: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return structuredClone(patch);
  const base = typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
  const result: Json = { ...base };
  for (const [key, part] of Object.entries(patch)) {
    if (part === null) delete result[key];
    else result[key] = merged(result[key], part);
  }
  return result;
}

function answer(status: number, body: unknown): TransportResponse {
  const bytes = Buffer.from(JSON.stringify(body));
  async function* once() {
    yield bytes;
  }
  return { status, headers: { "content-type": "application/json" }, body: once() };
}
