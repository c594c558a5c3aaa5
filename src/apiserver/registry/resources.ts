/**
 * Everything the server serves at this moment: what is built in, and what CustomResourceDefinitions add while it runs.
 * Routes, discovery and OpenAPI ask here, so that they change together.
 */
import { definitionOf, type ResourceDefinition, resourceDefinitions } from "#api";

export class Resources {
  #added: ReadonlyMap<string, readonly ResourceDefinition[]> = new Map();
  #definitions: readonly ResourceDefinition[] = resourceDefinitions;
  #byResource: ReadonlyMap<string, ResourceDefinition> = new Map();
  #changes = 0;
  readonly #listeners = new Set<() => void>();

  get definitions(): readonly ResourceDefinition[] {
    return this.#definitions;
  }

  /** Grows with every change: what was made of the definitions is good as long as it stands. */
  get changes(): number {
    return this.#changes;
  }

  /** By the plural in paths. */
  find(group: string, version: string, resource: string): ResourceDefinition | undefined {
    return definitionOf(group, version, resource) ?? this.#byResource.get(`${group}/${version}/${resource}`);
  }

  /** All that `owner` adds; nothing takes back what it added before. */
  set(owner: string, definitions: readonly ResourceDefinition[]): void {
    const added = new Map(this.#added);
    if (definitions.length > 0) added.set(owner, definitions);
    else if (!added.delete(owner)) return;
    const all = [...added.values()].flat();
    this.#added = added;
    this.#byResource = new Map(all.map((d) => [`${d.group}/${d.version}/${d.resource}`, d]));
    this.#definitions = [...resourceDefinitions, ...all];
    this.#changes++;
    for (const listener of this.#listeners) listener();
  }

  /** Called after every change. Answers how to stop listening. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
