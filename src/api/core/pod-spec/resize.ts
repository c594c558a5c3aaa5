/**
 * The `resize` subresource: CPU and memory of a pod that runs.
 * https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/
 */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid } from "../../meta/field-error.ts";
import { qosClassOf } from "./qos.ts";
import { sameJson } from "./template.ts";
import { mirrorAnnotation, validatePodAlways } from "./validate-pod.ts";

type Pod = Readonly<corev1.Pod>;
type Container = corev1.Container;
const lists = ["containers", "initContainers"] as const;

/** Everything but resources and what follows from their change stays. In place. */
export function keepAllButResources(pod: corev1.Pod, old: Pod): void {
  const { resourceVersion } = pod.metadata;
  const wanted = pod.spec;
  const spec: corev1.PodSpec = structuredClone(old.spec);
  for (const list of lists) {
    const before = new Map((spec[list] ?? []).map((container) => [container.name, container]));
    const now = (wanted?.[list] ?? []).map((container) => resized(before.get(container.name), container));
    if (now.length > 0 || spec[list]) spec[list] = now;
  }
  if (wanted?.resources) spec.resources = wanted.resources;
  pod.spec = spec;
  pod.metadata = { ...old.metadata, resourceVersion };
  if (old.status) pod.status = old.status;
}

/** A container that was not there stays as it is: validation refuses it. */
function resized(before: Container | undefined, container: Container): Container {
  if (!before) return container;
  const { resources, resizePolicy, ...rest } = before;
  return {
    ...rest,
    ...(container.resources ? { resources: container.resources } : {}),
    ...(container.resizePolicy ? { resizePolicy: container.resizePolicy } : {}),
  };
}

export function validateResize(pod: Pod, old: Pod): FieldError[] {
  if (old.metadata.annotations?.[mirrorAnnotation] !== undefined)
    return [forbiddenField("", "static pods cannot be resized")];
  if (old.spec.os?.name === "windows") return [forbiddenField("", "windows pods cannot be resized")];
  const errors = validatePodAlways(pod);
  if (qosClassOf(pod.spec) !== (old.status?.qosClass ?? qosClassOf(old.spec))) {
    const detail = "Pod QOS Class may not change as a result of resizing";
    errors.push(invalid("spec", pod.status?.qosClass ?? "", detail));
  }
  const order = lists.flatMap((list) => orderErrors(pod.spec[list] ?? [], old.spec[list] ?? [], list));
  if (order.length > 0) return [...errors, ...order];
  for (const list of lists) {
    for (const [i, before] of (old.spec[list] ?? []).entries()) {
      if (list === "initContainers" && before.restartPolicy !== "Always") continue;
      errors.push(...removals(pod.spec[list]![i]!, before, `spec.${list}[${i}].resources`));
    }
  }
  errors.push(...removals(pod.spec, old.spec, "spec.resources"));
  if (!sameJson(withOldAmounts(pod.spec, old.spec), old.spec))
    errors.push(forbiddenField("spec", "only cpu and memory resources are mutable"));
  return errors;
}

function orderErrors(now: readonly Container[], before: readonly Container[], list: string): FieldError[] {
  if (now.length !== before.length)
    return [forbiddenField(`spec.${list}`, `${list} may not be added or removed on resize`)];
  return now.flatMap(({ name }, i) =>
    name === before[i]!.name
      ? []
      : [forbiddenField(`spec.${list}[${i}].name`, `${list} may not be renamed or reordered on resize`)],
  );
}

type Holder = Readonly<Pick<Container, "resources">>;

function removals(now: Holder, before: Holder, at: string): FieldError[] {
  return (["requests", "limits"] as const)
    .filter((kind) => {
      const wanted = now.resources?.[kind] ?? {};
      return Object.keys(before.resources?.[kind] ?? {}).some((name) => wanted[name] === undefined);
    })
    .map((kind) => forbiddenField(`${at}.${kind}`, `resource ${kind} cannot be removed`));
}

/** The new spec with CPU and memory, where they may change, as they were before. */
function withOldAmounts(spec: Readonly<corev1.PodSpec>, old: Readonly<corev1.PodSpec>): corev1.PodSpec {
  const containers = spec.containers.map((c, i) => withAmountsOf(c, old.containers[i]!));
  const result: corev1.PodSpec = { ...spec, containers };
  if (spec.initContainers)
    result.initContainers = spec.initContainers.map((c, i) =>
      c.restartPolicy === "Always" ? withAmountsOf(c, old.initContainers![i]!) : c,
    );
  return spec.resources || old.resources ? withAmountsOf(result, old) : result;
}

function withAmountsOf<T extends { resources?: corev1.ResourceRequirements }>(
  holder: T,
  old: Readonly<T>,
): T {
  const { resources, ...rest } = holder;
  const amounts = (kind: "requests" | "limits") => {
    const { cpu, memory, ...others } = resources?.[kind] ?? {};
    const before = old.resources?.[kind];
    const merged = {
      ...others,
      ...(before?.cpu === undefined ? {} : { cpu: before.cpu }),
      ...(before?.memory === undefined ? {} : { memory: before.memory }),
    };
    return Object.keys(merged).length > 0 ? { [kind]: merged } : {};
  };
  if (!resources && !old.resources) return holder;
  const { requests, limits, ...others } = resources ?? {};
  const same = { ...others, ...amounts("requests"), ...amounts("limits") };
  return { ...rest, resources: same } as T;
}
