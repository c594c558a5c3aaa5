/** What a pod's agent reports. https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ */
import { isIP } from "node:net";
import type { corev1 } from "../../generated/types/index.ts";
import { duplicate, type FieldError, forbiddenField, invalid } from "../../meta/field-error.ts";
import { ipErrors } from "../../validation/addresses.ts";
import { invalidEach } from "../../validation/checks.ts";
import { dnsSubdomainErrors, qualifiedNameErrors } from "../../validation/names.ts";

type Pod = Readonly<corev1.Pod>;
type Statuses = readonly corev1.ContainerStatus[] | undefined;

const systemConditions = new Set(["PodScheduled", "Ready", "Initialized"]);

export function validatePodStatusUpdate(pod: Pod, old: Pod): FieldError[] {
  const [status, before] = [pod.status ?? {}, old.status ?? {}];
  const nominated = status.nominatedNodeName ?? "";
  return [
    ...(status.conditions ?? []).flatMap(({ type }, i) =>
      systemConditions.has(type)
        ? []
        : invalidEach(`metadata.conditions[${i}].Type`, type, qualifiedNameErrors(type ?? "")),
    ),
    ...(nominated && nominated !== before.nominatedNodeName
      ? invalidEach("status.nominatedNodeName", nominated, dnsSubdomainErrors(nominated))
      : []),
    ...restartErrors(pod, old),
    ...claimErrors(pod),
    ...addressErrors(status.podIPs ?? [], "status.podIPs"),
    ...hostAddressErrors(status),
  ];
}

function restartErrors(pod: Pod, old: Pod): FieldError[] {
  const [status, before] = [pod.status ?? {}, old.status ?? {}];
  const containers = [...(old.spec.containers ?? []), ...(old.spec.initContainers ?? [])];
  const rules = containers.flatMap(({ restartPolicyRules = [] }) => restartPolicyRules);
  const allAgain = rules.some(({ action }) => action === "RestartAllContainers");
  const policy = allAgain ? "Always" : (old.spec.restartPolicy ?? "Always");
  const ownPolicies = new Set(
    containers
      .filter((container) => container.restartPolicy !== undefined)
      .map((container) => container.name),
  );
  return [
    ...revivals(status.containerStatuses, before.containerStatuses, policy, "containerStatuses", ownPolicies),
    ...revivals(
      status.initContainerStatuses,
      before.initContainerStatuses,
      policy,
      "initContainerStatuses",
      ownPolicies,
    ),
    ...revivals(
      status.ephemeralContainerStatuses,
      before.ephemeralContainerStatuses,
      "Never",
      "ephemeralContainerStatuses",
      new Set(),
    ),
  ];
}

/** A container that ended for good cannot come back to life. */
function revivals(
  statuses: Statuses,
  before: Statuses,
  policy: string,
  name: string,
  ownPolicies: ReadonlySet<string>,
): FieldError[] {
  if (policy === "Always" || !before?.length) return [];
  const now = new Map((statuses ?? []).map((status) => [status.name, status]));
  return before.flatMap((status, i) => {
    const ended = status.state?.terminated;
    if (!ended || ownPolicies.has(status.name)) return [];
    if (policy === "OnFailure" && ended.exitCode !== 0) return [];
    const after = now.get(status.name);
    if (!after || after.state?.terminated) return [];
    return [forbiddenField(`status.${name}[${i}].state`, "may not be transitioned to non-terminated state")];
  });
}

function claimErrors(pod: Pod): FieldError[] {
  if (!pod.status?.resourceClaimStatuses?.length) return [];
  const known = new Set((pod.spec?.resourceClaims ?? []).map((claim) => claim.name));
  const seen = new Set<string>();
  return pod.status.resourceClaimStatuses.flatMap(({ name = "", resourceClaimName }, i) => {
    const field = `status.resourceClaimStatuses[${i}].name`;
    const errors: FieldError[] = [];
    if (!known.has(name))
      errors.push(invalid(field, name, "must match the name of an entry in `spec.resourceClaims`"));
    if (seen.has(name)) errors.push(duplicate(field, name));
    seen.add(name);
    if (resourceClaimName !== undefined)
      errors.push(...invalidEach(field, resourceClaimName, dnsSubdomainErrors(resourceClaimName)));
    return errors;
  });
}

/** Of each family at most one. */
function addressErrors(addresses: readonly { ip?: string }[], field: string): FieldError[] {
  const texts = addresses.map(({ ip = "" }) => ip);
  const errors = texts.flatMap((ip, i) => invalidEach(`${field}[${i}]`, ip, ipErrors(ip)));
  if (texts.length <= 1) return errors;
  const families = new Set(texts.map((ip) => isIP(ip)));
  if (texts.length > 2 || families.size !== 2)
    errors.push(invalid(field, addresses, "may specify no more than one IP for each IP family"));
  for (const [i, ip] of texts.entries())
    if (texts.indexOf(ip) < i) errors.push(duplicate(`${field}[${i}]`, addresses[i]));
  return errors;
}

function hostAddressErrors(status: Readonly<corev1.PodStatus>): FieldError[] {
  const addresses = status.hostIPs ?? [];
  if (addresses.length === 0) return [];
  const field = "status.hostIPs";
  const first = addresses[0]!.ip ?? "";
  const mismatch =
    (status.hostIP ?? "") === first ? [] : [invalid(`${field}[0].ip`, first, "must be equal to `hostIP`")];
  return [...mismatch, ...addressErrors(addresses, field)];
}
