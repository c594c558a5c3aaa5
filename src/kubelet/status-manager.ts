/**
 * Writes pod statuses to the API, only when they changed, one write at a time for a pod, the newest last. What could
 * not be written is tried again.
 */
import { type corev1, isStatus, pods, StatusError } from "#api";
import { messageOf, type World } from "#base";
import type { Client } from "#client";
import { disruptedByKubelet, isFinal, isOwnCondition } from "./pod-status.ts";

export interface StatusManager {
  /** Remembers what the pod's status is now and writes it when that is news. */
  set(pod: Readonly<corev1.Pod>, status: corev1.PodStatus): void;
  /** `uid`: of the pod that `pod` is a mirror of. Writes the status again where the API's copy has come to say something else. */
  reconcile(pod: Readonly<corev1.Pod>, uid?: string): void;
  /** The newest status, written or not. */
  get(uid: string): corev1.PodStatus | undefined;
  /** Resolves when the newest status is written, the pod is gone, or the manager stops. */
  written(uid: string): Promise<void>;
  forget(uid: string): void;
  stop(): Promise<void>;
}

interface Entry {
  pod: Readonly<corev1.Pod>;
  status: corev1.PodStatus;
  version: number;
  writtenVersion: number;
  /** What the API is known to hold, and as of which revision. */
  base: Readonly<corev1.PodStatus>;
  revision: number;
  running: Promise<void> | undefined;
}

const retryMs = 1000;

/**
 * The strategic merge patch from `base` to `next`: fields that vanished are null, of the conditions only the kubelet's
 * own are sent, and addresses replace the old ones. Undefined when nothing changed.
 */
export function statusPatch(
  base: Readonly<corev1.PodStatus>,
  next: Readonly<corev1.PodStatus>,
): Record<string, unknown> | undefined {
  const patch: Record<string, unknown> = {};
  const before = base as Record<string, unknown>;
  const after = next as Record<string, unknown>;
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (key === "conditions" || canonical(before[key]) === canonical(after[key])) continue;
    if (foreignFields.has(key) && after[key] === undefined) continue;
    const replaces =
      (key === "podIPs" || key === "hostIPs") && Array.isArray(after[key]) && before[key] !== undefined;
    patch[key] =
      after[key] === undefined
        ? null
        : replaces
          ? [{ $patch: "replace" }, ...(after[key] as unknown[])]
          : after[key];
  }
  const own = (status: Readonly<corev1.PodStatus>) => (status.conditions ?? []).filter(isOwnCondition);
  const old = new Map(own(base).map((c) => [c.type, c]));
  const changed = own(next).filter((c) => canonical(old.get(c.type)) !== canonical(c));
  const kept = new Set(own(next).map(({ type }) => type));
  // That the pod was ended by the kubelet stays true, also to a kubelet that does not remember.
  const gone = [...old.keys()].filter((type) => !kept.has(type) && type !== disruptedByKubelet.type);
  // Conditions are merged by type, field by field: what the old one said and the new one does not has to be ended.
  if (changed.length + gone.length > 0)
    patch.conditions = [
      ...gone.map((type) => ({ $patch: "delete", type })),
      ...changed.map((c) => ({ ...vanishedFields(old.get(c.type), c), ...c })),
    ];
  return Object.keys(patch).length > 0 ? patch : undefined;
}

function vanishedFields(old: Readonly<corev1.PodCondition> | undefined, next: Readonly<corev1.PodCondition>) {
  const after = next as unknown as Record<string, unknown>;
  const gone = Object.keys(old ?? {}).filter((key) => after[key] === undefined);
  return Object.fromEntries(gone.map((key) => [key, null]));
}

/** Written by others: the scheduler, the controllers of claims. */
const foreignFields = new Set([
  "nominatedNodeName",
  "resourceClaimStatuses",
  "extendedResourceClaimStatus",
  "resize",
]);

