/** Objects that the whole cluster is asked about with every write, parsed once and again only when one changes. */
import type { KubernetesObject, ResourceDefinition } from "#api";
import { keyPrefix } from "../cache/keys.ts";
import type { Storage } from "../registry/storage.ts";

export class Configured<T extends KubernetesObject> {
  readonly #storage: Storage;
  readonly #definition: ResourceDefinition;
  #objects: readonly T[] | undefined;

  constructor(storage: Storage, definition: ResourceDefinition<T>) {
    this.#storage = storage;
    this.#definition = definition as unknown as ResourceDefinition;
    storage.cache(this.#definition).listen(() => {
      this.#objects = undefined;
    });
  }

  /** In the order of their names. */
  get all(): readonly T[] {
    this.#objects ??= [...this.#storage.cache(this.#definition).scan(keyPrefix(this.#definition))].map(
      (object) => object.parse() as T,
    );
    return this.#objects;
  }
}
