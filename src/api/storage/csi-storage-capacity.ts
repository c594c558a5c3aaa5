/** CSIStorageCapacity. https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/csi-storage-capacity-v1/ */
import { nodeSelectorWarnings } from "../core/node-labels.ts";
import { immutable } from "../core/pod-spec/template.ts";
import type { storagev1 } from "../generated/types/index.ts";
import { column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, invalid } from "../meta/field-error.ts";
import { validateLabelSelector } from "../meta/label-selector.ts";
import { dnsSubdomainErrors } from "../validation/names.ts";

type Capacity = Readonly<storagev1.CSIStorageCapacity>;

function validateCapacity({ nodeTopology, storageClassName = "", capacity }: Capacity): FieldError[] {
  const errors = validateLabelSelector(nodeTopology, "nodeTopology");
  for (const e of dnsSubdomainErrors(storageClassName))
    errors.push(invalid("storageClassName", storageClassName, e));
  if (String(capacity ?? "").startsWith("-"))
    errors.push(invalid("capacity", capacity, "must be greater than or equal to 0"));
  return errors;
}

export const csiStorageCapacities = defineResource<storagev1.CSIStorageCapacity>({
  group: "storage.k8s.io",
  version: "v1",
  resource: "csistoragecapacities",
  kind: "CSIStorageCapacity",
  typeName: "io.k8s.api.storage.v1.CSIStorageCapacity",
  namespaced: true,
  validate: validateCapacity,
  validateUpdate: (capacity, old) => [
    ...validateCapacity(capacity),
    ...immutable(capacity.nodeTopology, old.nodeTopology, "nodeTopology"),
    ...immutable(capacity.storageClassName, old.storageClassName, "storageClassName"),
  ],
  warnings: (capacity) => nodeSelectorWarnings(capacity.nodeTopology, "nodeTopology"),
  columns: [
    nameColumn(),
    column("StorageClassName", "string", "The class of the volumes.", (c) => c.storageClassName ?? ""),
    column("Capacity", "string", "How much can be provisioned.", (c) => String(c.capacity ?? "<unset>")),
  ],
});
