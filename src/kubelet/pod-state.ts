/** What the container runtime holds of one pod, as it was seen at one moment. */
import type { Container, ContainerRuntime, ContainerStatus, PodSandbox, PodSandboxStatus } from "#contracts";
import { isRuntimeNotFound } from "#contracts";
import {
  containerHashAnnotation,
  containerNameLabel,
  podUidLabel,
  restartCountAnnotation,
} from "./labels.ts";

export interface ObservedContainer extends ContainerStatus {
  name: string;
  podSandboxId: string;
  restartCount: number;
  hash: string;
}

export interface ObservedPod {
  uid: string;
  /** The newest first. */
  sandboxes: readonly PodSandboxStatus[];
  /** The newest first. */
  containers: readonly ObservedContainer[];
}

/** The newest container of this name. */
export function latestContainer(state: ObservedPod, name: string): ObservedContainer | undefined {
  return state.containers.find((c) => c.name === name);
}

export function isRunning(container: ObservedContainer): boolean {
  return container.state === "CONTAINER_RUNNING";
}

export function readySandbox(state: ObservedPod): PodSandboxStatus | undefined {
  return state.sandboxes.find((s) => s.state === "SANDBOX_READY");
}

/** Addresses of the newest sandbox; empty for a pod in the host's network. */
export function podIpsOf(state: ObservedPod): string[] {
  const network = readySandbox(state)?.network;
  return network?.ip ? [network.ip, ...network.additionalIps.map((a) => a.ip)] : [];
}

/** Created and exited containers never change again, running ones only by ending: each state is asked for once. */
export interface StateReader {
  read(uid: string): Promise<ObservedPod>;
  /** For others than its worker, which still has to hear of what they find. */
  look(uid: string): Promise<ObservedPod>;
  /** A pod of which there was nothing before this sandbox was made. */
  readNew(uid: string, sandboxId: string): Promise<ObservedPod>;
  /** Whether the pod was found like this when it was last read. */
  isRead(summary: RuntimePodSummary): boolean;
  /** Every pod the runtime knows, by uid. */
  readAll(): Promise<Map<string, ObservedPod>>;
  /** Every pod the runtime knows, in a form that is cheap to compare. */
  relist(): Promise<Map<string, RuntimePodSummary>>;
}

export interface RuntimePodSummary {
  uid: string;
  name: string;
  namespace: string;
  /** Changes whenever a sandbox or container appears, disappears or changes its state. */
  fingerprint: string;
}

/** What a container ends with that is killed. */
const killedCode = 137;

/** Why it ended, where the runtime has not heard of it. */
function explained(
  status: ContainerStatus | undefined,
  ranOut: (id: string) => boolean,
): ContainerStatus | undefined {
  return status?.exitCode === killedCode && ranOut(status.id) ? { ...status, reason: "OOMKilled" } : status;
}

