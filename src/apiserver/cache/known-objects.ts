/**
 * What bytes say that were written or read a moment ago: who changes an object again, and whoever watches it in this
 * process, parses nothing. These objects are everybody's: nobody changes them.
 */
import type { KubernetesObject } from "#api";

/** What selectors see of an object. */
export interface Facts {
  readonly labels: Readonly<Record<string, string>> | undefined;
  /** Values of the selectable fields beside name and namespace. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Of the bytes; as objects they take about four times as much. */
const keptMaxBytes = 16 * 1024 * 1024;
/** Entries that wait for their turn to be forgotten. */
const entriesMax = 16_384;

interface Known {
  readonly size: number;
  facts: Facts | undefined;
  object: Readonly<KubernetesObject> | undefined;
}

/** Noted at the buffer itself: a weak map of as many would cost as much as parsing does. */
type Noted = Buffer & Record<symbol, Known | undefined>;

export interface KnownObjectsOptions {
  /** Called with every object that is kept. */
  guard?: (object: Readonly<KubernetesObject>) => void;
}

export class KnownObjects {
  readonly #guard: KnownObjectsOptions["guard"];
  /** A server's own: several may share a store, and with it its buffers. */
  readonly #note = Symbol("known");
  /** Oldest first, from `#first` on. */
  #entries: Known[] = [];
  #first = 0;
  #keptBytes = 0;

  constructor({ guard }: KnownObjectsOptions = {}) {
    this.#guard = guard;
  }

  /** These bytes were made of this object, which reads as they do. */
  wrote(bytes: Buffer, facts: Facts, object: Readonly<KubernetesObject>): void {
    this.#keep(bytes, { size: bytes.length, facts, object });
  }

  factsOf(bytes: Buffer): Facts | undefined {
    return this.#knownOf(bytes)?.facts;
  }

  /** Undefined where it is not at hand. */
  objectOf(bytes: Buffer): Readonly<KubernetesObject> | undefined {
    return this.#knownOf(bytes)?.object;
  }

  read(bytes: Buffer, parse: () => KubernetesObject): Readonly<KubernetesObject> {
    const known = this.#knownOf(bytes);
    if (known?.object) return known.object;
    const object = parse();
    this.#keep(bytes, { size: bytes.length, facts: known?.facts, object });
    return object;
  }

  /** There is a newer version. */
  superseded(bytes: Buffer): void {
    const known = this.#knownOf(bytes);
    if (known) this.#forget(known);
  }

  #knownOf(bytes: Buffer): Known | undefined {
    return (bytes as Noted)[this.#note];
  }

  #keep(bytes: Buffer, known: Known): void {
    if (known.object) this.#guard?.(known.object);
    (bytes as Noted)[this.#note] = known;
    this.#entries.push(known);
    this.#keptBytes += known.size;
    while (this.#keptBytes > keptMaxBytes || this.#entries.length - this.#first > entriesMax) {
      this.#forget(this.#entries[this.#first++]!);
    }
    if (this.#first < entriesMax) return;
    this.#entries = this.#entries.slice(this.#first);
    this.#first = 0;
  }

  #forget(known: Known): void {
    if (!known.object) return;
    known.object = undefined;
    this.#keptBytes -= known.size;
  }
}
