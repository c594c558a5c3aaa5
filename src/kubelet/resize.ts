/**
 * In-place resize: what a pod may have is decided here, given to its containers while they run, and told in its status.
 * https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/
 */
import { type corev1, podAmounts, qosClassOf, quantityMilliValue, quantityValue, sameJson } from "#api";
import { messageOf } from "#base";
import type { EventKind } from "#client";
import { figuresFor, type PodContext } from "./pod-context.ts";
import { cgroupPathOf, containerResources, type PodCgroup, podCgroup } from "./pod-resources.ts";
import { isRunning, latestContainer, type ObservedContainer, type ObservedPod } from "./pod-state.ts";

type Pod = Readonly<corev1.Pod>;
type Resources = Readonly<corev1.ResourceRequirements>;

/** Of one pod, between two steps. */
export interface ResizeMemory {
  /** What each container was promised, by its name; undefined until the pod is seen for the first time. */
  allocated: Map<string, Resources> | undefined;
  /** What the pod was promised as a whole, where its specification says so. */
  allocatedWhole: Resources | undefined;
  /** What it has of that. */
  actualWhole: Resources | undefined;
  /** What containers had when this kubelet first saw them, by name. */
  found: Map<string, Resources>;
  /** What each container was last given, by its id. */
  given: Map<string, string>;
  /** The same as the specification writes it. */
  actual: Map<string, Resources>;
  /** The figures of the pod's own group. */
  group: PodCgroup | undefined;
  /** Why what is wanted is not given. */
  pending: { reason: "Infeasible" | "Deferred"; message: string } | undefined;
  /** What the status last told of it. */
  told: string;
  /** What went wrong while it was given. */
  error: string | undefined;
  /** How often something else was promised than before. */
  grants: number;
  /** The pod's generation whose resources are being given. */
  started: number | undefined;
  /** What has not been told as events yet. */
  news: ResizeNews[];
}

export interface ResizeNews {
  kind: EventKind;
  reason: "ResizeStarted" | "ResizeCompleted" | "ResizeDeferred" | "ResizeInfeasible" | "ResizeError";
  message: string;
}

/** Where whoever has processors or memory to itself cannot have more or less of it. */
export interface StaticPolicies {
  cpu: boolean;
  memory: boolean;
}

export function newResizeMemory(): ResizeMemory {
  return {
    allocated: undefined,
    allocatedWhole: undefined,
    actualWhole: undefined,
    found: new Map(),
    given: new Map(),
    actual: new Map(),
    group: undefined,
    pending: undefined,
    told: "",
    error: undefined,
    grants: 0,
    started: undefined,
    news: [],
  };
}

const nothing: Resources = {};

function resizable(pod: Pod): readonly Readonly<corev1.Container>[] {
  const sidecars = (pod.spec.initContainers ?? []).filter((each) => each.restartPolicy === "Always");
  return [...pod.spec.containers, ...sidecars];
}

/** The pod as it may be now: with what it asks for where the node has that, with what it was promised before where not. */
export function allocate(
  pod: Pod,
  memory: ResizeMemory,
  others: () => readonly Pod[],
  allocatable: Readonly<Record<string, string>>,
  policies: StaticPolicies = { cpu: false, memory: false },
): Pod {
  if (!memory.allocated) {
    memory.allocated = promisedBefore(pod);
    memory.found = new Map(memory.allocated);
    memory.allocatedWhole = memory.actualWhole = promisedWhole(pod);
  }
  const { allocated } = memory;
  const promised = asAllocated(pod, memory);
  const isWanted = promised === pod;
  const before = memory.pending;
  memory.pending = isWanted
    ? undefined
    : (fixed(pod, allocated, policies) ?? refusal(pod, others(), allocatable));
  if (memory.pending && !sameJson(memory.pending, before)) {
    const { reason, message } = memory.pending;
    const words = resizeMessage(pod, `Pod resize ${reason}`, message);
    memory.news.push({ kind: "Warning", reason: `Resize${reason}`, message: words });
  }
  if (!memory.pending) {
    if (!isWanted) {
      memory.grants++;
      memory.started = pod.metadata.generation ?? 0;
      memory.news.push(startedNews(pod));
    }
    memory.allocated = new Map(resizable(pod).map((each) => [each.name, each.resources ?? nothing]));
    memory.allocatedWhole = pod.spec.resources;
    return pod;
  }
  return promised;
}

