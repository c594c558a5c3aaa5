/**
 * Node lifecycle: a node whose agent no longer renews its lease is Unknown; what is wrong with a node stands on it as
 * taints. https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller
 */
import { type coordinationv1, type corev1, formatTime, isStatus, leases, nodes, pods } from "#api";
import { indexByNode, podsOnNode } from "#client";
import { conditionOf, withCondition } from "../kit/conditions.ts";
import {
  afterIf,
  type ControllerContext,
  defineController,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import { isFinished, isReady } from "../kit/pods.ts";
import { Zones, zoneOf } from "./zones.ts";

type Node = Readonly<corev1.Node>;

const leaseNamespace = "kube-node-lease";
/** So long may a node be silent. */
const graceMs = 40_000;
/** How often a node that is ill is looked at: how the others are decides what becomes of its pods. */
const monitorMs = 5_000;
/** A node that is older was told of by the controller that ran before this one. */
const newMs = 10_000;
/** No node is named so. */
const zonesKey = "zones/";

const unreachable = "node.kubernetes.io/unreachable";
const notReady = "node.kubernetes.io/not-ready";

/** Taints that say what a condition says. */
const taintOfCondition: Readonly<Record<string, string>> = {
  MemoryPressure: "node.kubernetes.io/memory-pressure",
  DiskPressure: "node.kubernetes.io/disk-pressure",
  PIDPressure: "node.kubernetes.io/pid-pressure",
  NetworkUnavailable: "node.kubernetes.io/network-unavailable",
};
const unschedulable = "node.kubernetes.io/unschedulable";
const managedKeys = new Set([unreachable, notReady, unschedulable, ...Object.values(taintOfCondition)]);

/** When this process last saw a sign of life: the node's own clock may be wrong. */
interface Sign {
  version: string;
  atMs: number;
}

export interface NodeState {
  node: Node;
  pods: readonly Readonly<corev1.Pod>[];
  seenMs: number;
  /** It came while this controller ran, and is seen for the first time. */
  isNew: boolean;
  /** When its pods may be driven away at the earliest; undefined: they stay, for no node of the cluster is fine. */
  turnMs: number | undefined;
}

export interface NodePlan {
  conditions: corev1.NodeCondition[] | undefined;
  taints: corev1.Taint[] | undefined;
  /** Pods that must no longer count as ready. */
  unready: readonly Readonly<corev1.Pod>[];
  becameUnready: boolean;
  /** Its pods are driven away now: the next node of its zone has to wait. */
  takesTurn: boolean;
  afterMs: number;
}

export const nodeLifecycleController = defineController<NodeState, NodePlan>({
  name: "node-controller",
  primary: nodes,
  secondaries: [
    source(leases, ({ metadata }) => (metadata.namespace === leaseNamespace ? [metadata.name] : [])),
    source(pods, () => []),
  ],
  concurrency: 4,
  rules: [
    rule("", ["nodes"], [...readVerbs, "patch"]),
    rule("", ["nodes/status", "pods/status"], ["patch"]),
    rule("", ["pods"], readVerbs),
    rule("coordination.k8s.io", ["leases"], readVerbs),
    ...eventRules,
  ],
  prepare({ informers }) {
    indexByNode(informers.of(pods));
  },
  observe,
  decide: decideNode,
  act,
});

function observe(context: ControllerContext, key: string): NodeState | undefined {
  const { informers } = context;
  const node = informers.of(nodes).byKey(key);
  if (!node) {
    context.memory.delete(key);
    return undefined;
  }
  const ageMs = context.world.clock.now() - Date.parse(node.metadata.creationTimestamp ?? "");
  const isNew = !context.memory.has(key) && ageMs < newMs;
  const lease = informers.of(leases).get(leaseNamespace, key);
  const seenMs = lastSign(context, key, node, lease);
  const turnMs = isHealthy(context, node) ? 0 : turnOf(context, node);
  return { node, pods: podsOnNode(informers.of(pods), key), seenMs, isNew, turnMs };
}

function zonesOf({ memory }: ControllerContext): Zones {
  const zones = (memory.get(zonesKey) as Zones | undefined) ?? new Zones();
  memory.set(zonesKey, zones);
  return zones;
}

function turnOf(context: ControllerContext, node: Node): number | undefined {
  const zones = zonesOf(context);
  const nowMs = context.world.clock.now();
  const look = (goodForMs: number) => {
    const all = () => context.informers.of(nodes).list();
    zones.look(all, (each) => isHealthy(context, each), nowMs, goodForMs);
    return zones.allDisrupted ? undefined : zones.nextMs(zoneOf(node));
  };
  const turnMs = look(monitorMs);
  // Others may have fallen ill with it: nobody is taken on old news.
  const isNext = turnMs !== undefined && turnMs <= nowMs && !node.spec?.taints?.some(drives);
  return isNext ? look(0) : turnMs;
}

function lastSign(
  context: ControllerContext,
  key: string,
  node: Node,
  lease: coordinationv1.Lease | undefined,
): number {
  const heartbeat = conditionOf(node.status?.conditions, "Ready");
  const version = `${lease?.spec.renewTime ?? ""}|${heartbeat?.lastHeartbeatTime ?? ""}`;
  const known = context.memory.get(key) as Sign | undefined;
  if (known?.version === version) return known.atMs;
  // The conditions written below change nothing here: they keep the heartbeat's time.
  const sign: Sign = { version, atMs: context.world.clock.now() };
  context.memory.set(key, sign);
  return sign.atMs;
}

/** It says so, and has said something lately. */
function isHealthy(context: ControllerContext, node: Node): boolean {
  const sign = context.memory.get(node.metadata.name) as Sign | undefined;
  const silent = sign !== undefined && context.world.clock.now() - sign.atMs >= graceMs;
  return !silent && conditionOf(node.status?.conditions, "Ready")?.status === "True";
}

export function decideNode(
  { node, pods: here, seenMs, turnMs }: Readonly<NodeState>,
  nowMs: number,
): NodePlan {
  const silent = nowMs - seenMs >= graceMs;
  const conditions = silent ? unknownConditions(node, nowMs) : [...(node.status?.conditions ?? [])];
  const ready = conditionOf(conditions, "Ready")?.status ?? "Unknown";
  const before = conditionOf(node.status?.conditions, "Ready")?.status;
  const isDriven = node.spec?.taints?.some(drives) ?? false;
  // While the cluster is out of reach as a whole, those that were driven away before may stay too.
  const drivesNow = ready !== "True" && turnMs !== undefined && (isDriven || turnMs <= nowMs);
  const taints = taintsFor(node, conditions, ready, drivesNow, nowMs);
  const turnInMs = drivesNow ? monitorMs : Math.max(0, (turnMs ?? Number.POSITIVE_INFINITY) - nowMs);
  const lookMs = ready === "True" ? graceMs : Math.min(monitorMs, turnInMs);
  const changed = conditions.some((each) => conditionOf(node.status?.conditions, each.type) !== each);
  return {
    conditions: changed ? conditions : undefined,
    taints: sameTaints(node.spec?.taints ?? [], taints) ? undefined : taints,
    unready: ready === "True" ? [] : here.filter((pod) => isReady(pod) && !isFinished(pod)),
    becameUnready: before === "True" && ready !== "True",
    takesTurn: drivesNow && !isDriven,
    afterMs: Math.min(lookMs, silent ? graceMs : seenMs + graceMs - nowMs),
  };
}

/** Pods that do not tolerate it must go, because the node is ill. */
function drives({ key, effect }: Readonly<corev1.Taint>): boolean {
  return effect === "NoExecute" && (key === unreachable || key === notReady);
}

/** Nobody knows any more what the agent said last. */
function unknownConditions(node: Node, nowMs: number): corev1.NodeCondition[] {
  let conditions = [...(node.status?.conditions ?? [])];
  for (const type of ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"]) {
    const current = conditionOf(conditions, type);
    if (current?.status === "Unknown") continue;
    const [reason, message] = current
      ? ["NodeStatusUnknown", "Kubelet stopped posting node status."]
      : ["NodeStatusNeverUpdated", "Kubelet never posted node status."];
    const heartbeat = current?.lastHeartbeatTime ?? node.metadata.creationTimestamp;
    conditions = withCondition(conditions, {
      type,
      status: "Unknown",
      reason,
      message,
      ...(heartbeat ? { lastHeartbeatTime: heartbeat } : {}),
      lastTransitionTime: formatTime(nowMs),
    });
  }
  return conditions;
}

function taintsFor(
  node: Node,
  conditions: readonly corev1.NodeCondition[],
  ready: string,
  drivesNow: boolean,
  nowMs: number,
): corev1.Taint[] {
  const current = node.spec?.taints ?? [];
  const wanted: corev1.Taint[] = [];
  const want = (key: string, effect: corev1.Taint["effect"]) => {
    const known = current.find((taint) => taint.key === key && taint.effect === effect);
    const time = effect === "NoExecute" ? { timeAdded: formatTime(nowMs) } : {};
    wanted.push(known ?? { key, effect, ...time });
  };
  if (ready !== "True") {
    const key = ready === "Unknown" ? unreachable : notReady;
    want(key, "NoSchedule");
    if (drivesNow) want(key, "NoExecute");
  }
  for (const [type, key] of Object.entries(taintOfCondition)) {
    if (conditionOf(conditions, type)?.status === "True") want(key, "NoSchedule");
  }
  if (node.spec?.unschedulable) want(unschedulable, "NoSchedule");
  return [...current.filter((taint) => !managedKeys.has(taint.key)), ...wanted];
}

function sameTaints(a: readonly corev1.Taint[], b: readonly corev1.Taint[]): boolean {
  const keys = (list: readonly corev1.Taint[]) =>
    list.map((t) => `${t.key}=${t.value ?? ""}:${t.effect}`).sort();
  return keys(a).join() === keys(b).join();
}

async function act(
  plan: NodePlan,
  context: ControllerContext,
  { node, isNew }: Readonly<NodeState>,
): Promise<Outcome> {
  const { client, events, world } = context;
  if (isNew) {
    const registered = `Registered Node ${node.metadata.name} in Controller`;
    events.record(node, "Normal", "RegisteredNode", `Node ${node.metadata.name} event: ${registered}`);
  }
  if (plan.takesTurn) zonesOf(context).taken(zoneOf(node), world.clock.now());
  const { name, resourceVersion } = node.metadata;
  let version = resourceVersion;
  if (plan.conditions) {
    const patch = { metadata: { resourceVersion: version }, status: { conditions: plan.conditions } };
    const written = await client.patch(nodes, { name }, "merge", patch, { subresource: "status" });
    version = written.metadata.resourceVersion;
  }
  if (plan.taints) {
    await client.patch(nodes, { name }, "merge", {
      metadata: { resourceVersion: version },
      spec: { taints: plan.taints },
    });
    if (plan.takesTurn) evictionsOf(context).inc({ zone: zoneOf(node) });
  }
  if (plan.becameUnready) {
    events.record(node, "Normal", "NodeNotReady", `Node ${name} status is now: NodeNotReady`);
  }
  await Promise.all(plan.unready.map((pod) => markUnready(context, pod, world.clock.now())));
  return afterIf(plan.afterMs);
}

function evictionsOf({ world }: ControllerContext) {
  return world.metrics.counter(
    "node_collector_evictions_total",
    "Number of Node evictions that happened since current instance of NodeController started",
    ["zone"],
  );
}

async function markUnready({ client, events }: ControllerContext, pod: Readonly<corev1.Pod>, nowMs: number) {
  const known = conditionOf(pod.status?.conditions, "Ready");
  if (!known) return;
  const next = { ...known, status: "False", lastTransitionTime: formatTime(nowMs) };
  const conditions = pod.status?.conditions?.map((each) => (each.type === "Ready" ? next : each));
  const { uid, resourceVersion } = pod.metadata;
  try {
    const patch = { metadata: { uid, resourceVersion }, status: { conditions } };
    await client.patch(pods, pod.metadata, "merge", patch, { subresource: "status" });
    events.record(pod, "Warning", "NodeNotReady", "Node is not ready");
  } catch (error) {
    if (!isStatus(error, "NotFound")) throw error;
  }
}
