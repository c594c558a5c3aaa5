/** CSIDriver. https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/csi-driver-v1/ */
import { immutable } from "../core/pod-spec/template.ts";
import type { storagev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { duplicate, type FieldError, invalid, notSupported } from "../meta/field-error.ts";

type Driver = Readonly<storagev1.CSIDriver>;

const groupPolicies = ["File", "None", "ReadWriteOnceWithFSType"];
const lifecycleModes = ["Persistent", "Ephemeral"];
const expirationMinSeconds = 600;
const expirationMaxSeconds = 2 ** 32;
const updatePeriodMinSeconds = 10;

function validateTokens(tokens: readonly storagev1.TokenRequest[]): FieldError[] {
  const errors: FieldError[] = [];
  const audiences = new Set<string>();
  for (const [i, { audience, expirationSeconds }] of tokens.entries()) {
    const at = `spec.tokenRequests[${i}]`;
    if (audiences.has(audience)) {
      errors.push(duplicate(`${at}.audience`, audience));
      continue;
    }
    audiences.add(audience);
    if (expirationSeconds === undefined) continue;
    const fault = (detail: string) =>
      errors.push(invalid(`${at}.expirationSeconds`, expirationSeconds, detail));
    if (expirationSeconds < expirationMinSeconds) fault("may not specify a duration less than 10 minutes");
    if (expirationSeconds > expirationMaxSeconds)
      fault("may not specify a duration larger than 2^32 seconds");
  }
  return errors;
}

function validateDriver({ spec }: Driver): FieldError[] {
  const { fsGroupPolicy, tokenRequests = [], volumeLifecycleModes = [] } = spec;
  const errors: FieldError[] = [];
  if (fsGroupPolicy !== undefined && !groupPolicies.includes(fsGroupPolicy))
    errors.push(notSupported("spec.fsGroupPolicy", fsGroupPolicy, groupPolicies));
  errors.push(...validateTokens(tokenRequests));
  for (const mode of volumeLifecycleModes)
    if (!lifecycleModes.includes(mode))
      errors.push(notSupported("spec.volumeLifecycleModes", mode, lifecycleModes));
  const period = spec.nodeAllocatableUpdatePeriodSeconds;
  if (period !== undefined && period < updatePeriodMinSeconds) {
    const detail = "must be greater than or equal to 10 seconds";
    errors.push(invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, detail));
  }
  return errors;
}

function tokensText({ spec }: Driver): string {
  return spec?.tokenRequests?.map(({ audience }) => audience).join(",") ?? "<unset>";
}

export const csiDrivers = defineResource<storagev1.CSIDriver>({
  group: "storage.k8s.io",
  version: "v1",
  resource: "csidrivers",
  kind: "CSIDriver",
  typeName: "io.k8s.api.storage.v1.CSIDriver",
  namespaced: false,
  hasGeneration: true,
  defaults(driver) {
    driver.spec ??= {};
    const { spec } = driver;
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= "ReadWriteOnceWithFSType";
    if (!spec.volumeLifecycleModes?.length) spec.volumeLifecycleModes = ["Persistent"];
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
  },
  validate: validateDriver,
  validateUpdate: (driver, old) => [
    ...validateDriver(driver),
    // Upstream's path: the field itself is called attachRequired.
    ...immutable(driver.spec.attachRequired, old.spec.attachRequired, "spec.attachedRequired"),
    ...immutable(
      driver.spec.volumeLifecycleModes,
      old.spec.volumeLifecycleModes,
      "spec.volumeLifecycleModes",
    ),
  ],
  columns: [
    nameColumn(),
    column(
      "AttachRequired",
      "boolean",
      "Whether volumes are attached before they are mounted.",
      (d) => d.spec?.attachRequired ?? true,
    ),
    column(
      "PodInfoOnMount",
      "boolean",
      "Whether the driver is told of the pod when it mounts.",
      (d) => d.spec?.podInfoOnMount ?? false,
    ),
    column(
      "StorageCapacity",
      "boolean",
      "Whether the scheduler regards the capacity that the driver reports.",
      (d) => d.spec?.storageCapacity ?? false,
    ),
    column("TokenRequests", "string", "Audiences of the tokens that the driver is given.", tokensText),
    column(
      "RequiresRepublish",
      "boolean",
      "Whether the driver wants to be called again for mounted volumes.",
      (d) => d.spec?.requiresRepublish ?? false,
    ),
    column(
      "Modes",
      "string",
      "The kinds of volumes that the driver supports.",
      (d) => (d.spec?.volumeLifecycleModes ?? []).join(",") || "<none>",
    ),
    ageColumn(),
  ],
});
