/** What a list or a watch selects: a range of keys, labels, fields. */
import {
  type FieldRequirement,
  type LabelRequirements,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
  type ResourceDefinition,
  storedOf,
} from "#api";
import { customOf } from "../customresources/custom-definition.ts";
import type { CachedObject } from "./cached-object.ts";
import { keyPrefix } from "./keys.ts";

export interface Selection {
  /** Every selected key starts with it. */
  readonly prefix: string;
  /** Undefined when the prefix says it all. */
  readonly matches: ((object: CachedObject) => boolean) | undefined;
  readonly isFiltered: boolean;
}

export function selectionOf(
  definition: ResourceDefinition,
  namespace: string | undefined,
  selectors: { labelSelector?: string | null; fieldSelector?: string | null },
): Selection {
  const labels = selectors.labelSelector ? parseLabelSelector(selectors.labelSelector) : [];
  const fields = selectors.fieldSelector ? fieldsOf(selectors.fieldSelector, definition) : [];
  const custom = fields.length > 0 ? customOf(definition) : undefined;
  const seen = (object: CachedObject) => custom?.view(object) ?? object;
  const isFiltered = labels.length > 0 || fields.length > 0;
  return {
    prefix: keyPrefix(storedOf(definition), namespace),
    matches: isFiltered ? (object) => matchesAll(seen(object), labels, fields) : undefined,
    isFiltered,
  };
}

/** Objects know their fields by the names of the stored version. */
function fieldsOf(text: string, definition: ResourceDefinition): FieldRequirement[] {
  const labels = definition.storedAs?.fieldLabels;
  const fields = parseFieldSelector(text, definition);
  return labels ? fields.map((each) => ({ ...each, field: labels[each.field] ?? each.field })) : fields;
}

function matchesAll(
  object: CachedObject,
  labels: LabelRequirements,
  fields: readonly FieldRequirement[],
): boolean {
  for (const requirement of fields) {
    if ((fieldOf(object, requirement.field) === requirement.value) !== (requirement.operator === "="))
      return false;
  }
  return labels.length === 0 || matchesLabels(labels, object.facts.labels);
}

function fieldOf(object: CachedObject, field: string): string {
  if (field === "metadata.name") return object.name;
  if (field === "metadata.namespace") return object.namespace;
  return object.facts.fields[field] ?? "";
}