/** `ranOut`: whether the kernel has killed a container for want of memory. */
export function stateReader(runtime: ContainerRuntime, ranOut: (id: string) => boolean): StateReader {
  const containers = new Map<string, ContainerStatus>();
  const sandboxes = new Map<string, PodSandboxStatus>();
  /** As pods were last read. */
  const fingerprints = new Map<string, string>();

  async function containerOf(item: Container): Promise<ObservedContainer | undefined> {
    let status = containers.get(item.id);
    if (status?.state !== item.state) {
      status = explained(await orGone(runtime.containerStatus(item.id)), ranOut);
      if (!status) return undefined;
      containers.set(item.id, status);
    }
    return {
      ...status,
      name: item.labels[containerNameLabel] ?? item.metadata.name,
      podSandboxId: item.podSandboxId,
      restartCount: Number(status.annotations[restartCountAnnotation] ?? item.metadata.attempt) || 0,
      hash: status.annotations[containerHashAnnotation] ?? "",
    };
  }

  async function sandboxOf(item: PodSandbox): Promise<PodSandboxStatus | undefined> {
    const known = sandboxes.get(item.id);
    if (known?.state === item.state) return known;
    const status = await orGone(runtime.podSandboxStatus(item.id));
    if (status) sandboxes.set(item.id, status);
    return status;
  }

  async function observed(
    uid: string,
    boxes: readonly PodSandbox[],
    items: readonly Container[],
  ): Promise<ObservedPod> {
    const [sandboxStatuses, statuses] = await Promise.all([
      Promise.all(boxes.map(sandboxOf)),
      Promise.all(items.map(containerOf)),
    ]);
    return {
      uid,
      sandboxes: sandboxStatuses.filter((s) => s !== undefined).sort((a, b) => b.createdAt - a.createdAt),
      containers: statuses.filter((c) => c !== undefined).sort((a, b) => b.createdAt - a.createdAt),
    };
  }

  const listed = (labels?: Record<string, string>) =>
    Promise.all([runtime.listPodSandboxes(labels), runtime.listContainers(labels)]);

  return {
    async read(uid) {
      const [boxes, items] = await listed({ [podUidLabel]: uid });
      fingerprints.set(uid, fingerprintOf([...boxes, ...items]));
      return observed(uid, boxes, items);
    },
    look: async (uid) => observed(uid, ...(await listed({ [podUidLabel]: uid }))),
    async readNew(uid, sandboxId) {
      const status = await runtime.podSandboxStatus(sandboxId);
      sandboxes.set(sandboxId, status);
      fingerprints.set(uid, fingerprintOf([status]));
      return { uid, sandboxes: [status], containers: [] };
    },
    isRead: ({ uid, fingerprint }) => fingerprints.get(uid) === fingerprint,
    async readAll() {
      const [boxes, items] = await listed();
      const uidOf = ({ labels }: PodSandbox | Container) => labels[podUidLabel] ?? "";
      const [byPod, containersByPod] = [Map.groupBy(boxes, uidOf), Map.groupBy(items, uidOf)];
      const uids = [...new Set([...byPod.keys(), ...containersByPod.keys()])].filter(Boolean);
      const all = await Promise.all(
        uids.map((uid) => observed(uid, byPod.get(uid) ?? [], containersByPod.get(uid) ?? [])),
      );
      return new Map(all.map((pod) => [pod.uid, pod]));
    },
    async relist() {
      const [boxes, items] = await listed();
      const found = summarize(boxes, items);
      keepOnly(containers, new Set(items.map(({ id }) => id)));
      keepOnly(sandboxes, new Set(boxes.map(({ id }) => id)));
      keepOnly(fingerprints, found);
      return found;
    },
  };
}

function keepOnly(known: Map<string, unknown>, present: { has(key: string): boolean }): void {
  for (const key of known.keys()) if (!present.has(key)) known.delete(key);
}

/** Undefined for what disappeared between the list and the question. */
async function orGone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isRuntimeNotFound(error)) return undefined;
    throw error;
  }
}

function fingerprintOf(parts: readonly { id: string; state: string }[]): string {
  return parts
    .map(({ id, state }) => `${id}=${state}`)
    .sort()
    .join(" ");
}

function summarize(
  boxes: readonly PodSandbox[],
  items: readonly Container[],
): Map<string, RuntimePodSummary> {
  const pods = new Map<string, { name: string; namespace: string; parts: { id: string; state: string }[] }>();
  const uids = new Map<string, string>();
  for (const box of boxes) {
    const uid = box.labels[podUidLabel];
    if (!uid) continue;
    uids.set(box.id, uid);
    const pod = pods.get(uid) ?? { name: box.metadata.name, namespace: box.metadata.namespace, parts: [] };
    pod.parts.push(box);
    pods.set(uid, pod);
  }
  for (const item of items) {
    const uid = item.labels[podUidLabel] ?? uids.get(item.podSandboxId);
    if (!uid) continue;
    const pod = pods.get(uid) ?? { name: "", namespace: "", parts: [] };
    pod.parts.push(item);
    pods.set(uid, pod);
  }
  const result = new Map<string, RuntimePodSummary>();
  for (const [uid, { name, namespace, parts }] of pods) {
    result.set(uid, { uid, name, namespace, fingerprint: fingerprintOf(parts) });
  }
  return result;
}