/** JSON with sorted keys: the API may answer fields in another order, and leaves out what is empty. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  const entries = Object.entries(value).filter(([, v]) => v !== undefined && v !== null);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`).join(",")}}`;
}

/** What stands for a pod in the API: itself, or its mirror; undefined while there is none. */
type TargetOf = (pod: Readonly<corev1.Pod>) => Readonly<corev1.Pod> | undefined;

async function write(client: Client, entry: Entry, targetOf: TargetOf, signal: AbortSignal): Promise<void> {
  const { pod, status, version } = entry;
  const patch = statusPatch(entry.base, status);
  const target = targetOf(pod);
  if (patch && target) {
    const { namespace, name, uid } = target.metadata;
    const answer = await client.patch(
      pods,
      { namespace, name },
      "strategic",
      { metadata: { uid }, status: patch },
      { subresource: "status", signal },
    );
    entry.base = answer.status ?? {};
    entry.revision = Number(answer.metadata.resourceVersion);
  }
  entry.writtenVersion = version;
}

export function createStatusManager(
  client: Client,
  world: World,
  targetOf: TargetOf = (pod) => pod,
): StatusManager {
  const entries = new Map<string, Entry>();
  const ending = new AbortController();

  async function drain(entry: Entry): Promise<void> {
    const isKnown = () => entries.get(entry.pod.metadata.uid) === entry;
    while (entry.writtenVersion < entry.version && isKnown() && !ending.signal.aborted) {
      try {
        await write(client, entry, targetOf, ending.signal);
      } catch (error) {
        if (ending.signal.aborted) return;
        // The pod is gone: nobody waits for this status any more. Were it another of this name, the worker would know.
        if (isStatus(error, "NotFound")) {
          entry.writtenVersion = entry.version;
          return;
        }
        const invalid = error instanceof StatusError && error.code === 422;
        world.log[invalid ? "error" : "warn"](
          { pod: entry.pod.metadata.name, error: messageOf(error) },
          "a pod status could not be written",
        );
        await world.clock.sleep(invalid ? 10 * retryMs : retryMs, ending.signal);
      }
    }
  }

  function kick(entry: Entry): void {
    entry.running ??= drain(entry).finally(() => {
      entry.running = undefined;
      // Something may have been set after the last look.
      const isKnown = entries.get(entry.pod.metadata.uid) === entry;
      if (entry.writtenVersion < entry.version && isKnown && !ending.signal.aborted) kick(entry);
    });
  }

  return {
    set(pod, status) {
      const { uid } = pod.metadata;
      const entry = entries.get(uid) ?? {
        pod,
        status,
        version: 0,
        writtenVersion: 0,
        base: pod.status ?? {},
        revision: Number(pod.metadata.resourceVersion),
        running: undefined,
      };
      if (entries.has(uid) && canonical(entry.status) === canonical(status)) return;
      entry.pod = pod;
      entry.status = status;
      entry.version++;
      entries.set(uid, entry);
      kick(entry);
    },
    reconcile(pod, uid = pod.metadata.uid) {
      const entry = entries.get(uid);
      if (!entry || entry.running || !(Number(pod.metadata.resourceVersion) > entry.revision)) return;
      entry.base = pod.status ?? {};
      entry.revision = Number(pod.metadata.resourceVersion);
      // Who says that a pod has ended is believed: the next look ends it.
      if (isFinal(pod.status?.phase) && !isFinal(entry.status.phase)) return;
      if (!statusPatch(entry.base, entry.status)) return;
      entry.version++;
      kick(entry);
    },
    get: (uid) => entries.get(uid)?.status,
    async written(uid) {
      const entry = entries.get(uid);
      while (entry && entry.writtenVersion < entry.version && !ending.signal.aborted) {
        kick(entry);
        await entry.running;
      }
    },
    forget: (uid) => void entries.delete(uid),
    async stop() {
      ending.abort();
      await Promise.all([...entries.values()].map((e) => e.running));
    },
  };
}
