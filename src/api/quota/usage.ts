/**
 * What an object takes of a quota. Pure: admission charges with it, the controller counts with it.
 * https://kubernetes.io/docs/concepts/policy/resource-quotas/
 */

import { qosClassOf } from "../core/pod-spec/qos.ts";
import { isExtendedResource, isHugePages } from "../core/resource-names.ts";
import type { corev1 } from "../generated/types/index.ts";
import { selectorMatches } from "../meta/label-selector.ts";
import type { KubernetesObject, ResourceType } from "../meta/resource-type.ts";
import type { Amounts } from "./amounts.ts";
import { podAmounts } from "./pod-amounts.ts";

type Quota = Readonly<corev1.ResourceQuota>;
type Pod = Readonly<corev1.Pod>;
type Kind = Pick<ResourceType, "group" | "resource">;

/** Kinds that count under their own name too. */
const counted: ReadonlySet<string> = new Set([
  "pods",
  "services",
  "replicationcontrollers",
  "resourcequotas",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
]);

export function countName({ group, resource }: Kind): string {
  return group ? `count/${resource}.${group}` : `count/${resource}`;
}

/** What the object takes, under every name a quota may use for it. */
export function quotaUsage(kind: Kind, object: Readonly<KubernetesObject>): Amounts {
  const usage: Amounts = { [countName(kind)]: "1" };
  if (kind.group !== "") return usage;
  if (counted.has(kind.resource) && kind.resource !== "pods") usage[kind.resource] = "1";
  switch (kind.resource) {
    case "pods":
      return { ...usage, ...podUsage(object as Pod) };
    case "services":
      return { ...usage, ...serviceUsage(object as Readonly<corev1.Service>) };
    case "persistentvolumeclaims":
      return { ...usage, ...claimUsage(object as Readonly<corev1.PersistentVolumeClaim>) };
    default:
      return usage;
  }
}

/** Pods that have come to their end hold nothing but their place in the count. */
function podUsage(pod: Pod): Amounts {
  const { phase } = pod.status ?? {};
  if (phase === "Succeeded" || phase === "Failed") return {};
  const usage: Amounts = { pods: "1" };
  for (const [name, amount] of Object.entries(podAmounts(pod, "requests"))) {
    if (isStandard(name)) usage[name] = amount;
    if (isStandard(name) || isExtendedResource(name)) usage[`requests.${name}`] = amount;
  }
  for (const [name, amount] of Object.entries(podAmounts(pod, "limits")))
    if (isStandard(name)) usage[`limits.${name}`] = amount;
  return usage;
}

function isStandard(name: string): boolean {
  return name === "cpu" || name === "memory" || name === "ephemeral-storage" || isHugePages(name);
}

function serviceUsage({ spec }: Readonly<corev1.Service>): Amounts {
  const ports = spec.ports ?? [];
  const nodePorts = ports.filter((port) => port.nodePort !== undefined && port.nodePort !== 0).length;
  switch (spec.type) {
    case "NodePort":
      return { "services.nodeports": String(ports.length), "services.loadbalancers": "0" };
    case "LoadBalancer": {
      const taken = spec.allocateLoadBalancerNodePorts === false ? nodePorts : ports.length;
      return { "services.nodeports": String(taken), "services.loadbalancers": "1" };
    }
    default:
      return { "services.nodeports": "0", "services.loadbalancers": "0" };
  }
}

function claimUsage({ spec, status }: Readonly<corev1.PersistentVolumeClaim>): Amounts {
  const storage = status?.allocatedResources?.storage ?? spec?.resources?.requests?.storage;
  const usage: Amounts = storage === undefined ? {} : { "requests.storage": storage };
  const storageClass = spec?.storageClassName;
  if (!storageClass) return usage;
  usage[`${storageClass}.storageclass.storage.k8s.io/persistentvolumeclaims`] = "1";
  if (storage !== undefined) usage[`${storageClass}.storageclass.storage.k8s.io/requests.storage`] = storage;
  return usage;
}

/** Whether the quota is about this object: its scopes all match. */
export function isInScope({ spec }: Quota, kind: Kind, object: Readonly<KubernetesObject>): boolean {
  const selectors: Requirement[] = [
    ...(spec.scopes ?? []).map((scopeName) => ({ scopeName, operator: "Exists" }) as Requirement),
    ...(spec.scopeSelector?.matchExpressions ?? []),
  ];
  if (selectors.length === 0) return true;
  const isPod = kind.group === "" && kind.resource === "pods";
  const isClaim = kind.group === "" && kind.resource === "persistentvolumeclaims";
  return selectors.every((selector) => {
    if (selector.scopeName === "VolumeAttributesClass")
      return (
        isClaim &&
        matchesValue(
          selector,
          (object as Readonly<corev1.PersistentVolumeClaim>).spec?.volumeAttributesClassName,
        )
      );
    return isPod && matchesScope(selector, object as Pod);
  });
}

type Requirement = Readonly<corev1.ScopedResourceSelectorRequirement>;

function matchesScope(selector: Requirement, pod: Pod): boolean {
  const { spec } = pod;
  switch (selector.scopeName as string) {
    case "Terminating":
      return spec.activeDeadlineSeconds !== undefined;
    case "NotTerminating":
      return spec.activeDeadlineSeconds === undefined;
    case "BestEffort":
      return qosClassOf(spec) === "BestEffort";
    case "NotBestEffort":
      return qosClassOf(spec) !== "BestEffort";
    case "PriorityClass":
      return matchesValue(selector, spec.priorityClassName);
    case "CrossNamespacePodAffinity":
      return crossesNamespaces(pod);
    default:
      return false;
  }
}

function matchesValue({ operator, values, scopeName }: Requirement, value: string | undefined): boolean {
  const key = scopeName.toLowerCase();
  const expression = { key, operator, ...(values ? { values } : {}) };
  return selectorMatches({ matchExpressions: [expression] }, value ? { [key]: value } : {});
}

function crossesNamespaces({ spec }: Pod): boolean {
  const { podAffinity, podAntiAffinity } = spec.affinity ?? {};
  const terms = [podAffinity, podAntiAffinity].flatMap((affinity) => [
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((each) => each.podAffinityTerm),
  ]);
  return terms.some((term) => (term?.namespaces?.length ?? 0) > 0 || term?.namespaceSelector !== undefined);
}

const perContainer: ReadonlySet<string> = new Set([
  "cpu",
  "memory",
  "requests.cpu",
  "requests.memory",
  "limits.cpu",
  "limits.memory",
]);

/** Where a quota limits compute resources every container must say how much it wants: `limits.cpu for: c1`. */
export function unspecified(pod: Pod, limited: Iterable<string>): string[] {
  const byResource = new Map<string, Set<string>>();
  const whole = pod.spec.resources;
  for (const container of [...pod.spec.containers, ...(pod.spec.initContainers ?? [])]) {
    for (const name of limited) {
      if (!perContainer.has(name)) continue;
      const [kind, resource] = name.includes(".")
        ? (name.split(".") as [string, string])
        : ["requests", name];
      const which = kind === "limits" ? "limits" : "requests";
      if (container.resources?.[which]?.[resource] !== undefined || whole?.[which]?.[resource] !== undefined)
        continue;
      const known = byResource.get(name) ?? new Set();
      byResource.set(name, known.add(container.name));
    }
  }
  return [...byResource]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, containers]) => `${name} for: ${[...containers].sort().join(",")}`);
}
