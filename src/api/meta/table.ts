/**
 * The `Table` form of objects, which `kubectl get` asks for.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
 */
import type { metav1 } from "../generated/types/index.ts";
import type { ResourceDefinition } from "./definition.ts";
import type { KubernetesObject } from "./resource-type.ts";

export interface TableColumnDefinition {
  name: string;
  type: string;
  format: string;
  description: string;
  priority: number;
}

export interface TableRow {
  cells: unknown[];
  object?: unknown;
}

/** What rows carry of the object beside their cells. */
export type IncludeObject = "None" | "Metadata" | "Object";

/** Older clients ask for the older one, which is the same. */
type MetaVersion = "v1" | "v1beta1";

export function tableColumns(definition: Pick<ResourceDefinition, "columns">): TableColumnDefinition[] {
  return definition.columns.map((c) => ({
    name: c.name,
    type: c.type,
    format: c.format ?? "",
    description: c.description,
    priority: c.priority,
  }));
}

export function tableRow<T extends KubernetesObject>(
  definition: Pick<ResourceDefinition<T>, "columns">,
  object: Readonly<T>,
  nowMs: number,
  include: IncludeObject,
  metaVersion: MetaVersion = "v1",
): TableRow {
  const cells = definition.columns.map((c) => c.cell(object, nowMs) ?? null);
  if (include === "Object") return { cells, object };
  if (include === "None") return { cells };
  const { metadata } = object;
  const partial = { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${metaVersion}`, metadata };
  return { cells, object: partial };
}

/** The whole answer; `withColumns` is false for all but the first event of a watch. */
export function renderTable<T extends KubernetesObject>(
  definition: Pick<ResourceDefinition<T>, "columns">,
  objects: readonly Readonly<T>[],
  metadata: Partial<metav1.ListMeta>,
  options: { nowMs: number; include: IncludeObject; metaVersion?: MetaVersion; withColumns?: boolean },
): Record<string, unknown> {
  const { nowMs, include, metaVersion = "v1" } = options;
  const columns =
    options.withColumns === false ? null : tableColumns(definition as Pick<ResourceDefinition, "columns">);
  return {
    kind: "Table",
    apiVersion: `meta.k8s.io/${metaVersion}`,
    metadata,
    columnDefinitions: columns,
    rows: objects.map((o) => tableRow(definition, o, nowMs, include, metaVersion)),
  };
}
