/**
 * Stored custom resources as one version shows them: converted, pruned and with defaults, once for all that ask. What
 * is stored may be older than the schema, and of any version that was ever the stored one.
 */
import {
  applyDefaults,
  DecodeError,
  type JsonSchema,
  type KubernetesObject,
  prune,
  type ResourceDefinition,
} from "#api";
import { CachedObject, serialize } from "../cache/cached-object.ts";
import type { Converter } from "./conversion.ts";
import { NotConverted } from "./custom-definition.ts";

export class VersionView {
  readonly #definition: ResourceDefinition;
  readonly #apiVersion: string;
  readonly #schema: Readonly<JsonSchema>;
  readonly #converter: Converter;
  /** What is stored at this moment: what a webhook converts, it converts together. */
  readonly #stored: () => Iterable<CachedObject>;
  readonly #views = new WeakMap<Buffer, CachedObject>();

  constructor(
    definition: ResourceDefinition,
    apiVersion: string,
    schema: Readonly<JsonSchema>,
    converter: Converter,
    stored: () => Iterable<CachedObject>,
  ) {
    this.#definition = definition;
    this.#apiVersion = apiVersion;
    this.#schema = schema;
    this.#converter = converter;
    this.#stored = stored;
  }

  /** Throws `NotConverted` where the webhook has not been asked yet. */
  of(stored: CachedObject): CachedObject {
    const known = this.#views.get(stored.bytes);
    if (known) return known;
    const object = stored.parse();
    if (object.apiVersion !== this.#apiVersion) {
      if (this.#converter.isWebhook) throw new NotConverted(() => this.#convertWith(stored));
      object.apiVersion = this.#apiVersion;
    }
    return this.#keep(stored, object);
  }

  /** Written in this version just now. */
  written(stored: CachedObject): void {
    this.#views.set(stored.bytes, this.#wrap(stored, stored.bytes));
  }

  #keep(stored: CachedObject, object: KubernetesObject): CachedObject {
    try {
      prune(object as unknown as Record<string, unknown>, this.#schema);
    } catch (error) {
      // Stored before the schema said that a resource stands there: it is shown as it is.
      if (!(error instanceof DecodeError)) throw error;
    }
    applyDefaults(object, this.#schema);
    const bytes = serialize(object);
    const view = this.#wrap(stored, bytes.equals(stored.bytes) ? stored.bytes : bytes);
    this.#views.set(stored.bytes, view);
    if (view.bytes !== stored.bytes) this.#views.set(view.bytes, view);
    return view;
  }

  #wrap(stored: CachedObject, value: Buffer): CachedObject {
    return new CachedObject(this.#definition, { key: stored.key, value, modRevision: stored.revision });
  }

  async #convertWith(wanted: CachedObject): Promise<void> {
    const pending: { stored: CachedObject; object: KubernetesObject }[] = [];
    for (const stored of [wanted, ...this.#stored()]) {
      if (this.#views.has(stored.bytes)) continue;
      const object = stored.parse();
      if (object.apiVersion === this.#apiVersion) continue;
      pending.push({ stored, object });
    }
    const converted = await this.#converter.convert(
      pending.map(({ object }) => object),
      this.#apiVersion,
    );
    for (const [i, { stored }] of pending.entries()) this.#keep(stored, converted[i]!);
  }
}