/** The pod with what it was promised, whatever it asks for since; itself where that is the same. */
export function asAllocated(pod: Pod, memory: Pick<ResizeMemory, "allocated" | "allocatedWhole">): Pod {
  const allocated = memory.allocated ?? promisedBefore(pod);
  const whole = memory.allocated ? memory.allocatedWhole : promisedWhole(pod);
  const isAlike =
    sameJson(whole ?? nothing, pod.spec.resources ?? nothing) &&
    resizable(pod).every((each) => sameJson(allocated.get(each.name) ?? nothing, each.resources ?? nothing));
  if (isAlike) return pod;
  const withAllocated = (each: corev1.Container) => ({
    ...each,
    resources: { ...(allocated.get(each.name) ?? each.resources) },
  });
  const { containers, initContainers, resources: _, ...rest } = pod.spec;
  const spec = {
    ...rest,
    ...(whole ? { resources: whole } : {}),
    containers: containers.map(withAllocated),
    ...(initContainers ? { initContainers: initContainers.map(withAllocated) } : {}),
  } as corev1.PodSpec;
  return { ...pod, spec };
}

const startedNews = (pod: Pod): ResizeNews => ({
  kind: "Normal",
  reason: "ResizeStarted",
  message: resizeMessage(pod, "Pod resize started"),
});

/** Upstream's sentence, with what each container shall have. Pure. */
export function resizeMessage(pod: Pod, title: string, error?: string): string {
  const of = (containers: readonly corev1.Container[] | undefined) =>
    containers?.map(({ name, resources }) => ({ name, resources: resources ?? {} }));
  const details = {
    initContainers: of(pod.spec.initContainers),
    containers: of(pod.spec.containers),
    generation: pod.metadata.generation ?? 0,
    error,
  };
  return `${title}: ${JSON.stringify(details)}`;
}

/** What a policy has given to a guaranteed pod alone stays as it is. */
function fixed(
  pod: Pod,
  allocated: ReadonlyMap<string, Resources>,
  policies: StaticPolicies,
): ResizeMemory["pending"] {
  if (qosClassOf(pod.spec) !== "Guaranteed") return undefined;
  const changes = (name: string) =>
    resizable(pod).some(
      (each) =>
        each.resources?.requests?.[name] !== (allocated.get(each.name) ?? nothing).requests?.[name] ||
        each.resources?.limits?.[name] !== (allocated.get(each.name) ?? nothing).limits?.[name],
    );
  const words = "Resize is infeasible for Guaranteed Pods alongside";
  if (policies.cpu && changes("cpu"))
    return { reason: "Infeasible", message: `${words} CPU Manager policy "static"` };
  if (policies.memory && changes("memory"))
    return { reason: "Infeasible", message: `${words} Memory Manager policy "Static"` };
  return undefined;
}

/** An earlier kubelet wrote its promises into the status. */
function promisedBefore(pod: Pod): Map<string, Resources> {
  const known = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  return new Map(
    resizable(pod).map((each) => {
      const status = known.find(({ name }) => name === each.name);
      const promised = status?.state?.running && status.resources ? status.resources : each.resources;
      return [each.name, promised ?? nothing];
    }),
  );
}

function promisedWhole({ spec, status }: Pod): Resources | undefined {
  return spec.resources && (status?.resources ?? spec.resources);
}

function refusal(
  pod: Pod,
  others: readonly Pod[],
  allocatable: Readonly<Record<string, string>>,
): ResizeMemory["pending"] {
  const wanted = podAmounts(pod, "requests");
  for (const name of ["cpu", "memory"] as const) {
    const inUnits = name === "cpu" ? quantityMilliValue : quantityValue;
    const capacity = inUnits(allocatable[name]);
    const requested = inUnits(wanted[name]);
    if (allocatable[name] === undefined) continue;
    if (requested > capacity) {
      const message = `Node didn't have enough capacity: ${name}, requested: ${requested}, capacity: ${capacity}`;
      return { reason: "Infeasible", message };
    }
    const used = others.reduce((sum, other) => sum + inUnits(podAmounts(other, "requests")[name]), 0);
    if (requested > capacity - used) {
      const message = `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`;
      return { reason: "Deferred", message };
    }
  }
  return undefined;
}

