/**
 * What a pod has of its node while it is being resized: it may have more than it asks for now, and never has what its
 * node cannot give.
 * https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/
 */
import { compareQuantities, type corev1, sameJson } from "#api";

type Pod = Readonly<corev1.Pod>;

type Amounts = corev1.ResourceRequirements["requests"];
type Requirements = Readonly<corev1.ResourceRequirements> | undefined;
type Told = Readonly<Pick<corev1.ContainerStatus, "allocatedResources" | "resources">>;

const resizable = ["cpu", "memory"] as const;

/** The pod with the requests that count: the largest of what it asks for, was promised and has. */
export function asHeld(pod: Pod): Pod {
  const { spec, status } = pod;
  if (!status?.containerStatuses?.length || !isResizing(pod)) return pod;
  const isInfeasible = status.conditions?.some(
    ({ type, reason }) => type === "PodResizePending" && reason === "Infeasible",
  );
  const held = <T extends { resources?: corev1.ResourceRequirements }>(
    holder: T,
    told: Told | undefined,
  ): T =>
    told?.resources
      ? { ...holder, resources: heldOf(holder.resources, told, isInfeasible ?? false) }
      : holder;
  const of = ({ name }: Readonly<corev1.Container>) => statusOf(pod, name);
  const containers = spec.containers.map((each) => held(each, of(each)));
  const initContainers = spec.initContainers?.map((each) =>
    each.restartPolicy === "Always" ? held(each, of(each)) : each,
  );
  const changed = { ...held(spec, status), containers, ...(initContainers ? { initContainers } : {}) };
  return { ...pod, spec: changed };
}

/** Whether they take as much of their node. */
export function isHeldAlike(pod: Pod, old: Pod): boolean {
  const [now, before] = [asHeld(pod), asHeld(old)];
  return (now === pod && before === old) || sameJson(now.spec, before.spec);
}

function statusOf({ status }: Pod, name: string): Told | undefined {
  const isNamed = (each: Readonly<corev1.ContainerStatus>) => each.name === name;
  return status?.containerStatuses?.find(isNamed) ?? status?.initContainerStatuses?.find(isNamed);
}

function isResizing(pod: Pod): boolean {
  const { spec, status } = pod;
  const differs = (wanted: Requirements, told: Told | undefined) =>
    told?.resources !== undefined &&
    resizable.some(
      (name) =>
        wanted?.requests?.[name] !== told.resources?.requests?.[name] ||
        wanted?.requests?.[name] !== told.allocatedResources?.[name],
    );
  return (
    (spec.resources !== undefined && differs(spec.resources, status)) ||
    spec.containers.some((each) => differs(each.resources, statusOf(pod, each.name))) ||
    (spec.initContainers ?? []).some(
      (each) => each.restartPolicy === "Always" && differs(each.resources, statusOf(pod, each.name)),
    )
  );
}

function heldOf(wanted: Requirements, told: Told, isInfeasible: boolean): corev1.ResourceRequirements {
  const sources: Amounts[] = [told.resources?.requests, told.allocatedResources];
  if (!isInfeasible) sources.push(wanted?.requests);
  const requests: NonNullable<Amounts> = { ...wanted?.requests };
  for (const name of resizable) {
    const [first, ...others] = sources.flatMap((each) => each?.[name] ?? []);
    if (first === undefined) delete requests[name];
    else requests[name] = others.reduce((a, b) => (compareQuantities(a, b) < 0 ? b : a), first);
  }
  return { ...wanted, requests };
}
