/** For tests of definitions: objects with their defaults, and what validation says of them. */
import type { ResourceDefinition } from "../meta/definition.ts";
import type { FieldError } from "../meta/field-error.ts";
import type { KubernetesObject } from "../meta/resource-type.ts";

type Wild = Record<string, unknown> & { metadata?: object };

/** The object with its defaults; `name` and `namespace` are there unless the draft says otherwise. */
export function made<T extends KubernetesObject>(definition: ResourceDefinition<T>, draft: object): T {
  const { metadata, ...rest } = structuredClone(draft) as Wild;
  const identity = { name: "x", ...(definition.namespaced ? { namespace: "d" } : {}), uid: "u-1" };
  const object = {
    apiVersion: definition.group ? `${definition.group}/${definition.version}` : definition.version,
    kind: definition.kind,
    metadata: { ...identity, ...metadata },
    ...rest,
  } as unknown as T;
  definition.defaults(object);
  return object;
}

export function texts(errors: readonly FieldError[]): string[] {
  return errors.map((e) => `${e.field}: ${e.message}`);
}

/** What a creation, or with `old` an update, is told. */
export function said<T extends KubernetesObject>(
  definition: ResourceDefinition<T>,
  draft: object,
  old?: object,
): string[] {
  const object = made(definition, draft);
  return texts(old ? definition.validateUpdate(object, made(definition, old)) : definition.validate(object));
}