interface Change {
  container: ObservedContainer;
  name: string;
  figures: ReturnType<typeof containerResources>;
}

/** Running containers whose change needs a restart, by their ids. */
export function restartsForResize(
  context: PodContext,
  pod: Pod,
  state: ObservedPod,
  memory: ResizeMemory,
): Set<string> {
  const ids = changes(context, pod, state, memory).flatMap(({ container, name, figures }) => {
    const spec = resizable(pod).find((each) => each.name === name);
    const before = JSON.parse(memory.given.get(container.id) ?? "{}") as Partial<Change["figures"]>;
    const cpu = before.cpuShares !== figures.cpuShares || before.cpuQuota !== figures.cpuQuota;
    const bytes = before.memoryLimitInBytes !== figures.memoryLimitInBytes;
    // What it has of the whole pod's limits is not its own, nor is its restart.
    const isOwn = (resource: "cpu" | "memory") => {
      const { requests, limits } = spec?.resources ?? {};
      return limits?.[resource] !== undefined || requests?.[resource] !== undefined;
    };
    const restarts = (spec?.resizePolicy ?? []).some(
      ({ resourceName, restartPolicy }) =>
        restartPolicy === "RestartContainer" &&
        ((resourceName === "cpu" && cpu && isOwn("cpu")) ||
          (resourceName === "memory" && bytes && isOwn("memory"))),
    );
    return restarts ? [container.id] : [];
  });
  return new Set(ids);
}

function changes(context: PodContext, pod: Pod, state: ObservedPod, memory: ResizeMemory): Change[] {
  return resizable(pod).flatMap((spec) => {
    const container = latestContainer(state, spec.name);
    if (!container || !isRunning(container)) return [];
    const figures = containerResources(pod, spec, figuresFor(context, pod, spec.name));
    const text = JSON.stringify(figures);
    const before = memory.given.get(container.id);
    const known = before ?? firstGiven(context, pod, spec, memory, container.id);
    memory.given.set(container.id, known);
    // To the kernel it may be the same, however it is written.
    if (known === text) memory.actual.set(container.id, spec.resources ?? nothing);
    return known === text ? [] : [{ container, name: spec.name, figures }];
  });
}

/** What a container that is seen for the first time was made with: by an earlier kubelet, or by this one just now. */
function firstGiven(
  context: PodContext,
  pod: Pod,
  spec: Readonly<corev1.Container>,
  memory: ResizeMemory,
  id: string,
): string {
  const resources = memory.found.get(spec.name) ?? spec.resources;
  memory.found.delete(spec.name);
  memory.actual.set(id, resources ?? nothing);
  const made = { ...spec, ...(resources ? { resources } : {}) } as corev1.Container;
  return JSON.stringify(containerResources(pod, made, figuresFor(context, pod, spec.name)));
}

/**
 * Gives running containers what they may have now. The group of the pod is as large as either state while its containers
 * change, so that none of them ever has more than the pod.
 */
export async function giveResources(
  context: PodContext,
  pod: Pod,
  state: ObservedPod,
  memory: ResizeMemory,
): Promise<void> {
  const wanted = changes(context, pod, state, memory);
  const figures = podCgroup(pod, context.podPidsLimit, figuresFor(context, pod));
  const before = memory.group ?? figures;
  memory.group = before;
  forget(state, memory);
  if (wanted.length === 0 && sameJson(before, figures)) {
    completed(pod, memory);
    return;
  }
  const path = cgroupPathOf(context.cgroupRoot, pod);
  try {
    await refuseBelowUsage(context, path, { before, figures, wanted, given: memory.given });
    await context.cgroups.ensure(path, larger(before, figures));
    // Those that give something back come first.
    const sorted = [...wanted].sort(
      (a, b) => Number(a.figures.cpuQuota ?? 0) - Number(b.figures.cpuQuota ?? 0),
    );
    for (const { container, name, figures: given } of sorted) {
      await context.runtime.updateContainerResources(container.id, given);
      memory.given.set(container.id, JSON.stringify(given));
      memory.actual.set(
        container.id,
        resizable(pod).find((each) => each.name === name)?.resources ?? nothing,
      );
    }
    await context.cgroups.ensure(path, figures);
    memory.group = figures;
    completed(pod, memory);
  } catch (error) {
    const words = messageOf(error);
    if (words !== memory.error) {
      const message = resizeMessage(pod, "Pod resize error", words);
      memory.news.push({ kind: "Warning", reason: "ResizeError", message });
    }
    memory.error = words;
  }
}

