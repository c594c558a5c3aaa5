/** CustomResourceDefinition. https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/ */
import { sameJson } from "../core/pod-spec/template.ts";
import type { apiextensionsv1 } from "../generated/types/index.ts";
import { column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { formatTime } from "../meta/time.ts";
import { isKnownFormat } from "./formats.ts";
import { type JsonSchema, subSchemas } from "./schema.ts";
import { nameErrors, validateDefinition, validateDefinitionUpdate } from "./validate-definition.ts";

type Definition = apiextensionsv1.CustomResourceDefinition;
type Condition = apiextensionsv1.CustomResourceDefinitionCondition;

/** Holds a deleted definition until its custom resources are gone. */
export const customResourceCleanup = "customresourcecleanup.apiextensions.k8s.io";

/** The conditions with one more, or that one changed; the time moves only with the status. */
export function withDefinitionCondition(
  conditions: readonly Readonly<Condition>[] | undefined,
  wanted: Condition,
  nowMs: number,
): Condition[] {
  const old = conditions?.find((each) => each.type === wanted.type);
  const time = old?.status === wanted.status ? old.lastTransitionTime : undefined;
  const next = { lastTransitionTime: time ?? formatTime(nowMs), ...wanted };
  const all = conditions ?? [];
  return old ? all.map((each) => (each === old ? next : each)) : [...all, next];
}

export function isDefinitionTrue(definition: Readonly<Definition>, type: string): boolean {
  return definition.status?.conditions?.some((c) => c.type === type && c.status === "True") ?? false;
}

function defaults(definition: Definition): void {
  definition.spec ??= { group: "", scope: "", names: { plural: "", kind: "" }, versions: [] };
  const { spec } = definition;
  spec.versions ??= [];
  spec.names ??= { plural: "", kind: "" };
  const { names } = spec;
  names.singular ||= names.kind.toLowerCase();
  if (!names.listKind && names.kind) names.listKind = `${names.kind}List`;
  spec.conversion ??= { strategy: "None" };
  const service = spec.conversion.webhook?.clientConfig?.service;
  if (service) service.port ??= 443;
}

/** A version that objects were once stored in stays on the list until somebody has rewritten them all. */
function noteStorage(definition: Definition): void {
  const storage = definition.spec.versions.find((version) => version.storage)?.name;
  const stored = definition.status.storedVersions ?? [];
  if (storage !== undefined && !stored.includes(storage))
    definition.status.storedVersions = [...stored, storage];
}

function unknownFormats(definition: Readonly<Definition>): Set<string> {
  const found = new Set<string>();
  const look = (schema: Readonly<JsonSchema>) => {
    if (schema.format && !isKnownFormat(schema.format)) found.add(schema.format);
    for (const each of subSchemas(schema, "")) look(each.schema);
  };
  for (const { schema } of definition.spec.versions)
    if (schema?.openAPIV3Schema) look(schema.openAPIV3Schema);
  return found;
}

export const customResourceDefinitions = defineResource<Definition>({
  group: "apiextensions.k8s.io",
  version: "v1",
  resource: "customresourcedefinitions",
  kind: "CustomResourceDefinition",
  typeName: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
  namespaced: false,
  shortNames: ["crd", "crds"],
  categories: ["api-extensions"],
  subresources: { status: { kind: "CustomResourceDefinition", verbs: ["get", "patch", "update"] } },
  hasGeneration: true,
  plainFinalizers: true,
  defaults,
  onCreate(definition) {
    definition.status = { acceptedNames: { plural: "", kind: "" }, storedVersions: [] };
    noteStorage(definition);
  },
  onUpdate(definition, old) {
    definition.status = structuredClone(old.status ?? {}) as Definition["status"];
    if (!sameJson(definition.spec, old.spec)) noteStorage(definition);
  },
  /** Its custom resources go first. */
  onDelete(definition, { nowMs }) {
    const { metadata, status } = definition;
    const finalizers = metadata.finalizers ?? [];
    if (finalizers.includes(customResourceCleanup)) return;
    metadata.finalizers = [...finalizers, customResourceCleanup];
    const conditions = withDefinitionCondition(
      status.conditions,
      {
        type: "Terminating",
        status: "True",
        reason: "InstanceDeletionPending",
        message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
      },
      nowMs,
    );
    definition.status = { ...status, conditions };
  },
  validate: validateDefinition,
  validateUpdate: validateDefinitionUpdate,
  validateStatusUpdate: ({ status }) => nameErrors(status.acceptedNames, "status.acceptedNames"),
  warnings(definition, old) {
    const before = old ? unknownFormats(old) : new Set<string>();
    const formats = [...unknownFormats(definition)].filter((format) => !before.has(format));
    return formats.map((format) => `unrecognized format ${JSON.stringify(format)}`);
  },
  columns: [
    nameColumn(),
    column(
      "Created At",
      "date",
      "CreationTimestamp is a timestamp representing the server time when this object was created.",
      (definition) => definition.metadata.creationTimestamp ?? "",
    ),
  ],
});
