/**
 * A pod's PriorityClass becomes its priority; and what classes may be.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
 */
import {
  type corev1,
  forbidden,
  pods,
  priorityClasses,
  type ResourceDefinition,
  type schedulingv1,
  systemPriorityClasses,
} from "#api";
import { keyOf } from "../cache/keys.ts";
import type { Storage } from "../registry/storage.ts";
import type { AdmissionStep, Attributes } from "./admission.ts";

type PriorityClass = Readonly<schedulingv1.PriorityClass>;

const definition = priorityClasses as ResourceDefinition;

export function priority(storage: Storage): AdmissionStep {
  const classes = classesOf(storage);
  return {
    name: "Priority",
    mutate(attributes) {
      const pod = podOf(attributes);
      if (!pod) return;
      if (attributes.operation === "UPDATE") keepPriority(pod.spec, (attributes.old as corev1.Pod).spec);
      else givePriority(pod.spec, attributes.name, classes);
    },
    validate(attributes) {
      if (attributes.definition !== definition) return;
      refuseSecondDefault(attributes, classes.all());
      const isSystem = systemPriorityClasses.some((each) => each.name === attributes.name);
      if (attributes.operation === "DELETE" && isSystem) {
        const why = "this is a system priority class and cannot be deleted";
        throw forbidden(definition, attributes.name, why);
      }
    },
  };
}

interface Classes {
  all(): readonly PriorityClass[];
  find(name: string): PriorityClass | undefined;
}

/** There are few classes and many pods: they are parsed again only when one has changed. */
function classesOf(storage: Storage): Classes {
  const cache = storage.cache(definition);
  let known: readonly PriorityClass[] | undefined;
  cache.listen(() => {
    known = undefined;
  });
  const all = () => {
    known ??= [...cache.scan("")].map((object) => object.parse() as schedulingv1.PriorityClass);
    return known;
  };
  return {
    all,
    find: (name) =>
      cache.get(keyOf(definition, undefined, name)) && all().find((each) => each.metadata.name === name),
  };
}

function podOf({ definition: of, subresource, object }: Attributes): corev1.Pod | undefined {
  if (of !== (pods as ResourceDefinition) || subresource !== "" || !object) return undefined;
  return object as corev1.Pod;
}

/** Clients that know nothing of it leave it out. */
function keepPriority(spec: corev1.PodSpec, old: Readonly<corev1.PodSpec>): void {
  if (old.priority !== undefined) spec.priority ??= old.priority;
  if (old.preemptionPolicy !== undefined) spec.preemptionPolicy ??= old.preemptionPolicy;
}

function givePriority(spec: corev1.PodSpec, podName: string, classes: Classes): void {
  const name = spec.priorityClassName;
  const chosen = name ? classes.find(name) : globalDefault(classes.all());
  if (name && !chosen) throw forbidden(pods, podName, `no PriorityClass with name ${name} was found`);
  if (chosen) spec.priorityClassName = chosen.metadata.name;
  const value = chosen?.value ?? 0;
  const policy = chosen?.preemptionPolicy ?? "PreemptLowerPriority";
  const computed = (kind: string, given: unknown, from: unknown) =>
    `the ${kind} (${given}) must not be provided in pod spec; priority admission controller computed ${from} from the given PriorityClass name`;
  if (spec.priority !== undefined && spec.priority !== value)
    throw forbidden(pods, podName, computed("integer value of priority", spec.priority, value));
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy) {
    const why = computed("string value of PreemptionPolicy", spec.preemptionPolicy, policy);
    throw forbidden(pods, podName, why);
  }
  spec.priority = value;
  spec.preemptionPolicy = policy as "Never" | "PreemptLowerPriority";
}

/** Should there be several, the lowest: the least harm. */
function globalDefault(all: readonly PriorityClass[]): PriorityClass | undefined {
  const defaults = all.filter((each) => each.globalDefault);
  return defaults.sort((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
}

function refuseSecondDefault({ object, name }: Attributes, all: readonly PriorityClass[]): void {
  if (!(object as PriorityClass | undefined)?.globalDefault) return;
  const other = all.find((each) => each.globalDefault && each.metadata.name !== object?.metadata.name);
  if (!other) return;
  const why = `PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`;
  throw forbidden(definition, name, why);
}
