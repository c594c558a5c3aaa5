/** ResourceSlice: devices that a driver offers. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-slice-v1/ */
import { immutable } from "../core/pod-spec/template.ts";
import { validateNodeSelector } from "../core/pod-spec/validate-scheduling.ts";
import type { resourcev1, resourcev1beta1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { defineVersion } from "../meta/define-version.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import { validateSet } from "../validation/lists.ts";
import { driverNameErrors } from "../validation/special-names.ts";
import { validateCounterSet, validateDevice } from "./device-validation.ts";
import { deprecationOf } from "./lifecycle.ts";
import { validatePoolName, validateSubdomain } from "./names.ts";
import { stampTaint } from "./taints.ts";

type Slice = Readonly<resourcev1.ResourceSlice>;
type Spec = Readonly<resourcev1.ResourceSliceSpec>;

const devicesMax = 128;
const specialDevicesMax = 64;
const counterSetsMax = 8;
const placeRule =
  "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

function validatePool(pool: Readonly<resourcev1.ResourcePool> | undefined): FieldError[] {
  const { name, generation = 0, resourceSliceCount = 0 } = pool ?? {};
  const errors = validatePoolName(name, "spec.pool.name");
  if (resourceSliceCount <= 0)
    errors.push(invalid("spec.pool.resourceSliceCount", resourceSliceCount, "must be greater than zero"));
  if (generation < 0)
    errors.push(invalid("spec.pool.generation", generation, "must be greater than or equal to zero"));
  return errors;
}

/** Which nodes reach the devices is said once. */
function validatePlace(spec: Spec): FieldError[] {
  const { nodeName, nodeSelector } = spec;
  const errors: FieldError[] = [];
  const places: string[] = [];
  if (nodeName) {
    places.push("`nodeName`");
    errors.push(...validateSubdomain(nodeName, "spec.nodeName"));
  } else if (nodeName === "")
    errors.push(invalid("spec.nodeName", "", "must be either unset or set to a non-empty string"));
  if (nodeSelector) {
    places.push("`nodeSelector`");
    errors.push(...validateNodeSelector(nodeSelector, "spec.nodeSelector"));
    const terms = nodeSelector.nodeSelectorTerms ?? [];
    if (terms.length !== 1) {
      const rule = "must have exactly one node selector term";
      errors.push(invalid("spec.nodeSelector.nodeSelectorTerms", terms, rule));
    }
  }
  for (const field of ["allNodes", "perDeviceNodeSelection"] as const) {
    if (spec[field]) places.push(`\`${field}\``);
    else if (spec[field] === false)
      errors.push(invalid(`spec.${field}`, false, "must be either unset or set to true"));
  }
  if (places.length === 0) errors.push(required("spec", placeRule));
  if (places.length > 1)
    errors.push(invalid("spec", `{${places.join(", ")}}`, `${placeRule}, but multiple fields are set`));
  return errors;
}

function isSpecial({ taints, consumesCounters, attributes }: Readonly<resourcev1.Device>): boolean {
  if (taints?.length || consumesCounters?.length) return true;
  return Object.values(attributes ?? {}).some((a) => a.bools || a.ints || a.strings || a.versions);
}

function validateSpec(spec: Spec, old: Spec | undefined): FieldError[] {
  const { devices = [], sharedCounters, perDeviceNodeSelection = false } = spec;
  const errors = [...driverNameErrors("spec.driver", spec.driver ?? ""), ...validatePool(spec.pool)];
  if (old) {
    errors.push(
      ...immutable(spec.pool?.name, old.pool?.name, "spec.pool.name"),
      ...immutable(spec.driver, old.driver, "spec.driver"),
      ...immutable(spec.nodeName, old.nodeName, "spec.nodeName"),
    );
  }
  errors.push(...validatePlace(spec));
  if (sharedCounters && spec.devices)
    errors.push(invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"));
  const before = new Map((old?.devices ?? []).map((device) => [device.name, device]));
  const max = devices.some(isSpecial) ? specialDevicesMax : devicesMax;
  return [
    ...errors,
    ...validateSet(
      devices,
      max,
      "spec.devices",
      (device, at) => validateDevice(device, at, before.get(device.name), perDeviceNodeSelection),
      ({ name }) => name,
    ),
    ...validateSet(
      sharedCounters,
      counterSetsMax,
      "spec.sharedCounters",
      ({ name, counters }, at) => validateCounterSet(name, `${at}.name`, counters, at),
      ({ name }) => name,
    ),
  ];
}

function stampTaints(slice: resourcev1.ResourceSlice, nowMs: number): void {
  for (const { taints = [] } of slice.spec.devices ?? [])
    for (const taint of taints) stampTaint(taint, nowMs);
}

export const resourceSlices = defineResource<resourcev1.ResourceSlice>({
  group: "resource.k8s.io",
  version: "v1",
  resource: "resourceslices",
  kind: "ResourceSlice",
  typeName: "io.k8s.api.resource.v1.ResourceSlice",
  namespaced: false,
  hasGeneration: true,
  defaults(slice) {
    slice.spec ??= { driver: "", pool: { name: "", generation: 0, resourceSliceCount: 0 } };
    for (const { nodeAllocatableResourceMappings = {} } of slice.spec.devices ?? [])
      for (const mapping of Object.values(nodeAllocatableResourceMappings))
        mapping.allocationMultiplier ??= "1";
  },
  onCreate: (slice, { nowMs }) => stampTaints(slice, nowMs),
  onUpdate: (slice, _old, { nowMs }) => stampTaints(slice, nowMs),
  validate: ({ spec }) => validateSpec(spec, undefined),
  validateUpdate: ({ spec }, old) => validateSpec(spec, old.spec),
  warnings: ({ spec: { driver = "" } }: Slice) =>
    driver === driver.toLowerCase()
      ? []
      : [
          `spec.driver: driver names should be lowercase; ${JSON.stringify(driver)} contains uppercase characters`,
        ],
  selectableFields: {
    "spec.nodeName": ({ spec }) => spec.nodeName ?? "",
    "spec.driver": ({ spec }) => spec.driver ?? "",
  },
  columns: [
    nameColumn(),
    column("Node", "string", "The node that has the devices.", (s) => s.spec?.nodeName ?? ""),
    column("Driver", "string", "The driver that offers them.", (s) => s.spec?.driver ?? ""),
    column("Pool", "string", "The pool that they belong to.", (s) => s.spec?.pool?.name ?? ""),
    ageColumn(),
  ],
});

export const resourceSlicesV1beta2 = defineVersion(resourceSlices, {
  version: "v1beta2",
  typeName: "io.k8s.api.resource.v1beta2.ResourceSlice",
  deprecation: deprecationOf("v1beta2", "ResourceSlice"),
});

/** There a device's properties stand in its field `basic`. */
export const resourceSlicesV1beta1 = defineVersion<resourcev1beta1.ResourceSlice, resourcev1.ResourceSlice>(
  resourceSlices,
  {
    version: "v1beta1",
    typeName: "io.k8s.api.resource.v1beta1.ResourceSlice",
    deprecation: deprecationOf("v1beta1", "ResourceSlice"),
    toStored(slice) {
      const { devices, ...spec } = slice.spec ?? {};
      const flat = devices?.map(({ name, basic }) => ({ ...basic, name }));
      return { ...slice, spec: { ...spec, ...(flat ? { devices: flat } : {}) } };
    },
    fromStored(slice) {
      const { devices, ...spec } = slice.spec ?? {};
      const nested = devices?.map(({ name, ...basic }) => ({ name, basic }));
      return { ...slice, spec: { ...spec, ...(nested ? { devices: nested } : {}) } };
    },
  },
);
