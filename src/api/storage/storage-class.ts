/** StorageClass. https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/storage-class-v1/ */
import { sameEntries } from "../core/config-map.ts";
import { nodeLabelDeprecation } from "../core/node-labels.ts";
import { immutable } from "../core/pod-spec/template.ts";
import type { corev1, storagev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "../meta/field-error.ts";
import { qualifiedNameErrors } from "../validation/names.ts";
import { validateParameters, validateProvisioner } from "./parameters.ts";

type StorageClass = Readonly<storagev1.StorageClass>;

const reclaimPolicies = ["Delete", "Retain"];
const bindingModes = ["Immediate", "WaitForFirstConsumer"];
const defaultAnnotations = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];

/** The class of claims that name none. */
export function isDefaultStorageClass({ metadata }: Pick<StorageClass, "metadata">): boolean {
  return defaultAnnotations.some((key) => metadata.annotations?.[key] === "true");
}

function validateTerm(term: Readonly<corev1.TopologySelectorTerm>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const keys = new Set<string>();
  for (const [i, { key = "", values = [] }] of (term.matchLabelExpressions ?? []).entries()) {
    const field = `${at}.matchLabelExpressions[${i}]`;
    if (values.length === 0) errors.push(required(`${field}.values`));
    for (const [j, value] of values.entries())
      if (values.indexOf(value) < j) errors.push(duplicate(`${field}.values[${j}]`, value));
    for (const e of qualifiedNameErrors(key)) errors.push(invalid(`${field}.key`, key, e));
    if (keys.has(key)) errors.push(duplicate(`${field}.key`, key));
    keys.add(key);
  }
  return errors;
}

function validateTopologies(terms: readonly corev1.TopologySelectorTerm[]): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, term] of terms.entries()) {
    const at = `allowedTopologies[${i}]`;
    errors.push(...validateTerm(term, at));
    const sorted = (term.matchLabelExpressions ?? []).map(({ key, values = [] }) => [
      key,
      [...new Set(values)].sort(),
    ]);
    const identity = JSON.stringify(sorted.sort());
    if (seen.has(identity)) errors.push(duplicate(`${at}.matchLabelExpressions`, ""));
    seen.add(identity);
  }
  return errors;
}

function validateStorageClass(storageClass: StorageClass): FieldError[] {
  const { provisioner, parameters, reclaimPolicy, volumeBindingMode, allowedTopologies = [] } = storageClass;
  const errors = [
    ...validateProvisioner(provisioner, "provisioner"),
    ...validateParameters(parameters, "parameters"),
  ];
  if (reclaimPolicy && !reclaimPolicies.includes(reclaimPolicy))
    errors.push(notSupported("reclaimPolicy", reclaimPolicy, reclaimPolicies));
  if (volumeBindingMode === undefined) errors.push(required("volumeBindingMode"));
  else if (!bindingModes.includes(volumeBindingMode))
    errors.push(notSupported("volumeBindingMode", volumeBindingMode, bindingModes));
  return [...errors, ...validateTopologies(allowedTopologies)];
}

function validateStorageClassUpdate(storageClass: StorageClass, old: StorageClass): FieldError[] {
  const errors = validateStorageClass(storageClass);
  const fixed = (field: string) => errors.push(forbiddenField(field, `updates to ${field} are forbidden.`));
  if (!sameEntries(storageClass.parameters, old.parameters)) fixed("parameters");
  if (storageClass.provisioner !== old.provisioner) fixed("provisioner");
  if (storageClass.reclaimPolicy !== old.reclaimPolicy) fixed("reclaimPolicy");
  return [
    ...errors,
    ...immutable(storageClass.volumeBindingMode, old.volumeBindingMode, "volumeBindingMode"),
  ];
}

function storageClassWarnings({ allowedTopologies = [] }: StorageClass): string[] {
  return allowedTopologies.flatMap(({ matchLabelExpressions = [] }, i) =>
    matchLabelExpressions.flatMap(({ key }, j) => {
      const message = nodeLabelDeprecation(key);
      return message ? [`allowedTopologies[${i}].matchLabelExpressions[${j}].key: ${message}`] : [];
    }),
  );
}

export const storageClasses = defineResource<storagev1.StorageClass>({
  group: "storage.k8s.io",
  version: "v1",
  resource: "storageclasses",
  kind: "StorageClass",
  typeName: "io.k8s.api.storage.v1.StorageClass",
  namespaced: false,
  shortNames: ["sc"],
  defaults(storageClass) {
    storageClass.reclaimPolicy ??= "Delete";
    storageClass.volumeBindingMode ??= "Immediate";
  },
  validate: validateStorageClass,
  validateUpdate: validateStorageClassUpdate,
  warnings: storageClassWarnings,
  columns: [
    {
      ...nameColumn<storagev1.StorageClass>(),
      cell: (c) => (isDefaultStorageClass(c) ? `${c.metadata.name} (default)` : c.metadata.name),
    },
    column("Provisioner", "string", "The type of the provisioner.", (c) => c.provisioner ?? ""),
    column(
      "ReclaimPolicy",
      "string",
      "What happens to the volumes of this class when they are released.",
      (c) => c.reclaimPolicy ?? "Delete",
    ),
    column(
      "VolumeBindingMode",
      "string",
      "When volumes of this class are provisioned and bound.",
      (c) => c.volumeBindingMode ?? "<unset>",
    ),
    column(
      "AllowVolumeExpansion",
      "string",
      "Whether volumes of this class may grow.",
      (c) => c.allowVolumeExpansion ?? false,
    ),
    ageColumn(),
  ],
});
