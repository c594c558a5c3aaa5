/** One object as the API server keeps it: its wire bytes, and on demand the few fields that selectors look at. */
import type { KubernetesObject, ResourceDefinition } from "#api";
import type { StoreEntry } from "#store";
import type { Facts, KnownObjects } from "./known-objects.ts";

export function factsOf(definition: ResourceDefinition, object: Readonly<KubernetesObject>): Facts {
  const fields: Record<string, string> = {};
  for (const name in definition.selectableFields) fields[name] = definition.selectableFields[name]!(object);
  return { labels: object.metadata.labels, fields };
}

interface CachedEntry extends Pick<StoreEntry, "key" | "modRevision"> {
  /** Bytes that few will ask for are made when they do. */
  readonly value: Buffer | (() => Buffer);
}

export class CachedObject {
  readonly key: string;
  readonly revision: number;
  readonly #definition: ResourceDefinition;
  readonly #known: KnownObjects | undefined;
  #value: CachedEntry["value"];
  #facts: Facts | undefined;

  constructor(definition: ResourceDefinition, entry: CachedEntry, known?: KnownObjects, facts?: Facts) {
    this.#definition = definition;
    this.key = entry.key;
    this.revision = entry.modRevision;
    this.#value = entry.value;
    this.#known = known;
    this.#facts = facts;
  }

  get bytes(): Buffer {
    if (typeof this.#value === "function") this.#value = this.#value();
    return this.#value;
  }

  get name(): string {
    return this.key.slice(this.key.lastIndexOf("/") + 1);
  }

  /** Empty for resources without namespaces. */
  get namespace(): string {
    if (!this.#definition.namespaced) return "";
    const end = this.key.lastIndexOf("/");
    return this.key.slice(this.key.lastIndexOf("/", end - 1) + 1, end);
  }

  get facts(): Facts {
    this.#facts ??= this.#known?.factsOf(this.bytes) ?? factsOf(this.#definition, this.parse());
    return this.#facts;
  }

  /** Everybody's: nobody changes it. */
  read(): Readonly<KubernetesObject> {
    return this.#known?.read(this.bytes, () => this.parse()) ?? this.parse();
  }

  /** A fresh copy: the caller's own. */
  parse(): KubernetesObject {
    return JSON.parse(this.bytes.toString("utf8")) as KubernetesObject;
  }

  /** The last state of a deleted object, at the revision of its deletion. */
  deletedAt(revision: number): CachedObject {
    const value = () => this.#bytesAt(revision) ?? this.#serializedAt(revision);
    const entry = { key: this.key, value, modRevision: revision };
    return new CachedObject(this.#definition, entry, this.#known, this.#facts);
  }

  /** The same bytes with another revision; undefined: it does not stand there once, and only once. */
  #bytesAt(revision: number): Buffer | undefined {
    const was = Buffer.from(`"resourceVersion":"${this.revision}"`);
    const start = this.bytes.indexOf(was);
    if (start < 0 || this.bytes.indexOf(was, start + 1) >= 0) return undefined;
    const is = Buffer.from(`"resourceVersion":"${revision}"`);
    return Buffer.concat([this.bytes.subarray(0, start), is, this.bytes.subarray(start + was.length)]);
  }

  #serializedAt(revision: number): Buffer {
    const object = this.parse();
    object.metadata.resourceVersion = String(revision);
    return serialize(object);
  }
}

/** Wire bytes in a buffer of their own: these very bytes are stored and sent. */
export function serialize(value: unknown): Buffer {
  const text = JSON.stringify(value);
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}
