/** Objects in the store: reads from the watch caches, writes as one compare-and-swap with the revision inside the bytes. */
import {
  asRead,
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
import { CachedObject, factsOf, serialize } from "../cache/cached-object.ts";
import { keyOf, keyPrefix } from "../cache/keys.ts";
import { KnownObjects, type KnownObjectsOptions } from "../cache/known-objects.ts";
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
  readonly #known: KnownObjects;

  private constructor(
    world: World,
    store: Store,
    caches: Map<ResourceDefinition, WatchCache>,
    known: KnownObjects,
  ) {
    this.world = world;
    this.store = store;
    this.#caches = caches;
    this.#known = known;
  }

  static async open(world: World, store: Store, options: KnownObjectsOptions = {}): Promise<Storage> {
    const known = new KnownObjects(options);
    const caches = new Map<ResourceDefinition, WatchCache>();
    for (const definition of storedDefinitions) {
      caches.set(definition, await WatchCache.open(store, definition, keyPrefix(definition), known));
    }
    return new Storage(world, store, caches, known);
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
    const cache = await WatchCache.open(this.store, definition, keyPrefix(definition), this.#known);
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

  /**
   * Writes the object, with its revision; from now on it is everybody's. `from` is what it was made of, undefined for a
   * creation. Throws `StaleError`.
   */
  async put(
    definition: ResourceDefinition,
    object: Readonly<KubernetesObject>,
    from: CachedObject | undefined,
  ): Promise<CachedObject> {
    const custom = customOf(definition);
    const key = keyOf(definition, object.metadata.namespace, object.metadata.name);
    const stored = custom ? await custom.toStorage(object) : object;
    const facts = factsOf(placeOf(definition), stored);
    const before = from && this.#known.objectOf(from.bytes);
    const value = (revision: number) => {
      const written = asRead(at(stored, revision), before);
      const bytes = serialize(written);
      if (bytes.length > objectMaxBytes) throw tooLarge(bytes.length);
      this.#known.wrote(bytes, facts, written);
      return bytes;
    };
    const entry = await this.store
      .write({ key, expect: from?.revision ?? 0, value })
      .catch((error) => this.#explain(definition, error));
    assert(entry, "a write without an entry");
    // Some stores tell the revision only now.
    if (stored !== object)
      return new CachedObject(definition, { ...entry, value: serialize(at(object, entry.modRevision)) });
    const written = new CachedObject(placeOf(definition), entry, this.#known, facts);
    custom?.written(written);
    return written;
  }

  /** Removes the key if it is still at this revision. Throws `StaleError`. */
  async remove(definition: ResourceDefinition, object: CachedObject): Promise<void> {
    await this.store
      .write({ key: object.key, expect: object.revision, value: undefined })
      .catch((error) => this.#explain(definition, error));
  }

  close(): void {
    for (const cache of this.#caches.values()) cache.close();
  }

  #explain(definition: ResourceDefinition, error: unknown): never {
    if (error instanceof CompareError) {
      const actual = error.actual && new CachedObject(placeOf(definition), error.actual, this.#known);
      throw new StaleError(actual && this.view(definition, actual));
    }
    if (error instanceof StoreUnavailableError) throw serviceUnavailable(error.message);
    throw error;
  }
}

function at(object: Readonly<KubernetesObject>, revision: number): KubernetesObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
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
