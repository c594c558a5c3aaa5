/**
 * A pod's RuntimeClass: it must be there, and it adds its overhead and where its pods may run.
 * https://kubernetes.io/docs/concepts/containers/runtime-class/
 */
import {
  type corev1,
  forbidden,
  type nodev1,
  pods,
  type ResourceDefinition,
  runtimeClasses,
  sameJson,
} from "#api";
import type { Storage } from "../registry/storage.ts";
import type { AdmissionStep, Attributes } from "./admission.ts";

type RuntimeClass = Readonly<nodev1.RuntimeClass>;

export function runtimeClass(storage: Storage): AdmissionStep {
  const classOf = (attributes: Attributes, pod: corev1.Pod): RuntimeClass | undefined => {
    const name = pod.spec.runtimeClassName;
    if (!name) return undefined;
    const found = storage.find(runtimeClasses as ResourceDefinition, undefined, name);
    if (!found) throw rejected(attributes, `RuntimeClass ${JSON.stringify(name)} not found`);
    return found.parse() as unknown as RuntimeClass;
  };
  return {
    name: "RuntimeClass",
    mutate(attributes) {
      const pod = createdPod(attributes);
      const found = pod && classOf(attributes, pod);
      if (!found) return;
      addOverhead(attributes, pod.spec, found);
      addScheduling(attributes, pod.spec, found);
    },
    validate(attributes) {
      const pod = createdPod(attributes);
      if (!pod?.spec.overhead) return;
      const fixed = classOf(attributes, pod)?.overhead?.podFixed;
      if (!fixed)
        throw rejected(attributes, "Pod Overhead set without corresponding RuntimeClass defined Overhead");
    },
  };
}

function createdPod({ definition, subresource, operation, object }: Attributes): corev1.Pod | undefined {
  const isPod = definition === (pods as ResourceDefinition) && subresource === "" && operation === "CREATE";
  return isPod && object ? (object as corev1.Pod) : undefined;
}

function rejected({ definition, name }: Attributes, why: string) {
  return forbidden(definition, name, `pod rejected: ${why}`);
}

function addOverhead(attributes: Attributes, spec: corev1.PodSpec, { overhead }: RuntimeClass): void {
  if (!overhead?.podFixed) return;
  if (spec.overhead && !sameJson(spec.overhead, overhead.podFixed))
    throw rejected(attributes, "Pod's Overhead doesn't match RuntimeClass's defined Overhead");
  spec.overhead = { ...overhead.podFixed };
}

function addScheduling(attributes: Attributes, spec: corev1.PodSpec, { scheduling }: RuntimeClass): void {
  for (const [key, value] of Object.entries(scheduling?.nodeSelector ?? {})) {
    const own = spec.nodeSelector?.[key];
    if (own !== undefined && own !== value) {
      const why = `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`;
      throw forbidden(attributes.definition, attributes.name, why);
    }
    spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
  }
  const missing = (scheduling?.tolerations ?? []).filter(
    (each) => !(spec.tolerations ?? []).some((own) => sameJson(own, each)),
  );
  if (missing.length > 0) spec.tolerations = [...(spec.tolerations ?? []), ...missing];
}