interface Decrease {
  before: PodCgroup;
  figures: PodCgroup;
  wanted: readonly Change[];
  given: ReadonlyMap<string, string>;
}

/** 0 is without a limit. */
const isLess = (after: number, before: number) => after > 0 && (before === 0 || after < before);

/**
 * A limit below what is used would have somebody killed. What is used now may be more in a moment: this is no promise.
 * https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/#limitations
 */
async function refuseBelowUsage(
  { cgroups }: PodContext,
  path: string,
  { before, figures, wanted, given }: Decrease,
): Promise<void> {
  const words: string[] = [];
  const look = async (what: string, of: string, after: number, from: number) => {
    if (!isLess(after, from)) return;
    const usedBytes = await cgroups.memoryUsedBytes(of);
    if (usedBytes !== undefined && usedBytes > after)
      words.push(`attempting to set ${what} memory limit (${after}) below current usage (${usedBytes})`);
  };
  await look("pod", path, figures.memoryLimitBytes, before.memoryLimitBytes);
  for (const { container, name, figures: now } of wanted) {
    const had = JSON.parse(given.get(container.id) ?? "{}") as Partial<Change["figures"]>;
    const after = Number(now.memoryLimitInBytes ?? 0);
    await look(
      `container ${JSON.stringify(name)}`,
      `${path}/${container.id}`,
      after,
      Number(had.memoryLimitInBytes ?? 0),
    );
  }
  if (words.length > 0)
    throw new Error(
      `cannot decrease memory limits: ${words.length > 1 ? `[${words.join(", ")}]` : words[0]}`,
    );
}

/** Containers that do not run get what they may have when they start. */
function completed(pod: Pod, memory: ResizeMemory): void {
  memory.error = undefined;
  memory.actualWhole = pod.spec.resources;
  if (memory.started === undefined) return;
  memory.started = undefined;
  const message = resizeMessage(pod, "Pod resize completed");
  memory.news.push({ kind: "Normal", reason: "ResizeCompleted", message });
}

/** Containers that are gone. */
function forget(state: ObservedPod, { given, actual }: ResizeMemory): void {
  const present = new Set(state.containers.map(({ id }) => id));
  for (const id of given.keys()) if (!present.has(id)) given.delete(id);
  for (const id of actual.keys()) if (!present.has(id)) actual.delete(id);
}

/** 0 is without a limit. */
function larger(a: PodCgroup, b: PodCgroup): PodCgroup {
  const limit = (one: number, two: number) => (one === 0 || two === 0 ? 0 : Math.max(one, two));
  return {
    cpuShares: Math.max(a.cpuShares, b.cpuShares),
    cpuQuotaUs: limit(a.cpuQuotaUs, b.cpuQuotaUs),
    cpuPeriodUs: a.cpuPeriodUs,
    memoryLimitBytes: limit(a.memoryLimitBytes, b.memoryLimitBytes),
    pidsLimit: a.pidsLimit,
    ...(a.hugePages ? { hugePages: a.hugePages } : {}),
  };
}

/** Changes with everything that the status tells of it. */
export function tellingOf({ actual, actualWhole, error, pending, started }: ResizeMemory): string {
  return JSON.stringify([[...actual], actualWhole, error, pending, started]);
}

/** What the status says of a resize that is not done. */
export function resizeConditions({ pending, error, started }: ResizeMemory): corev1.PodCondition[] {
  const conditions: corev1.PodCondition[] = [];
  if (pending) conditions.push({ type: "PodResizePending", status: "True", ...pending });
  if (error)
    conditions.push({ type: "PodResizeInProgress", status: "True", reason: "Error", message: error });
  else if (started !== undefined) conditions.push({ type: "PodResizeInProgress", status: "True" });
  return conditions;
}
