/**
 * A local copy of one resource that follows the API server: list once, then watch; resume from the last revision seen,
 * list again only when that revision is gone. Handlers are called in order, after the copy has changed.
 * https://github.com/kubernetes/client-go/blob/master/tools/cache/reflector.go
 */
import { type KubernetesObject, type ResourceType, StatusError } from "#api";
import { messageOf, type World } from "#base";
import { type Backoff, createBackoff } from "./backoff.ts";
import { type IndexFunction, joinKey, keyOf, ObjectCache } from "./cache.ts";
import type { Client } from "./contract.ts";
import { shareParts } from "./shared-parts.ts";

export interface InformerOptions {
  namespace?: string;
  fieldSelector?: string;
  labelSelector?: string;
}

export interface InformerHandler<T> {
  add?(object: Readonly<T>): void;
  update?(object: Readonly<T>, old: Readonly<T>): void;
  delete?(object: Readonly<T>): void;
}

export interface Informer<T extends KubernetesObject = KubernetesObject> {
  readonly type: ResourceType<T>;
  readonly hasSynced: boolean;
  /** The newest revision this copy has seen; revisions are numbers that only grow. */
  readonly revision: number;
  get(namespace: string | undefined, name: string): Readonly<T> | undefined;
  byKey(key: string): Readonly<T> | undefined;
  list(namespace?: string): readonly Readonly<T>[];
  byIndex(name: string, value: string): readonly Readonly<T>[];
  addIndex(name: string, of: IndexFunction<T>): void;
  /** What is there already comes as `add` at once. Answers how to stop listening. */
  on(handler: InformerHandler<T>): () => void;
  start(signal: AbortSignal): void;
  /** Resolves when the first list is in the copy, or when the informer is stopped. */
  waitForSync(): Promise<void>;
}

const namespaceIndex = "namespace";

/** The server ends watches after a while too; asking for different lengths spreads the reconnections. */
const watchSeconds = 300;

/** A server that restarts is no news; one that stays away is. */
const failuresPerWarning = 5;

/** Lists of more than this come in pages. */
const pageItems = 5000;

export class ListWatchInformer<T extends KubernetesObject> implements Informer<T> {
  readonly type: ResourceType<T>;
  readonly #client: Client;
  readonly #world: World;
  readonly #options: InformerOptions;
  readonly #freeze: boolean;
  readonly #backoff: Backoff;
  readonly #cache = new ObjectCache<T>();
  readonly #handlers = new Set<InformerHandler<T>>();
  readonly #synced = Promise.withResolvers<void>();
  #hasSynced = false;
  #started = false;
  /** "" asks for a list. */
  #resourceVersion = "";
  #revision = 0;
  /** The newest in the copy. */
  #last: T | undefined;
  /** In a row. */
  #failures = 0;

