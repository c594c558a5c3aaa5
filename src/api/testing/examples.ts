/** Objects for tests of single kinds, as the API server would make them of what a client sends. */
import { decode } from "../meta/decode.ts";
import type { ResourceDefinition } from "../meta/definition.ts";
import type { FieldError } from "../meta/field-error.ts";
import { apiVersionOf, type KubernetesObject } from "../meta/resource-type.ts";

export const exampleNowMs = Date.UTC(2026, 0, 2, 3, 4, 5);

/** Decoded and with its defaults, not yet checked. */
export function make<T extends KubernetesObject>(
  definition: ResourceDefinition<T>,
  body: object,
  name = "x",
): T {
  const { metadata = {}, ...rest } = structuredClone(body) as { metadata?: object };
  const object = {
    apiVersion: apiVersionOf(definition),
    kind: definition.kind,
    metadata: { name, uid: "u-1", ...(definition.namespaced ? { namespace: "d" } : {}), ...metadata },
    ...rest,
  };
  decode(definition.typeName, object);
  definition.defaults(object as unknown as T);
  return object as unknown as T;
}

/** `spec.a: Required value`. */
export function errorTexts(errors: readonly FieldError[]): string[] {
  return errors.map(({ field, message }) => `${field}: ${message}`);
}

/** What is wrong with a new object. */
export function errorsOf<T extends KubernetesObject>(
  definition: ResourceDefinition<T>,
  body: object,
  name?: string,
): string[] {
  return errorTexts(definition.validate(make(definition, body, name)));
}

/** What is wrong with a change. */
export function changeErrorsOf<T extends KubernetesObject>(
  definition: ResourceDefinition<T>,
  before: object,
  after: object,
): string[] {
  return errorTexts(definition.validateUpdate(make(definition, after), make(definition, before)));
}

/** What a table shows of it. */
export function cellsOf<T extends KubernetesObject>(
  definition: ResourceDefinition<T>,
  body: object,
): Record<string, unknown> {
  const object = make(definition, body);
  const cells = definition.columns.map((c) => [c.name, c.cell(object, exampleNowMs)] as const);
  return Object.fromEntries(cells);
}
