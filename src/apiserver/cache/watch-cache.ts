/**
 * All objects of one resource with their recent history, fed by the store: lists at any retained revision, watches from
 * any retained revision. The store publishes synchronously, so the cache is never behind it.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
import type { KubernetesObject, ResourceDefinition } from "#api";
import { SortedKeys, type Store, type StoreEntry, type StoreEvent, type StoreWatch } from "#store";
import { CachedObject } from "./cached-object.ts";
import type { KnownObjects } from "./known-objects.ts";

/** Older events than this many are forgotten, whatever the store still keeps. */
const windowMaxEvents = 20_000;

/** One change; `current` is absent for a deletion, `previous` for an addition. */
export class CacheEvent {
  readonly revision: number;
  readonly key: string;
  readonly current: CachedObject | undefined;
  readonly previous: CachedObject | undefined;
  #deleted: CachedObject | undefined;
  /** Encoded frames that watchers share while the event is handed out. */
  frames: Map<string, Buffer> | undefined;
  /** What `current`, or else `previous`, says, if that is at hand while the event is handed out. */
  source: Readonly<KubernetesObject> | undefined;

  constructor(
    revision: number,
    key: string,
    current: CachedObject | undefined,
    previous: CachedObject | undefined,
  ) {
    this.revision = revision;
    this.key = key;
    this.current = current;
    this.previous = previous;
  }

  /** What a watcher that can no longer see the object is told. */
  get deleted(): CachedObject {
    this.#deleted ??= this.previous!.deletedAt(this.revision);
    return this.#deleted;
  }
}

export type CacheListener = (event: CacheEvent) => void;

export class WatchCache {
  readonly definition: ResourceDefinition;
  readonly #store: Store;
  readonly #known: KnownObjects;
  readonly #objects = new Map<string, CachedObject>();
  readonly #keys = new SortedKeys();
  readonly #listeners = new Set<CacheListener>();
  readonly #closers = new Set<() => void>();
  #window: CacheEvent[] = [];
  /** Revisions at or above this can be listed and watched from. */
  #oldest = 0;
  #watch: StoreWatch | undefined;

  private constructor(store: Store, definition: ResourceDefinition, known: KnownObjects) {
    this.#store = store;
    this.definition = definition;
    this.#known = known;
  }

  static async open(
    store: Store,
    definition: ResourceDefinition,
    prefix: string,
    known: KnownObjects,
  ): Promise<WatchCache> {
    const cache = new WatchCache(store, definition, known);
    const { entries, revision } = await store.list(prefix);
    for (const entry of entries) {
      cache.#objects.set(entry.key, cache.#wrap(entry));
      cache.#keys.add(entry.key);
    }
    cache.#oldest = store.compactedRevision;
    // What happened before the list only fills the window: watches of before a restart go on.
    cache.#watch = store.watch(prefix, store.compactedRevision, (event) =>
      cache.#take(event, event.revision > revision),
    );
    return cache;
  }

  get revision(): number {
    return this.#store.revision;
  }

  get oldestRevision(): number {
    return Math.max(this.#oldest, this.#store.compactedRevision);
  }

  get(key: string): CachedObject | undefined {
    return this.#objects.get(key);
  }

  /** The present, in order of keys. */
  *scan(prefix: string, start = prefix): Generator<CachedObject> {
    for (const key of this.#keys.scan(prefix, start)) yield this.#objects.get(key)!;
  }

  count(prefix: string, start = prefix): number {
    return this.#keys.count(prefix, start);
  }

  /** As `scan`, at a revision that must be retained: later changes are undone. */
  *scanAt(revision: number, prefix: string, start = prefix): Generator<CachedObject> {
    const undone = this.#undone(revision, prefix);
    const then = [...undone].filter(([key, object]) => object && key >= start).map(([, object]) => object!);
    then.sort((a, b) => (a.key < b.key ? -1 : 1));
    let i = 0;
    for (const object of this.scan(prefix, start)) {
      while (i < then.length && then[i]!.key < object.key) yield then[i++]!;
      if (!undone.has(object.key)) yield object;
    }
    while (i < then.length) yield then[i++]!;
  }

  /** As `count`, at a revision that must be retained. */
  countAt(revision: number, prefix: string, start = prefix): number {
    let count = this.count(prefix, start);
    for (const [key, then] of this.#undone(revision, prefix)) {
      if (key < start) continue;
      const now = this.#objects.get(key);
      if (then && !now) count++;
      if (!then && now) count--;
    }
    return count;
  }

  /** What keys that have changed since held at that revision; undefined: nothing. */
  #undone(revision: number, prefix: string): Map<string, CachedObject | undefined> {
    const undone = new Map<string, CachedObject | undefined>();
    for (let i = this.#window.length - 1; i >= 0 && this.#window[i]!.revision > revision; i--) {
      const event = this.#window[i]!;
      if (event.key.startsWith(prefix)) undone.set(event.key, event.previous);
    }
    return undone;
  }

  /** Changes above a retained revision, oldest first. */
  eventsAfter(revision: number): CacheEvent[] {
    let first = this.#window.length;
    while (first > 0 && this.#window[first - 1]!.revision > revision) first--;
    return this.#window.slice(first);
  }

  /** Called with every change from now on, synchronously. */
  listen(listener: CacheListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Called when nothing comes any more. Answers how to stop listening. */
  onClose(closer: () => void): () => void {
    this.#closers.add(closer);
    return () => void this.#closers.delete(closer);
  }

  close(): void {
    this.#watch?.stop();
    this.#listeners.clear();
    for (const closer of [...this.#closers]) closer();
  }

  #wrap(entry: StoreEntry): CachedObject {
    return new CachedObject(this.definition, entry, this.#known, this.#known.factsOf(entry.value));
  }

  #take(event: StoreEvent, isNew: boolean): void {
    const { key, revision } = event;
    const previous = isNew ? this.#objects.get(key) : event.previous && this.#wrap(event.previous);
    const current = event.entry && this.#wrap(event.entry);
    const change = new CacheEvent(revision, key, current, previous);
    this.#window.push(change);
    if (!isNew) return;
    if (current) {
      this.#objects.set(key, current);
      if (!previous) this.#keys.add(key);
    } else {
      this.#objects.delete(key);
      this.#keys.delete(key);
    }
    const last = current ?? previous;
    change.frames = new Map();
    change.source = last && this.#known.objectOf(last.bytes);
    if (previous) this.#known.superseded(previous.bytes);
    for (const listener of this.#listeners) listener(change);
    change.frames = undefined;
    change.source = undefined;
    if (this.#window.length % 256 === 0) this.#forget();
  }

  #forget(): void {
    const compacted = this.#store.compactedRevision;
    let drop = Math.max(0, this.#window.length - windowMaxEvents);
    while (drop < this.#window.length && this.#window[drop]!.revision <= compacted) drop++;
    if (drop === 0) return;
    this.#oldest = Math.max(this.#oldest, this.#window[drop - 1]!.revision);
    this.#window = this.#window.slice(drop);
  }
}
