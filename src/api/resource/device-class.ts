/** DeviceClass. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/device-class-v1/ */
import type { resourcev1 } from "../generated/types/index.ts";
import { defineResource } from "../meta/define-resource.ts";
import { defineVersion } from "../meta/define-version.ts";
import { type FieldError, invalid } from "../meta/field-error.ts";
import { validateList } from "../validation/lists.ts";
import { qualifiedNameErrors } from "../validation/names.ts";
import { configurationsMax, validateConfiguration, validateSelectors } from "./configuration.ts";
import { deprecationOf } from "./lifecycle.ts";

/** `example.com/gpu`: with a domain, and none of Kubernetes' own. */
function isExtendedResource(name: string): boolean {
  const isNative = !name.includes("/") || name.split("/")[0]!.endsWith("kubernetes.io");
  return !isNative && !name.startsWith("requests.") && qualifiedNameErrors(`requests.${name}`).length === 0;
}

function validateClass({ spec }: Readonly<resourcev1.DeviceClass>): FieldError[] {
  const { selectors, config, extendedResourceName: name } = spec;
  const errors = [
    ...validateSelectors(selectors, "spec.selectors"),
    ...validateList(config, configurationsMax, "spec.config", validateConfiguration),
  ];
  if (name === undefined || isExtendedResource(name)) return errors;
  return [...errors, invalid("spec.extendedResourceName", name, "must be a valid extended resource name")];
}

export const deviceClasses = defineResource<resourcev1.DeviceClass>({
  group: "resource.k8s.io",
  version: "v1",
  resource: "deviceclasses",
  kind: "DeviceClass",
  typeName: "io.k8s.api.resource.v1.DeviceClass",
  namespaced: false,
  hasGeneration: true,
  defaults(deviceClass) {
    deviceClass.spec ??= {};
  },
  validate: validateClass,
});

export const deviceClassesV1beta2 = defineVersion(deviceClasses, {
  version: "v1beta2",
  typeName: "io.k8s.api.resource.v1beta2.DeviceClass",
  deprecation: deprecationOf("v1beta2", "DeviceClass"),
});

export const deviceClassesV1beta1 = defineVersion(deviceClasses, {
  version: "v1beta1",
  typeName: "io.k8s.api.resource.v1beta1.DeviceClass",
  deprecation: deprecationOf("v1beta1", "DeviceClass"),
});
