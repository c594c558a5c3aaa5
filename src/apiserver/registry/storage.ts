/** Objects in the store: reads from the watch caches, writes as one compare-and-swap with the revision inside the bytes. */
import {
  conflict,
  type KubernetesObject,
  notFound,
  notServed,
  type ResourceDefinition,
  StatusError,
  serviceUnavailable,
  storedDefinitions,
  storedOf,
} from "#api";
import { assert, type World } from "#base";
import { CompareError, type Store, StoreUnavailableError } from "#store";
import { CachedObject, factsOf, type KnownFacts, serialize } from "../cache/cached-object.ts";
import { keyOf, keyPrefix } from "../cache/keys.ts";
import { WatchCache } from "../cache/watch-cache.ts";
import { customOf } from "../customresources/custom-definition.ts";
import { Resources } from "./resources.ts";

/** A body has at most 3 MiB, and defaults and status come on top; a chain of patches ends here. */
const objectMaxBytes = 6 * 1024 * 1024;

function tooLarge(size: number): StatusError {
  const message = `Request entity too large: the object would have ${size} bytes, limit is ${objectMaxBytes}`;
  return StatusError.of(413, "RequestEntityTooLarge", message);
}

/** The key held something else: `actual` is what it holds now, undefined if nothing. */
export class StaleError extends Error {
  readonly actual: CachedObject | undefined;

  constructor(actual: CachedObject | undefined) {
    super("the object has changed");
    this.actual = actual;
  }
}

export class Storage {
  readonly world: World;
  readonly store: Store;
  readonly resources = new Resources();
  readonly #caches: Map<ResourceDefinition, WatchCache>;
  readonly #knownFacts: KnownFacts;

  private constructor(
    world: World,
    store: Store,
    caches: Map<ResourceDefinition, WatchCache>,
    knownFacts: KnownFacts,
  ) {
    this.world = world;
    this.store = store;
    this.#caches = caches;
    this.#knownFacts = knownFacts;
  }

  static async open(world: World, store: Store): Promise<Storage> {
    const knownFacts: KnownFacts = new WeakMap();
    const caches = new Map<ResourceDefinition, WatchCache>();
    for (const definition of storedDefinitions) {
      caches.set(definition, await WatchCache.open(store, definition, keyPrefix(definition), knownFacts));
    }
    return new Storage(world, store, caches, knownFacts);
  }

  cache(definition: ResourceDefinition): WatchCache {
    const cache = this.#caches.get(placeOf(definition));
    if (cache) return cache;
    // A custom resource that went away while the request was on its way.
    assert(customOf(definition), `no cache for ${definition.resource}`);
    throw notServed();
  }

  /** Makes room for the objects of one more resource. */
  async add(definition: ResourceDefinition): Promise<void> {
    if (this.#caches.has(definition)) return;
    const cache = await WatchCache.open(this.store, definition, keyPrefix(definition), this.#knownFacts);
    this.#caches.set(definition, cache);
  }

  drop(definition: ResourceDefinition): void {
    this.#caches.get(definition)?.close();
    this.#caches.delete(definition);
  }

  /** An object of the cache in the version of `definition`. */
  view(definition: ResourceDefinition, object: CachedObject): CachedObject {
    return customOf(definition)?.view(object) ?? object;
  }

  find(
    definition: ResourceDefinition,
    namespace: string | undefined,
    name: string,
  ): CachedObject | undefined {
    const object = this.cache(definition).get(keyOf(placeOf(definition), namespace, name));
    return object && this.view(definition, object);
  }

  get(definition: ResourceDefinition, namespace: string | undefined, name: string): CachedObject {
    const object = this.find(definition, namespace, name);
    if (!object) throw notFound(definition, name);
    return object;
  }

  /** Writes the object, which gets its revision on the way. `expect` is 0 for a creation. Throws `StaleError`. */
  async put(definition: ResourceDefinition, object: KubernetesObject, expect: number): Promise<CachedObject> {
    const custom = customOf(definition);
    const key = keyOf(definition, object.metadata.namespace, object.metadata.name);
    const stored = custom ? await custom.toStorage(object) : object;
    const facts = factsOf(placeOf(definition), stored);
    const value = (revision: number) => {
      object.metadata.resourceVersion = String(revision);
      stored.metadata.resourceVersion = object.metadata.resourceVersion;
      const bytes = serialize(stored);
      if (bytes.length > objectMaxBytes) throw tooLarge(bytes.length);
      this.#knownFacts.set(bytes, { facts, object: stored });
      return bytes;
    };
    const entry = await this.store
      .write({ key, expect, value })
      .catch((error) => this.#explain(definition, error));
    assert(entry, "a write without an entry");
    const revision = String(entry.modRevision);
    // Some stores tell the revision only now. What was told of has been handed to watchers, and stays as it is.
    if (object.metadata.resourceVersion !== revision) object.metadata.resourceVersion = revision;
    if (stored !== object) return new CachedObject(definition, { ...entry, value: serialize(object) });
    const written = new CachedObject(placeOf(definition), entry, facts);
    custom?.written(written);
    return written;
  }

  /** Removes the key if it is still at this revision; `parsed` is what its bytes say. Throws `StaleError`. */
  async remove(
    definition: ResourceDefinition,
    object: CachedObject,
    parsed?: Readonly<KubernetesObject>,
  ): Promise<void> {
    if (parsed && !customOf(definition))
      this.#knownFacts.set(object.bytes, { facts: object.facts, object: parsed });
    await this.store
      .write({ key: object.key, expect: object.revision, value: undefined })
      .catch((error) => this.#explain(definition, error));
  }

  close(): void {
    for (const cache of this.#caches.values()) cache.close();
  }

  #explain(definition: ResourceDefinition, error: unknown): never {
    if (error instanceof CompareError) {
      const actual = error.actual && new CachedObject(placeOf(definition), error.actual);
      throw new StaleError(actual && this.view(definition, actual));
    }
    if (error instanceof StoreUnavailableError) throw serviceUnavailable(error.message);
    throw error;
  }
}

/** The definition under whose name objects are kept. */
function placeOf(definition: ResourceDefinition): ResourceDefinition {
  return customOf(definition)?.storage ?? storedOf(definition);
}

export const modified =
  "the object has been modified; please apply your changes to the latest version and try again";

/** Attempts of a change that insists on no version, before the client is told to try again. */
const attemptsMax = 20;

/** Runs `work` on the present object, and again on whatever came in between when the compare-and-swap says so. */
export async function onLatest<R>(
  storage: Storage,
  target: { definition: ResourceDefinition; namespace: string | undefined; name: string },
  work: (current: CachedObject) => Promise<R>,
): Promise<R> {
  const { definition, namespace, name } = target;
  let current = storage.get(definition, namespace, name);
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(current);
    } catch (error) {
      if (!(error instanceof StaleError)) throw error;
      if (!error.actual) throw notFound(definition, name);
      if (attempt === attemptsMax) throw conflict(definition, name, modified);
      current = error.actual;
    }
  }
}
