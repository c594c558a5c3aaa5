/** VolumeAttributesClass. https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume-attributes-class-v1/ */
import { sameEntries } from "../core/config-map.ts";
import type { storagev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { defineVersion } from "../meta/define-version.ts";
import { type FieldError, forbiddenField, required } from "../meta/field-error.ts";
import { validateParameters, validateProvisioner } from "./parameters.ts";

type AttributesClass = Readonly<storagev1.VolumeAttributesClass>;

function validateClass({ driverName, parameters }: AttributesClass): FieldError[] {
  const errors = [
    ...validateProvisioner(driverName, "driverName"),
    ...validateParameters(parameters, "parameters"),
  ];
  if (Object.keys(parameters ?? {}).length === 0)
    errors.push(required("parameters", "must contain at least one key/value pair"));
  return errors;
}

export const volumeAttributesClasses = defineResource<storagev1.VolumeAttributesClass>({
  group: "storage.k8s.io",
  version: "v1",
  resource: "volumeattributesclasses",
  kind: "VolumeAttributesClass",
  typeName: "io.k8s.api.storage.v1.VolumeAttributesClass",
  namespaced: false,
  shortNames: ["vac"],
  validate: validateClass,
  validateUpdate: (attributesClass, old) => [
    ...(attributesClass.driverName === old.driverName
      ? []
      : [forbiddenField("driverName", "updates to driverName are forbidden.")]),
    ...(sameEntries(attributesClass.parameters, old.parameters)
      ? []
      : [forbiddenField("parameters", "updates to parameters are forbidden.")]),
    ...validateClass(attributesClass),
  ],
  columns: [
    nameColumn(),
    column("DriverName", "string", "Name of the CSI driver.", (c) => c.driverName ?? ""),
    ageColumn(),
  ],
});

export const volumeAttributesClassesV1beta1 = defineVersion(volumeAttributesClasses, {
  version: "v1beta1",
  deprecation:
    "storage.k8s.io/v1beta1 VolumeAttributesClass is deprecated in v1.34+, unavailable in v1.37+; use storage.k8s.io/v1 VolumeAttributesClass",
  typeName: "io.k8s.api.storage.v1beta1.VolumeAttributesClass",
});
