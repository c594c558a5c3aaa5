/** The local copy of one resource: by key, and by whatever indexes its readers asked for. */
import type { KubernetesObject } from "#api";

/** The values under which an object is found; none: it is not in the index. */
export type IndexFunction<T> = (object: Readonly<T>) => readonly string[];

/** `namespace/name`, or the name alone for objects without a namespace. */
export function keyOf(object: { metadata: { namespace?: string; name: string } }): string {
  return joinKey(object.metadata.namespace, object.metadata.name);
}

export function joinKey(namespace: string | undefined, name: string): string {
  return namespace ? `${namespace}/${name}` : name;
}

export function splitKey(key: string): { namespace: string | undefined; name: string } {
  const slash = key.indexOf("/");
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

interface Index<T> {
  of: IndexFunction<T>;
  entries: Map<string, Map<string, T>>;
}

/** Objects put in belong to everybody: nobody changes them. */
export class ObjectCache<T extends KubernetesObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, Index<T>>();

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  /** A second index of the same name is the same index. */
  addIndex(name: string, of: IndexFunction<T>): void {
    if (this.#indexes.has(name)) return;
    const index: Index<T> = { of, entries: new Map() };
    this.#indexes.set(name, index);
    for (const [key, object] of this.#objects) insert(index, key, object);
  }

  hasIndex(name: string): boolean {
    return this.#indexes.has(name);
  }

  byIndex(name: string, value: string): readonly T[] {
    const index = this.#indexes.get(name);
    if (!index) throw new Error(`no index ${name}`);
    const found = index.entries.get(value);
    return found ? [...found.values()] : [];
  }

  set(key: string, object: T): T | undefined {
    const old = this.#objects.get(key);
    for (const index of this.#indexes.values()) {
      if (old) remove(index, key, old);
      insert(index, key, object);
    }
    this.#objects.set(key, object);
    return old;
  }

  delete(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (!old) return undefined;
    for (const index of this.#indexes.values()) remove(index, key, old);
    this.#objects.delete(key);
    return old;
  }
}

function insert<T>(index: Index<T>, key: string, object: T): void {
  for (const value of index.of(object)) {
    let entries = index.entries.get(value);
    if (!entries) {
      entries = new Map();
      index.entries.set(value, entries);
    }
    entries.set(key, object);
  }
}

function remove<T>(index: Index<T>, key: string, object: T): void {
  for (const value of index.of(object)) {
    const entries = index.entries.get(value);
    entries?.delete(key);
    if (entries?.size === 0) index.entries.delete(value);
  }
}
