/**
 * Pods against the standards of their namespace are refused or told of; so are the workloads that would make them, and
 * the pods that a namespace has when its labels become stricter.
 * https://kubernetes.io/docs/concepts/security/pod-security-admission/
 */
import {
  type corev1,
  forbidden,
  invalidObject,
  type KubernetesObject,
  namespaces,
  pods,
  type ResourceDefinition,
} from "#api";
import type { AdmissionStep, Attributes } from "../admission/admission.ts";
import { keyPrefix } from "../cache/keys.ts";
import type { Storage } from "../registry/storage.ts";
import type { CheckedPod } from "./check.ts";
import {
  detailsOf,
  isStricter,
  labelErrors,
  type NamespacePolicy,
  nameOf,
  policyOf,
  type Standard,
  violationsOf,
} from "./policy.ts";

type Pod = Readonly<corev1.Pod>;

/** Of a namespace whose labels change. */
const podsMax = 3000;

const ignoredSubresources = new Set([
  "exec",
  "attach",
  "binding",
  "eviction",
  "log",
  "portforward",
  "proxy",
  "status",
]);

const workloads = new Set([
  "apps/daemonsets",
  "apps/deployments",
  "apps/replicasets",
  "apps/statefulsets",
  "batch/cronjobs",
  "batch/jobs",
  "/podtemplates",
  "/replicationcontrollers",
]);

export function podSecurity(storage: Storage): AdmissionStep {
  const policyIn = (namespace: string | undefined): NamespacePolicy | undefined => {
    const found = storage.find(namespaces as ResourceDefinition, undefined, namespace ?? "");
    const policy = found && policyOf(found.facts.labels);
    const isOpen = policy?.enforce.level === "privileged" && policy.warn.level === "privileged";
    return isOpen ? undefined : policy;
  };
  return {
    name: "PodSecurity",
    validate(attributes) {
      const { operation, definition, subresource, namespace } = attributes;
      if (operation !== "CREATE" && operation !== "UPDATE") return;
      if (definition === (namespaces as ResourceDefinition)) {
        if (subresource === "") checkNamespace(storage, attributes);
      } else if (definition === (pods as ResourceDefinition)) {
        const policy = ignoredSubresources.has(subresource) ? undefined : policyIn(namespace);
        if (policy) checkPod(attributes, policy);
      } else if (subresource === "" && workloads.has(`${definition.group}/${definition.resource}`)) {
        const policy = policyIn(namespace);
        if (policy) checkWorkload(attributes, policy);
      }
    },
  };
}

function checkPod(attributes: Attributes, { enforce, warn }: NamespacePolicy): void {
  const pod = attributes.object as Pod | undefined;
  if (!pod?.spec || (attributes.old && !isSignificant(pod, attributes.old as Pod))) return;
  const violations = violationsOf(enforce, pod);
  if (violations.length > 0) {
    const why = `violates PodSecurity ${nameOf(enforce)}: ${detailsOf(violations)}`;
    throw forbidden(attributes.definition, attributes.name, why);
  }
  tell(attributes, warn, pod);
}

/** The other fields of a pod that change later say nothing about its security. */
function isSignificant({ spec }: Pod, { spec: old }: Pod): boolean {
  const imagesOf = ({ initContainers = [], containers, ephemeralContainers = [] }: Pod["spec"]) =>
    [...initContainers, ...containers, ...ephemeralContainers]
      .map(({ name, image }) => `${name} ${image}`)
      .join();
  return imagesOf(spec) !== imagesOf(old);
}

function checkWorkload(attributes: Attributes, { warn }: NamespacePolicy): void {
  const template = templateOf(attributes.object);
  if (template?.spec) tell(attributes, warn, { metadata: template.metadata ?? {}, spec: template.spec });
}

interface PodTemplate {
  metadata?: CheckedPod["metadata"];
  spec?: corev1.PodSpec;
}

function templateOf(object: KubernetesObject | undefined): PodTemplate | undefined {
  const { template, spec } = (object ?? {}) as {
    template?: PodTemplate;
    spec?: { template?: PodTemplate; jobTemplate?: { spec?: { template?: PodTemplate } } };
  };
  return template ?? spec?.jobTemplate?.spec?.template ?? spec?.template;
}

function tell(attributes: Attributes, warn: Standard, pod: Omit<CheckedPod, "minor">): void {
  const violations = violationsOf(warn, pod);
  if (violations.length > 0)
    attributes.warnings?.push(`would violate PodSecurity ${nameOf(warn)}: ${detailsOf(violations)}`);
}

function checkNamespace(storage: Storage, attributes: Attributes): void {
  const { object, old, definition, name } = attributes;
  const errors = labelErrors(object?.metadata.labels);
  const before = labelErrors(old?.metadata.labels);
  if (errors.length > 0 && JSON.stringify(errors) !== JSON.stringify(before))
    throw invalidObject(definition, name, errors);
  const { enforce } = policyOf(object?.metadata.labels);
  if (!old || !isStricter(enforce, policyOf(old.metadata.labels).enforce)) return;
  attributes.warnings?.push(...namespaceWarnings(storage, name, enforce));
}

/** What pods that are there already are against; those with the same faults in one line. */
function namespaceWarnings(storage: Storage, namespace: string, enforce: Standard): string[] {
  const all = [
    ...storage.cache(pods as ResourceDefinition).scan(keyPrefix(pods as ResourceDefinition, namespace)),
  ];
  const byFault = new Map<string, string[]>();
  for (const cached of all.slice(0, podsMax)) {
    const pod = cached.parse() as unknown as Pod;
    const reasons = violationsOf(enforce, pod).map(({ reason }) => reason);
    if (reasons.length === 0) continue;
    const fault = reasons.join(", ");
    byFault.set(fault, [...(byFault.get(fault) ?? []), pod.metadata.name]);
  }
  const lines = [...byFault].map(
    ([fault, names]) => `${names.sort()[0]}${others(names.length - 1)}: ${fault}`,
  );
  return [
    ...(all.length > podsMax
      ? [
          `new PodSecurity enforce level only checked against the first ${podsMax} of ${all.length} existing pods`,
        ]
      : []),
    ...(lines.length > 0
      ? [
          `existing pods in namespace "${namespace}" violate the new PodSecurity enforce level ${nameOf(enforce)}`,
        ]
      : []),
    ...lines.sort(),
  ];
}

function others(count: number): string {
  if (count === 0) return "";
  return count === 1 ? " (and 1 other pod)" : ` (and ${count} other pods)`;
}
