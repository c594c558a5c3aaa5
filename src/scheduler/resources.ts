/** What a pod asks for and what a node has, as numbers: milli-CPUs, bytes, counts. */
import { type corev1, quantityMilliValue, quantityValue } from "#api";

type Quantities = Readonly<{ [name: string]: string | number }>;

export interface Resources {
  milliCpu: number;
  memory: number;
  ephemeralStorage: number;
  pods: number;
  /** Extended resources and huge pages, by name. */
  others: Map<string, number>;
}

/** What a container that asks for nothing is thought to use when nodes are compared. */
const assumedMilliCpu = 100;
const assumedMemory = 200 * 1024 * 1024;

export function noResources(): Resources {
  return { milliCpu: 0, memory: 0, ephemeralStorage: 0, pods: 0, others: new Map() };
}

export function resourcesOf(quantities: Quantities | undefined): Resources {
  const found = noResources();
  for (const [name, quantity] of Object.entries(quantities ?? {})) {
    if (name === "cpu") found.milliCpu = quantityMilliValue(quantity);
    else if (name === "memory") found.memory = quantityValue(quantity);
    else if (name === "ephemeral-storage") found.ephemeralStorage = quantityValue(quantity);
    else if (name === "pods") found.pods = quantityValue(quantity);
    else found.others.set(name, quantityValue(quantity));
  }
  return found;
}

export function amountOf(resources: Readonly<Resources>, name: string): number {
  if (name === "cpu") return resources.milliCpu;
  if (name === "memory") return resources.memory;
  return name === "ephemeral-storage" ? resources.ephemeralStorage : (resources.others.get(name) ?? 0);
}

/** Adds in place; `sign` -1 takes away. */
export function addResources(to: Resources, other: Readonly<Resources>, sign: 1 | -1 = 1): void {
  to.milliCpu += sign * other.milliCpu;
  to.memory += sign * other.memory;
  to.ephemeralStorage += sign * other.ephemeralStorage;
  to.pods += sign * other.pods;
  for (const [name, value] of other.others) to.others.set(name, (to.others.get(name) ?? 0) + sign * value);
}

function atLeast(to: Resources, other: Readonly<Resources>): void {
  to.milliCpu = Math.max(to.milliCpu, other.milliCpu);
  to.memory = Math.max(to.memory, other.memory);
  to.ephemeralStorage = Math.max(to.ephemeralStorage, other.ephemeralStorage);
  for (const [name, value] of other.others) to.others.set(name, Math.max(to.others.get(name) ?? 0, value));
}

function requestOf(container: Readonly<corev1.Container>, assume: boolean): Resources {
  const request = resourcesOf(container.resources?.requests);
  if (assume && container.resources?.requests?.cpu === undefined) request.milliCpu = assumedMilliCpu;
  if (assume && container.resources?.requests?.memory === undefined) request.memory = assumedMemory;
  return request;
}

/**
 * The containers run together, the init containers one after the other before them; an init container that restarts
 * always stays beside all that come after it. `assume`: as compared, not as reserved.
 * https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
 */
export function podRequest(pod: Readonly<corev1.Pod>, assume = false): Resources {
  const total = noResources();
  for (const container of pod.spec.containers) addResources(total, requestOf(container, assume));
  const sidecars = noResources();
  const start = noResources();
  for (const container of pod.spec.initContainers ?? []) {
    const request = requestOf(container, assume);
    if (container.restartPolicy === "Always") {
      addResources(sidecars, request);
      atLeast(start, sidecars);
    } else {
      addResources(request, sidecars);
      atLeast(start, request);
    }
  }
  addResources(total, sidecars);
  atLeast(total, start);
  const whole = pod.spec.resources?.requests;
  if (whole?.cpu !== undefined) total.milliCpu = quantityMilliValue(whole.cpu);
  if (whole?.memory !== undefined) total.memory = quantityValue(whole.memory);
  if (pod.spec.overhead) addResources(total, resourcesOf(pod.spec.overhead));
  total.pods = 1;
  return total;
}
