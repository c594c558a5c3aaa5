/** ResourcePoolStatusRequest: asks once how much of a pool is left. https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/5677-dra-resource-availability-visibility */
import { immutable } from "../core/pod-spec/template.ts";
import type { resourcev1alpha3 } from "../generated/types/index.ts";
import { defineResource, keepAllButStatusWithMetadata } from "../meta/define-resource.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import { validateConditions } from "../validation/conditions.ts";
import { validateList } from "../validation/lists.ts";
import { driverNameErrors } from "../validation/special-names.ts";
import { validatePoolName, validateSubdomain } from "./names.ts";

type Request = Readonly<resourcev1alpha3.ResourcePoolStatusRequest>;
type Pool = Readonly<resourcev1alpha3.PoolStatus>;

const limitDefault = 100;
const limitMax = 1000;
const counts = [
  "totalDevices",
  "allocatedDevices",
  "availableDevices",
  "unavailableDevices",
  "generation",
] as const;

function validateRequest({ spec }: Request): FieldError[] {
  const { driver = "", poolName = "", limit = limitDefault } = spec;
  const errors =
    driver === ""
      ? [required("spec.driver", "driver name is required")]
      : driverNameErrors("spec.driver", driver);
  if (poolName !== "") errors.push(...validatePoolName(poolName, "spec.poolName"));
  if (limit < 1) errors.push(invalid("spec.limit", limit, "must be at least 1"));
  if (limit > limitMax) errors.push(invalid("spec.limit", limit, `must not exceed ${limitMax}`));
  return errors;
}

function validatePool(pool: Pool, at: string): FieldError[] {
  const errors = pool.driver ? driverNameErrors(`${at}.driver`, pool.driver) : [required(`${at}.driver`)];
  errors.push(...validatePoolName(pool.poolName, `${at}.poolName`));
  if (pool.nodeName) errors.push(...validateSubdomain(pool.nodeName, `${at}.nodeName`));
  for (const key of counts) {
    const value = pool[key] ?? 0;
    if (value < 0) errors.push(invalid(`${at}.${key}`, value, "must be greater than or equal to 0"));
  }
  const slices = pool.resourceSliceCount;
  if (slices !== undefined && slices < 1)
    errors.push(invalid(`${at}.resourceSliceCount`, slices, "must be greater than or equal to 1"));
  return errors;
}

/** The answer is given once. */
function validateStatus({ status }: Request, old: Request): FieldError[] {
  if (old.status) return immutable(status, old.status, "status");
  const { poolCount = 0, pools, conditions } = status ?? {};
  const errors = validateList(pools, limitMax, "status.pools", validatePool);
  if (poolCount < 0)
    errors.push(invalid("status.poolCount", poolCount, "must be greater than or equal to 0"));
  return [...errors, ...validateConditions(conditions, "status.conditions")];
}

export const resourcePoolStatusRequests = defineResource<resourcev1alpha3.ResourcePoolStatusRequest>({
  group: "resource.k8s.io",
  version: "v1alpha3",
  resource: "resourcepoolstatusrequests",
  kind: "ResourcePoolStatusRequest",
  typeName: "io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequest",
  namespaced: false,
  subresources: { status: { kind: "ResourcePoolStatusRequest", verbs: ["get", "patch", "update"] } },
  defaults(request) {
    request.spec ??= { driver: "" };
    request.spec.limit ??= limitDefault;
  },
  // Absent until somebody answers.
  onCreate(request) {
    delete (request as { status?: unknown }).status;
  },
  onUpdate(request, old) {
    if (old.status) request.status = old.status;
    else delete (request as { status?: unknown }).status;
  },
  onStatusUpdate: keepAllButStatusWithMetadata,
  validate: validateRequest,
  validateUpdate: (request, old) => immutable(request.spec, old.spec, "spec"),
  validateStatusUpdate: validateStatus,
});
