/**
 * The Node object of this machine: registered once, its status written when it changes and every five minutes, its
 * Lease every ten seconds.
 * https://kubernetes.io/docs/reference/node/node-status/
 */
import { type corev1, declaredFeatures, formatMicroTime, formatTime, isStatus, leases, nodes } from "#api";
import { messageOf, type World } from "#base";
import type { Client, EventKind, EventRecorder } from "#client";
import type { ContainerRuntime, Image, RuntimeStatus } from "#contracts";
import type { KubeletConfig } from "./config/settings.ts";
import type { DeviceManager } from "./devices/manager.ts";
import type { PressureKind } from "./eviction/signals.ts";
import { allocatableOf, capacityOf, type Machine } from "./node-info.ts";
import type { OomVictim } from "./oom-log.ts";
import type { RuntimeHandlers } from "./runtime-handlers.ts";
import { canonical } from "./status-manager.ts";

export interface NodeOptions {
  client: Client;
  world: World;
  runtime: ContainerRuntime;
  recorder: EventRecorder;
  nodeName: string;
  nodeAddresses: readonly string[];
  hostname: string;
  labels: Readonly<Record<string, string>>;
  podCidrs: readonly string[];
  machine: Machine;
  config: KubeletConfig;
  devices: Pick<DeviceManager, "allocatable" | "capacity">;
  handlers: Pick<RuntimeHandlers, "status" | "seen">;
  /** The node as the API tells it; undefined: not known yet. */
  node(): Readonly<corev1.Node> | undefined;
  /** What the node is short of. */
  pressures(): ReadonlySet<PressureKind>;
  isShuttingDown(): boolean;
  /** Processes of the machine's own that were killed for want of memory since this was asked last. */
  systemVictims(): readonly OomVictim[];
  port: number;
  /** Milliseconds since the runtime last listed its pods. */
  sinceRelistMs(): number;
  /** Attachable volumes that must not be detached yet. */
  volumesInUse(): string[];
}

export interface NodeReporter {
  /** Resolves when the node has been registered and its first status written. */
  readonly registered: Promise<void>;
  /** Looks at once instead of at the next period. */
  refresh(): void;
  stop(): Promise<void>;
}

/** Until the node is Ready its status is looked at often. */
const startingPeriodMs = 250;
/** As upstream: a quarter of what the lease is good for. */
const leaseShare = 0.25;
const relistLateMs = 3 * 60_000;

type Condition = corev1.NodeCondition;

export interface Health {
  pressures: ReadonlySet<PressureKind>;
  runtimeMessage: string | undefined;
}

