/** CSINode: the CSI drivers of a node. https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/csi-node-v1/ */
import { immutable, nonNegative } from "../core/pod-spec/template.ts";
import type { storagev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { duplicate, type FieldError, invalid, required } from "../meta/field-error.ts";
import { qualifiedNameErrors } from "../validation/names.ts";
import { driverNameErrors } from "../validation/special-names.ts";

type Node = Readonly<storagev1.CSINode>;
type Driver = Readonly<storagev1.CSINodeDriver>;

const nodeIdMaxLength = 256;

function validateDriver(driver: Driver, at: string): FieldError[] {
  const { name = "", nodeID = "", allocatable, topologyKeys = [] } = driver;
  const errors = driverNameErrors(`${at}.name`, name);
  if (nodeID === "") errors.push(required(`${at}.nodeID`));
  if (nodeID.length > nodeIdMaxLength)
    errors.push(invalid(`${at}.nodeID`, nodeID, `must be ${nodeIdMaxLength} characters or less`));
  errors.push(...nonNegative(allocatable?.count, `${at}.allocatable.count`));
  const keys = new Set<string>();
  for (const key of topologyKeys) {
    if (key === "") errors.push(required(at));
    if (keys.has(key)) errors.push(duplicate(at, key));
    keys.add(key);
    for (const e of qualifiedNameErrors(key)) errors.push(invalid(at, key, e));
  }
  return errors;
}

function validateCsiNode({ spec }: Node): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [i, driver] of (spec.drivers ?? []).entries()) {
    const at = `spec.drivers[${i}]`;
    errors.push(...validateDriver(driver, at));
    if (names.has(driver.name)) errors.push(duplicate(`${at}.name`, driver.name));
    names.add(driver.name);
  }
  return errors;
}

/** Of a driver that stays, only how many volumes it can have may change. */
function validateCsiNodeUpdate(node: Node, old: Node): FieldError[] {
  const errors = validateCsiNode(node);
  for (const before of old.spec.drivers ?? []) {
    for (const driver of node.spec.drivers ?? []) {
      if (driver.name !== before.name) continue;
      const { allocatable: _now, ...fixed } = driver;
      const { allocatable: _then, ...was } = before;
      errors.push(...immutable(fixed, was, "spec.drivers"));
    }
  }
  return errors;
}

export const csiNodes = defineResource<storagev1.CSINode>({
  group: "storage.k8s.io",
  version: "v1",
  resource: "csinodes",
  kind: "CSINode",
  typeName: "io.k8s.api.storage.v1.CSINode",
  namespaced: false,
  defaults(node) {
    node.spec ??= { drivers: [] };
    node.spec.drivers ??= [];
  },
  validate: validateCsiNode,
  validateUpdate: validateCsiNodeUpdate,
  columns: [
    nameColumn(),
    column(
      "Drivers",
      "integer",
      "Drivers indicates the number of CSI drivers registered on the node",
      (n) => n.spec?.drivers?.length ?? 0,
    ),
    ageColumn(),
  ],
});