  constructor(
    client: Client,
    world: World,
    type: ResourceType<T>,
    options: InformerOptions & { freeze?: boolean } = {},
  ) {
    const { freeze, ...selection } = options;
    this.#client = client;
    this.#world = world;
    this.type = type;
    this.#options = selection;
    this.#freeze = freeze ?? false;
    this.#backoff = createBackoff(world.random);
    this.#cache.addIndex(namespaceIndex, (object) => [object.metadata.namespace ?? ""]);
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  get revision(): number {
    return this.#revision;
  }

  get(namespace: string | undefined, name: string): Readonly<T> | undefined {
    return this.#cache.get(joinKey(namespace, name));
  }

  byKey(key: string): Readonly<T> | undefined {
    return this.#cache.get(key);
  }

  list(namespace?: string): readonly Readonly<T>[] {
    return namespace === undefined
      ? [...this.#cache.values()]
      : this.#cache.byIndex(namespaceIndex, namespace);
  }

  byIndex(name: string, value: string): readonly Readonly<T>[] {
    return this.#cache.byIndex(name, value);
  }

  addIndex(name: string, of: IndexFunction<T>): void {
    this.#cache.addIndex(name, of);
  }

  on(handler: InformerHandler<T>): () => void {
    this.#handlers.add(handler);
    for (const object of this.#cache.values()) handler.add?.(object);
    return () => void this.#handlers.delete(handler);
  }

  start(signal: AbortSignal): void {
    if (this.#started) return;
    this.#started = true;
    this.#run(signal).finally(() => this.#synced.resolve());
  }

  waitForSync(): Promise<void> {
    return this.#synced.promise;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === "") await this.#list(signal);
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) return;
        await this.#recover(error, signal);
      }
    }
  }

  /** A revision that is gone means listing again at once; anything else means waiting first. */
  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    if (error instanceof StatusError && (error.code === 410 || error.reason === "Expired")) {
      const stale = this.#resourceVersion !== "";
      this.#resourceVersion = "";
      if (stale) return;
    }
    this.#failures++;
    const level = this.#failures % failuresPerWarning === 0 ? "warn" : "debug";
    const detail = { resource: this.type.resource, error: messageOf(error), failures: this.#failures };
    this.#world.log[level](detail, "list or watch failed, trying again");
    await this.#world.clock.sleep(this.#backoff.next(), signal);
  }

  async #list(signal: AbortSignal): Promise<void> {
    const seen = new Map<string, T>();
    let token: string | undefined;
    let resourceVersion = "";
    do {
      const page = await this.#client.list(this.type, {
        ...this.#options,
        limit: pageItems,
        ...(token ? { continue: token } : {}),
        signal,
      });
      for (const item of page.items) seen.set(keyOf(item), item);
      resourceVersion = page.metadata.resourceVersion;
      token = page.metadata.continue || undefined;
    } while (token);
    if (signal.aborted) return;
    this.#replace(seen);
    this.#seen(resourceVersion);
    this.#wentWell();
    this.#hasSynced = true;
    this.#synced.resolve();
  }

  #replace(objects: Map<string, T>): void {
    for (const key of [...this.#cache.keys()]) {
      if (!objects.has(key)) this.#remove(key, undefined);
    }
    for (const [key, object] of objects) this.#put(key, object);
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const events = this.#client.watch(this.type, {
      ...this.#options,
      resourceVersion: this.#resourceVersion,
      allowWatchBookmarks: true,
      timeoutSeconds: watchSeconds + this.#world.random.int(watchSeconds),
      signal,
    });
    const startedMs = this.#world.clock.monotonic();
    for await (const event of events) {
      if (signal.aborted) return;
      if (event.type === "DELETED") this.#remove(keyOf(event.object), event.object);
      else if (event.type !== "BOOKMARK") this.#put(keyOf(event.object), event.object);
      this.#seen(event.object.metadata.resourceVersion);
      this.#wentWell();
    }
    // A server that closes every watch at once must not be asked without pause.
    if (!signal.aborted && this.#world.clock.monotonic() - startedMs < 1000) {
      await this.#world.clock.sleep(this.#backoff.next(), signal);
    }
  }

  #wentWell(): void {
    this.#backoff.reset();
    this.#failures = 0;
  }

  #seen(resourceVersion: string): void {
    this.#resourceVersion = resourceVersion;
    const revision = Number(resourceVersion);
    if (revision > this.#revision) this.#revision = revision;
  }

  #put(key: string, given: T): void {
    const old = this.#cache.get(key);
    if (old && old.metadata.resourceVersion === given.metadata.resourceVersion) return;
    const object = this.#thrifty(withoutOwners(given), old);
    if (this.#freeze) deepFreeze(object);
    // Seen before the handlers run: they may compare with what they wrote themselves.
    const revision = Number(object.metadata.resourceVersion);
    if (revision > this.#revision) this.#revision = revision;
    this.#cache.set(key, object);
    if (old && old.metadata.uid !== object.metadata.uid) {
      this.#notify((handler) => handler.delete?.(old));
      this.#notify((handler) => handler.add?.(object));
    } else if (old) {
      this.#notify((handler) => handler.update?.(object, old));
    } else {
      this.#notify((handler) => handler.add?.(object));
    }
  }

  /** A new version is mostly the old one, and a new object mostly the one that came before it. */
  #thrifty(object: T, old: T | undefined): T {
    const shared = shareParts(object, old ?? this.#last);
    this.#last = shared;
    return shared;
  }

  #remove(key: string, last: T | undefined): void {
    const old = this.#cache.delete(key);
    if (!old) return;
    const object = last ?? old;
    if (this.#freeze) deepFreeze(object);
    this.#notify((handler) => handler.delete?.(object));
  }

  /** One handler's failure is its own: the others and the copy go on. */
  #notify(call: (handler: InformerHandler<T>) => void): void {
    for (const handler of this.#handlers) {
      try {
        call(handler);
      } catch (error) {
        this.#world.log.error({ resource: this.type.resource, err: error }, "an event handler failed");
      }
    }
  }
}

/**
 * The owners of an object's fields are half of it, and no reader of a copy asks for them; whoever writes such an object
 * back changes nothing about them.
 */
function withoutOwners<T extends KubernetesObject>(object: T): T {
  if (object.metadata.managedFields === undefined) return object;
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** Objects in the copy are read-only; frozen, a writer is caught in the act. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
  return value;
}