/** The four conditions; times of transition stay where the status stays. */
export function nodeConditions(
  health: Health,
  old: readonly Readonly<Condition>[],
  nowMs: number,
): Condition[] {
  const { pressures, runtimeMessage } = health;
  const now = formatTime(nowMs);
  const make = (type: string, status: boolean, reason: string, message: string): Condition => {
    const text = status ? "True" : "False";
    const before = old.find((c) => c.type === type);
    const since = before?.status === text ? before.lastTransitionTime : undefined;
    return { lastHeartbeatTime: now, lastTransitionTime: since ?? now, message, reason, status: text, type };
  };
  return [
    pressures.has("memory")
      ? make(
          "MemoryPressure",
          true,
          "KubeletHasInsufficientMemory",
          "kubelet has insufficient memory available",
        )
      : make(
          "MemoryPressure",
          false,
          "KubeletHasSufficientMemory",
          "kubelet has sufficient memory available",
        ),
    pressures.has("disk")
      ? make("DiskPressure", true, "KubeletHasDiskPressure", "kubelet has disk pressure")
      : make("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    pressures.has("pid")
      ? make("PIDPressure", true, "KubeletHasInsufficientPID", "kubelet has insufficient PID available")
      : make("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    runtimeMessage === undefined
      ? make("Ready", true, "KubeletReady", "kubelet is posting ready status")
      : make("Ready", false, "KubeletNotReady", runtimeMessage),
  ];
}

/** What `kubectl describe node` tells of conditions that are news. */
export function conditionEvents(
  before: readonly Readonly<corev1.NodeCondition>[],
  now: readonly Readonly<corev1.NodeCondition>[],
): string[] {
  return now
    .filter(({ type, status }) => before.find((each) => each.type === type)?.status !== status)
    .map(({ reason = "" }) => reason.replace(/^Kubelet/, "Node"));
}

export interface NodeNews {
  kind: EventKind;
  reason: string;
  message: string;
}

/** What others have done to the node since: whether it takes pods, and that its machine was started again. */
export function nodeNews(
  { metadata: { name }, spec, status }: Readonly<corev1.Node>,
  wasUnschedulable: boolean,
  bootId: string,
): NodeNews[] {
  const news: NodeNews[] = [];
  const isUnschedulable = spec?.unschedulable ?? false;
  if (isUnschedulable !== wasUnschedulable) {
    const reason = isUnschedulable ? "NodeNotSchedulable" : "NodeSchedulable";
    news.push({ kind: "Normal", reason, message: `Node ${name} status is now: ${reason}` });
  }
  const before = status?.nodeInfo?.bootID;
  if (before && before !== bootId) {
    const message = `Node ${name} has been rebooted, boot id: ${bootId}`;
    news.push({ kind: "Warning", reason: "Rebooted", message });
  }
  return news;
}

function oomNews({ process, pid }: OomVictim): NodeNews {
  const message = `System OOM encountered, victim process: ${process}, pid: ${pid}`;
  return { kind: "Warning", reason: "SystemOOM", message };
}

/** The largest first, five names each; what the scheduler's image locality reads. -1: all of them. */
export function nodeImages(images: readonly Image[], imagesMax: number): corev1.ContainerImage[] {
  return [...images]
    .sort((a, b) => b.size - a.size)
    .slice(0, imagesMax < 0 ? images.length : imagesMax)
    .map((i) => ({ names: [...i.repoDigests, ...i.repoTags].slice(0, 5), sizeBytes: i.size }))
    .filter((i) => i.names.length > 0);
}

function nodeLabels(options: Pick<NodeOptions, "hostname" | "labels" | "machine">): Record<string, string> {
  const { architecture, operatingSystem } = options.machine.info;
  return {
    "beta.kubernetes.io/arch": architecture,
    "beta.kubernetes.io/os": operatingSystem,
    "kubernetes.io/arch": architecture,
    "kubernetes.io/hostname": options.hostname,
    "kubernetes.io/os": operatingSystem,
    ...options.labels,
  };
}

/** What the runtime says that it can do; one that says nothing is not spoken of. */
function runtimeFacts({
  runtimeHandlers,
  features,
}: RuntimeStatus): Pick<corev1.NodeStatus, "runtimeHandlers" | "features"> {
  const handlers = runtimeHandlers
    .map(({ name, features: can }) => ({ name, ...(can ? { features: { ...can } } : {}) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const supplementalGroupsPolicy = features?.supplementalGroupsPolicy ?? false;
  return {
    ...(handlers.length > 0 ? { runtimeHandlers: handlers } : {}),
    features: { supplementalGroupsPolicy },
  };
}

function steadyStatus(options: NodeOptions): corev1.NodeStatus {
  const volumesInUse = options.volumesInUse();
  return {
    addresses: [
      ...options.nodeAddresses.map((address) => ({ type: "InternalIP", address })),
      { type: "Hostname", address: options.hostname },
    ],
    allocatable: { ...allocatableOf(options.machine, options.config), ...options.devices.allocatable() },
    capacity: { ...capacityOf(options.machine, options.config), ...options.devices.capacity() },
    daemonEndpoints: { kubeletEndpoint: { Port: options.port } },
    nodeInfo: options.machine.info,
    ...runtimeFacts(options.handlers.status),
    declaredFeatures: declaredFeatures({ hasExclusiveCpus: options.config.cpuManagerPolicy === "static" }),
    ...(volumesInUse.length > 0 ? { volumesInUse } : {}),
  };
}

async function healthOf(options: NodeOptions): Promise<Health> {
  const conditions = await options.runtime.status().then(
    (status) => {
      options.handlers.seen(status);
      return status.conditions;
    },
    (error: unknown) => [{ type: "RuntimeReady", status: false, reason: "", message: messageOf(error) }],
  );
  const problems: string[] = [];
  for (const [type, words] of [
    ["RuntimeReady", "container runtime not ready"],
    ["NetworkReady", "container runtime network not ready"],
  ] as const) {
    const found = conditions.find((c) => c.type === type);
    if (found?.status) continue;
    problems.push(`${words}: ${type}=false reason:${found?.reason ?? ""} message:${found?.message ?? ""}`);
  }
  if (options.sinceRelistMs() > relistLateMs)
    problems.push("PLEG is not healthy: the runtime does not list its pods");
  if (options.isShuttingDown()) problems.push("node is shutting down");
  return {
    pressures: options.pressures(),
    runtimeMessage: problems.length > 0 ? problems.join(", ") : undefined,
  };
}

async function register(options: NodeOptions): Promise<corev1.Node> {
  const { client, nodeName } = options;
  const labels = nodeLabels(options);
  const known = await client.get(nodes, { name: nodeName }).catch((error: unknown) => {
    if (isStatus(error, "NotFound")) return undefined;
    throw error;
  });
  if (!known && !options.config.registerNode)
    throw new Error(`the node ${nodeName} is not there, and this kubelet is told not to register it`);
  if (!known) {
    return client.create(nodes, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: nodeName, labels },
      spec: {
        ...(options.config.providerId ? { providerID: options.config.providerId } : {}),
        ...(options.podCidrs.length > 0
          ? { podCIDR: options.podCidrs[0]!, podCIDRs: [...options.podCidrs] }
          : {}),
        ...(options.config.registerTaints.length > 0
          ? { taints: options.config.registerTaints as corev1.Taint[] }
          : {}),
      },
    });
  }
  const missing = Object.entries(labels).filter(([key, value]) => known.metadata.labels?.[key] !== value);
  const cidrs = !known.spec?.podCIDR && options.podCidrs.length > 0;
  if (missing.length === 0 && !cidrs) return known;
  return client.patch(nodes, { name: nodeName }, "merge", {
    metadata: { labels: Object.fromEntries(missing) },
    ...(cidrs ? { spec: { podCIDR: options.podCidrs[0], podCIDRs: options.podCidrs } } : {}),
  });
}

/** Addresses are merged by their type, of which a node with both families has two: the list goes as a whole. */
function replacing<T>(list: readonly T[]): T[] {
  return [{ $patch: "replace" } as T, ...list];
}

/** What changed of the status but for the heartbeats; undefined when nothing did. */
function changes(before: Readonly<corev1.NodeStatus>, next: corev1.NodeStatus): boolean {
  const quiet = (status: Readonly<corev1.NodeStatus>, keys: readonly string[]) => {
    const picked = Object.fromEntries(Object.entries(status).filter(([k]) => keys.includes(k)));
    const conditions = (status.conditions ?? []).map((c) => ({ ...c, lastHeartbeatTime: "" }));
    return canonical({ ...picked, conditions: conditions.sort((a, b) => (a.type < b.type ? -1 : 1)) });
  };
  const keys = Object.keys(next).filter((k) => k !== "conditions");
  return quiet(before, keys) !== quiet(next, keys);
}

export function startNodeReporter(options: NodeOptions): NodeReporter {
  const { client, world, nodeName, recorder, config } = options;
  const ending = new AbortController();
  const registered = Promise.withResolvers<void>();
  let node: Readonly<corev1.Node> | undefined;
  let ready = false;
  let writtenMs = Number.NEGATIVE_INFINITY;
  let hurry = new AbortController();
  let isUnschedulable = false;
  const say = (kind: EventKind, reason: string, message: string) =>
    recorder.record(nodeReference(nodeName), kind, reason, message);

  async function step(): Promise<void> {
    node ??= await register(options);
    // Others write there too: of a node that was cut off nothing is known, until it says how it is.
    const told = options.node();
    if (told?.metadata.uid === node.metadata.uid) node = told ?? node;
    const nowMs = world.clock.now();
    const [health, images] = await Promise.all([
      healthOf(options),
      options.runtime.listImages().catch(() => []),
    ]);
    const old = node.status?.conditions ?? [];
    const news = nodeNews(node, isUnschedulable, options.machine.info.bootID);
    const isMarked = node.spec?.unschedulable ?? false;
    const status = {
      // What is in use no more is taken away.
      ...(node.status?.volumesInUse ? { volumesInUse: null as never } : {}),
      ...steadyStatus(options),
      images: nodeImages(images, config.nodeStatusMaxImages),
      conditions: nodeConditions(health, old, nowMs),
    };
    ready = health.runtimeMessage === undefined;
    if (
      changes(node.status ?? {}, status) ||
      world.clock.monotonic() - writtenMs > config.nodeStatusReportMs
    ) {
      node = await client.patch(
        nodes,
        { name: nodeName },
        "strategic",
        { status: { ...status, addresses: replacing(status.addresses ?? []) } },
        { subresource: "status" },
      );
      writtenMs = world.clock.monotonic();
      for (const reason of conditionEvents(old, status.conditions))
        say("Normal", reason, `Node ${nodeName} status is now: ${reason}`);
    }
    news.push(...options.systemVictims().map(oomNews));
    for (const { kind, reason, message } of news) say(kind, reason, message);
    isUnschedulable = isMarked;
    registered.resolve();
  }

  async function loop(): Promise<void> {
    while (!ending.signal.aborted) {
      await step().catch((error: unknown) => {
        // Somebody removed the node: it registers again.
        node = undefined;
        world.log.warn({ error: messageOf(error) }, "the node's status could not be written");
      });
      hurry = new AbortController();
      await world.clock.sleep(
        ready ? config.nodeStatusMs : startingPeriodMs,
        AbortSignal.any([hurry.signal, ending.signal]),
      );
    }
    registered.resolve();
  }

  const running = Promise.all([loop(), renewLease(options, () => node?.metadata.uid, ending.signal)]);
  say("Normal", "Starting", "Starting kubelet.");
  if (config.enforceNodeAllocatable.includes("pods"))
    say("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods");
  return {
    registered: registered.promise,
    refresh: () => hurry.abort(),
    async stop() {
      ending.abort();
      await running;
    },
  };
}

/** Events about nodes carry the name as uid, as upstream's. */
export function nodeReference(name: string): corev1.ObjectReference {
  return { apiVersion: "v1", kind: "Node", name, uid: name };
}

/** https://kubernetes.io/docs/concepts/architecture/leases/#node-heart-beats */
async function renewLease(
  options: NodeOptions,
  nodeUid: () => string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { client, world, nodeName } = options;
  const ref = { namespace: "kube-node-lease", name: nodeName };
  while (!signal.aborted) {
    const uid = nodeUid();
    const spec = {
      holderIdentity: nodeName,
      leaseDurationSeconds: options.config.nodeLeaseSeconds,
      renewTime: formatMicroTime(world.clock.now()),
    };
    const ownerReferences = uid ? [{ apiVersion: "v1", kind: "Node", name: nodeName, uid }] : [];
    const renewed = uid
      ? await client
          .patch(leases, ref, "merge", { metadata: { ownerReferences }, spec })
          .catch((error: unknown) => {
            if (!isStatus(error, "NotFound")) throw error;
            const metadata = { ...ref, ownerReferences };
            return client.create(leases, {
              apiVersion: "coordination.k8s.io/v1",
              kind: "Lease",
              metadata,
              spec,
            });
          })
          .then(() => true)
          .catch((error: unknown) => {
            world.log.debug({ error: messageOf(error) }, "the node's lease could not be renewed");
            return false;
          })
      : false;
    await world.clock.sleep(renewed ? options.config.nodeLeaseSeconds * 1000 * leaseShare : 1000, signal);
  }
}
