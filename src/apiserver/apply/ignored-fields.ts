/**
 * Fields that nobody comes to own: those the system decides, and those a subresource does not write.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#apply-and-update
 */
import type { ResourceDefinition } from "#api";
import { difference, type FieldSet, setOfPath, union } from "./field-set.ts";

const systemMetadata = [
  "name",
  "namespace",
  "creationTimestamp",
  "selfLink",
  "uid",
  "clusterName",
  "generation",
  "managedFields",
  "resourceVersion",
];

const systemFields: FieldSet = [
  setOfPath("f:apiVersion"),
  setOfPath("f:kind"),
  setOfPath("f:metadata"),
  ...systemMetadata.map((name) => setOfPath("f:metadata", `f:${name}`)),
].reduce(union);

export function withoutSystemFields(set: FieldSet): FieldSet {
  return difference(set, systemFields);
}

const statusOnly = setOfPath("f:status");
const allButStatus = [
  setOfPath("f:spec"),
  setOfPath("f:metadata", "f:deletionTimestamp"),
  setOfPath("f:metadata", "f:ownerReferences"),
].reduce(union);
const labels = setOfPath("f:metadata", "f:labels");
const withLabels = union(allButStatus, labels);
/** Kinds whose agents label them while they report. */
const labelledByStatus = new Set(["Node", "Pod"]);

/** What a write through this subresource does not touch, whatever it says. */
export function resetFields(
  definition: Pick<ResourceDefinition, "kind" | "subresources">,
  subresource: string,
): FieldSet | undefined {
  if (subresource === "status") return labelledByStatus.has(definition.kind) ? allButStatus : withLabels;
  if (subresource === "scale") return undefined;
  return Object.hasOwn(definition.subresources, "status") ? statusOnly : undefined;
}
