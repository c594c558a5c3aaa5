/**
 * Field selectors: `metadata.name=web,status.phase!=Running`.
 * https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
 */
import type { ResourceDefinition } from "./definition.ts";
import type { KubernetesObject } from "./resource-type.ts";
import { badRequest } from "./status.ts";

export interface FieldRequirement {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

const requirementsMax = 100;

/** Parses the text of a `fieldSelector` parameter for one resource; throws a 400 for fields it does not serve. */
export function parseFieldSelector(
  text: string,
  definition: Pick<ResourceDefinition, "selectableFields" | "namespaced">,
): FieldRequirement[] {
  const requirements: FieldRequirement[] = [];
  for (const term of splitTerms(text)) {
    if (term === "") continue;
    const match = /^((?:[^=!\\]|\\.)*)(==|!=|=)(.*)$/s.exec(term);
    if (!match)
      throw badRequest(`invalid selector: '${text.slice(0, 200)}'; can't understand '${term.slice(0, 200)}'`);
    const [, field, sign, value] = match;
    if (!isSelectable(definition, field!)) throw badRequest(`field label not supported: ${field}`);
    requirements.push({
      field: field!,
      operator: sign === "!=" ? "!=" : "=",
      value: unescaped(text, value!),
    });
  }
  if (requirements.length > requirementsMax)
    throw badRequest(`a field selector may have at most ${requirementsMax} terms`);
  return requirements;
}

function isSelectable(
  definition: Pick<ResourceDefinition, "selectableFields" | "namespaced">,
  field: string,
): boolean {
  if (field === "metadata.name" || field === "metadata.namespace") return true;
  return Object.hasOwn(definition.selectableFields, field);
}

/** At commas that are not escaped. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === ",") {
      terms.push(text.slice(start, i));
      start = i + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function unescaped(text: string, value: string): string {
  if (/[=,](?<!\\[=,])/.test(value))
    throw badRequest(`invalid selector: '${text.slice(0, 200)}'; unescaped character in value`);
  return value.replace(/\\([\\,=])/g, "$1");
}

/** The value of one selectable field; undefined when the resource has none of that name. */
export function selectableField<T extends KubernetesObject>(
  definition: Pick<ResourceDefinition<T>, "selectableFields">,
  object: Readonly<T>,
  field: string,
): string {
  if (field === "metadata.name") return object.metadata.name;
  if (field === "metadata.namespace") return object.metadata.namespace ?? "";
  return definition.selectableFields[field]?.(object) ?? "";
}

export function matchesFields<T extends KubernetesObject>(
  definition: Pick<ResourceDefinition<T>, "selectableFields">,
  requirements: readonly FieldRequirement[],
  object: Readonly<T>,
): boolean {
  return requirements.every(
    (r) => (selectableField(definition, object, r.field) === r.value) === (r.operator === "="),
  );
}
