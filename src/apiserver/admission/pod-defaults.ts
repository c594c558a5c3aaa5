/**
 * What every pod gets beside its own defaults: tolerations of short node failures, and its priority.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#defaulttolerationseconds
 * https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
 */
import { type corev1, forbidden, pods, type ResourceDefinition } from "#api";
import type { AdmissionStep, Attributes } from "./admission.ts";

const tolerationSeconds = 300;
const nodeFailures = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

export const defaultTolerationSeconds: AdmissionStep = {
  name: "DefaultTolerationSeconds",
  mutate(attributes) {
    const pod = podOf(attributes);
    if (!pod || attributes.operation !== "CREATE") return;
    const tolerations = pod.spec.tolerations ?? [];
    const missing = nodeFailures.filter((key) => !tolerations.some((t) => tolerates(t, key)));
    if (missing.length === 0) return;
    const added = missing.map(
      (key): corev1.Toleration => ({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds }),
    );
    pod.spec.tolerations = [...tolerations, ...added];
  },
};

function tolerates(toleration: Readonly<corev1.Toleration>, key: string): boolean {
  return (
    (!toleration.key || toleration.key === key) && (!toleration.effect || toleration.effect === "NoExecute")
  );
}

/** The classes that every cluster has. */
const priorityClasses: ReadonlyMap<string, number> = new Map([
  ["system-cluster-critical", 2_000_000_000],
  ["system-node-critical", 2_000_001_000],
]);

export const priority: AdmissionStep = {
  name: "Priority",
  mutate(attributes) {
    const pod = podOf(attributes);
    if (!pod) return;
    const { spec } = pod;
    if (attributes.operation === "UPDATE") {
      const old = (attributes.old as corev1.Pod).spec;
      if (old.priority !== undefined) spec.priority ??= old.priority;
      if (old.preemptionPolicy !== undefined) spec.preemptionPolicy ??= old.preemptionPolicy;
      return;
    }
    const name = spec.priorityClassName;
    const value = name ? priorityClasses.get(name) : 0;
    if (value === undefined)
      throw forbidden(pods, attributes.name, `no PriorityClass with name ${name} was found`);
    if (spec.priority !== undefined && spec.priority !== value) {
      const why = `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`;
      throw forbidden(pods, attributes.name, why);
    }
    spec.priority = value;
    spec.preemptionPolicy ??= "PreemptLowerPriority";
  },
};

function podOf({ definition, subresource, object }: Attributes): corev1.Pod | undefined {
  if (definition !== (pods as ResourceDefinition) || subresource !== "" || !object) return undefined;
  return object as corev1.Pod;
}
