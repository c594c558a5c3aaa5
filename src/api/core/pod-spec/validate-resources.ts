/** Requests and limits, of containers and of a whole pod. https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/ */
import type { corev1, metav1 } from "../../generated/types/index.ts";
import {
  duplicate,
  type FieldError,
  fieldNotFound,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "../../meta/field-error.ts";
import { addQuantities, compareQuantities, parseQuantity } from "../../meta/quantity.ts";
import {
  canOvercommit,
  containerResourceNameErrors,
  isHugePages,
  resourceAmountErrors,
} from "../resource-names.ts";

type Requirements = Readonly<corev1.ResourceRequirements>;
type Amounts = Readonly<Record<string, metav1.Quantity>>;

const noClaims: ReadonlySet<string> = new Set();

export function validateResources(
  resources: Requirements | undefined,
  path: string,
  podClaims: ReadonlySet<string> = noClaims,
): FieldError[] {
  if (!resources) return [];
  const limits = resources.limits ?? {};
  const requests = resources.requests ?? {};
  return [
    ...validateAmounts(limits, `${path}.limits`),
    ...Object.keys(requests).flatMap((name) => [
      ...validateAmounts({ [name]: requests[name]! }, `${path}.requests`),
      ...validateOrder(name, requests[name]!, limits[name], path),
    ]),
    ...validateHugePages({ ...limits, ...requests }, path),
    ...validateClaims(resources.claims ?? [], podClaims, `${path}.claims`),
  ];
}

function validateAmounts(amounts: Amounts, path: string): FieldError[] {
  return Object.entries(amounts).flatMap(([name, amount]) => {
    const field = `${path}[${name}]`;
    return [
      ...containerResourceNameErrors(name, field),
      ...resourceAmountErrors(name, amount, field),
      ...wholePagesErrors(name, amount, field),
    ];
  });
}

/** A request is at most its limit, and equal to it where nothing may be promised twice. */
function validateOrder(
  name: string,
  request: metav1.Quantity,
  limit: metav1.Quantity | undefined,
  path: string,
): FieldError[] {
  if (limit === undefined) {
    if (canOvercommit(name)) return [];
    return [required(`${path}.limits`, "Limit must be set for non overcommitable resources")];
  }
  const order = compareQuantities(request, limit);
  if (order !== 0 && !canOvercommit(name))
    return [invalid(`${path}.requests`, String(request), `must be equal to ${name} limit of ${limit}`)];
  if (order <= 0) return [];
  const detail = `must be less than or equal to ${name} limit of ${limit}`;
  return [invalid(`${path}.requests`, String(request), detail)];
}

function wholePagesErrors(name: string, amount: metav1.Quantity, field: string): FieldError[] {
  if (!isHugePages(name)) return [];
  const page = parseQuantity(name.slice("hugepages-".length))?.nanos ?? 0n;
  const nanos = parseQuantity(amount)?.nanos ?? 0n;
  if (page > 0n && nanos >= 0n && nanos % page === 0n) return [];
  return [invalid(field, String(amount), `${amount} is not positive integer multiple of ${name}`)];
}

function validateHugePages(amounts: Amounts, path: string): FieldError[] {
  const names = Object.keys(amounts);
  if (!names.some(isHugePages) || names.includes("cpu") || names.includes("memory")) return [];
  return [forbiddenField(path, "HugePages require cpu or memory")];
}

function validateClaims(
  claims: readonly corev1.ResourceClaim[],
  podClaims: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const seen = new Set<string>();
  return claims.flatMap(({ name, request }, i) => {
    const at = `${path}[${i}]`;
    if (!name) return [required(at)];
    const errors: FieldError[] = [];
    const identity = request ? `${name}/${request}` : name;
    if (seen.has(identity)) errors.push(duplicate(at, identity));
    seen.add(identity);
    if (!podClaims.has(name)) {
      const known = podClaims.size > 0 ? `: ${[...podClaims].sort().join(", ")}` : " which is empty";
      const error = fieldNotFound(at, name);
      const detail = `must be one of the names in pod.spec.resourceClaims${known}`;
      errors.push({ ...error, message: `${error.message}: ${detail}` });
    }
    return errors;
  });
}

type Spec = Readonly<corev1.PodSpec>;

/** https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/#pod-level-resources */
export function validatePodResources(spec: Spec, path: string): FieldError[] {
  const { resources } = spec;
  if (!resources) return [];
  const at = `${path}.resources`;
  const errors: FieldError[] = [];
  if (spec.os?.name === "windows") errors.push(forbiddenField(at, "cannot be set for a windows pod"));
  if (resources.claims?.length)
    errors.push(forbiddenField(`${at}.claims`, "claims cannot be set for Resources at pod-level"));
  for (const kind of ["limits", "requests"] as const) {
    for (const name of Object.keys(resources[kind] ?? {})) {
      if (name === "cpu" || name === "memory" || isHugePages(name)) continue;
      errors.push(notSupported(`${at}.${kind}[${name}]`, name, ["cpu", "hugepages-", "memory"]));
    }
  }
  const { claims, ...amounts } = resources;
  return [...errors, ...validateResources(amounts, at), ...validateShares(spec, path)];
}

/** The containers' requests fit into the pod's, and each one's limits below the pod's. */
function validateShares(spec: Spec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [name, amount] of Object.entries(spec.resources?.requests ?? {})) {
    const total = totalRequests(spec, name);
    if (compareQuantities(total, amount) <= 0) continue;
    const detail = `must be greater than or equal to aggregate container requests of ${total}`;
    errors.push(invalid(`${path}.resources.requests[${name}]`, String(amount), detail));
  }
  for (const [i, container] of (spec.containers ?? []).entries()) {
    for (const [name, limit] of Object.entries(container.resources?.limits ?? {})) {
      const most = spec.resources?.limits?.[name];
      if (most === undefined || compareQuantities(limit, most) <= 0) continue;
      const detail = `must be less than or equal to pod limits of ${most}`;
      errors.push(invalid(`${path}.containers[${i}].resources.limits[${name}]`, String(limit), detail));
    }
  }
  return errors;
}

/** The containers run together; before them, each init container beside the sidecars that began before it. */
function totalRequests(spec: Spec, name: string): string | number {
  const of = (container: corev1.Container) => container.resources?.requests?.[name] ?? 0;
  let sidecars: string | number = 0;
  let atStart: string | number = 0;
  for (const container of spec.initContainers ?? []) {
    const beside: string | number = addQuantities(sidecars, of(container));
    if (container.restartPolicy === "Always") sidecars = beside;
    if (compareQuantities(beside, atStart) > 0) atStart = beside;
  }
  const together = (spec.containers ?? []).reduce<string | number>(
    (sum, container) => addQuantities(sum, of(container)),
    sidecars,
  );
  return compareQuantities(together, atStart) > 0 ? together : atStart;
}
