/** Where objects stand in the store: `/registry/pods/<namespace>/<name>`. */
import type { ResourceDefinition } from "#api";

type Placed = Pick<ResourceDefinition, "group" | "resource" | "namespaced">;

/** Of a resource, or of one of its namespaces. */
export function keyPrefix(definition: Placed, namespace?: string): string {
  const group = definition.group ? `${definition.group}/` : "";
  const root = `/registry/${group}${definition.resource}/`;
  return definition.namespaced && namespace ? `${root}${namespace}/` : root;
}

export function keyOf(definition: Placed, namespace: string | undefined, name: string): string {
  return keyPrefix(definition, namespace) + name;
}
