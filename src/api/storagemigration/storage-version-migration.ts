/** StorageVersionMigration. https://kubernetes.io/docs/tasks/manage-kubernetes-objects/storage-version-migration/ */
import { immutable } from "../core/pod-spec/template.ts";
import type { storagemigrationv1beta1 } from "../generated/types/index.ts";
import { column, defineResource, keepAllButStatusWithMetadata, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import { validateConditions } from "../validation/conditions.ts";
import { dns1035LabelErrors, dnsSubdomainErrors } from "../validation/names.ts";

type Migration = Readonly<storagemigrationv1beta1.StorageVersionMigration>;

function validateMigration({ spec }: Migration): FieldError[] {
  const { resource = "", group = "" } = spec.resource ?? {};
  const at = "spec.resource";
  const errors: FieldError[] = [];
  if (resource === "") errors.push(required(`${at}.resource`, "resource is required"));
  else {
    const faults = dns1035LabelErrors(resource);
    if (faults.length > 0) errors.push(invalid(`${at}.resource`, resource, faults.join(",")));
  }
  const faults = group === "" ? [] : dnsSubdomainErrors(group);
  if (faults.length > 0) errors.push(invalid(`${at}.group`, group, faults.join(",")));
  return errors;
}

function isTrue({ status }: Migration, type: string): boolean {
  return (status?.conditions ?? []).some((c) => c.type === type && c.status === "True");
}

function validateStatus(migration: Migration, old: Migration): FieldError[] {
  const { conditions, resourceVersion = "" } = migration.status ?? {};
  const before = old.status?.resourceVersion ?? "";
  const errors: FieldError[] = [];
  if (resourceVersion !== "" && !/^(0|[1-9]\d{0,18})$/.test(resourceVersion)) {
    const why = `resource version is not well formed: ${resourceVersion}`;
    errors.push(invalid("status.resourceVersion", resourceVersion, why));
  }
  errors.push(...validateConditions(conditions, "status.conditions"));
  if (before !== "" && before !== resourceVersion)
    errors.push(invalid("status.resourceVersion", resourceVersion, "cannot be updated"));
  const fault = (detail: string) => errors.push(invalid("status.conditions", conditions ?? null, detail));
  const [succeeded, failed, running] = ["Succeeded", "Failed", "Running"].map((t) => isTrue(migration, t));
  if (succeeded && failed) fault("Both success and failed conditions cannot be true at the same time");
  if (succeeded && running) fault("Running condition cannot be true when success condition is true");
  if (failed && running) fault("Running condition cannot be true when failed condition is true");
  if (isTrue(old, "Succeeded") && !succeeded)
    fault("Success condition cannot be set to false once it is true");
  if (isTrue(old, "Failed") && !failed) fault("Failed condition cannot be set to false once it is true");
  return errors;
}

export const storageVersionMigrations = defineResource<storagemigrationv1beta1.StorageVersionMigration>({
  group: "storagemigration.k8s.io",
  version: "v1beta1",
  resource: "storageversionmigrations",
  kind: "StorageVersionMigration",
  typeName: "io.k8s.api.storagemigration.v1beta1.StorageVersionMigration",
  namespaced: false,
  subresources: { status: { kind: "StorageVersionMigration", verbs: ["get", "patch", "update"] } },
  defaults(migration) {
    migration.spec ??= { resource: { group: "", resource: "" } };
    migration.status ??= {};
  },
  onStatusUpdate: keepAllButStatusWithMetadata,
  validate: validateMigration,
  validateUpdate: (migration, old) => [
    ...validateMigration(migration),
    ...immutable(migration.spec, old.spec, "spec"),
  ],
  validateStatusUpdate: validateStatus,
  columns: [
    nameColumn(),
    column("Resource", "string", "Fully qualified resource to migrate", ({ spec }) =>
      [spec?.resource?.resource, spec?.resource?.group].filter(Boolean).join("."),
    ),
  ],
});
