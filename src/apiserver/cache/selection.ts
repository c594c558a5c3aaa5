/** What a list or a watch selects: a range of keys, labels, fields. */
import {
  type FieldRequirement,
  type LabelRequirements,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
  type ResourceDefinition,
} from "#api";
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
  const fields = selectors.fieldSelector ? parseFieldSelector(selectors.fieldSelector, definition) : [];
  const isFiltered = labels.length > 0 || fields.length > 0;
  return {
    prefix: keyPrefix(definition, namespace),
    matches: isFiltered ? (object) => matchesAll(object, labels, fields) : undefined,
    isFiltered,
  };
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
