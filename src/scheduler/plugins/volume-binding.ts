/**
 * VolumeBinding: pods go where their volumes can be reached, and claims that wait for their first consumer learn which
 * node that is. https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode
 */
import { persistentVolumeClaims, persistentVolumes } from "#api";
import {
  type BindHost,
  defineSchedulerPlugin,
  type Rejection,
  type StorageLookups,
  unresolvable,
} from "../define-plugin.ts";
import type { NodeInfo } from "../node-info.ts";
import type { PodInfo } from "../pod-info.ts";
import {
  type Claim,
  claimNames,
  claimsRefusal,
  isReachable,
  type PodClaims,
  podClaims,
  provisioning,
  selectedNode,
  type Volume,
  volumeFor,
} from "../pod-volumes.ts";

interface Prepared extends PodClaims {
  storage: StorageLookups;
}

const nothingToBind = "node(s) didn't find available persistent volumes to bind";
const notReachable = "node(s) didn't match PersistentVolume's node affinity";
const noRoom = "node(s) did not have enough free storage";
const volumesGone = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

const defaultBindTimeoutSeconds = 600;
const lookAgainMs = 200;

type Plan = readonly { claim: Claim; volume: Volume | undefined }[];

/** What each waiting claim gets on the node, a volume that is there, or one to be made; or why that cannot be. */
function planFor({ waiting, storage }: Prepared, node: NodeInfo): Plan | string {
  const taken = new Set<string>();
  const found = waiting.map((claim) => {
    const volume = volumeFor(claim, node, storage, taken);
    if (volume) taken.add(volume.metadata.name);
    return { claim, volume };
  });
  for (const { claim, volume } of found) {
    const made = volume ? "possible" : provisioning(claim, node, storage);
    if (made !== "possible") return made === "no room" ? noRoom : nothingToBind;
  }
  return found;
}

async function giveVolumes(info: PodInfo, node: NodeInfo, host: BindHost): Promise<void> {
  const { client, storage } = host;
  const plan = planFor({ ...podClaims(info.pod, storage), storage }, node);
  if (typeof plan === "string") throw new Error(plan);
  for (const { claim, volume } of plan) {
    const { namespace, name, uid, resourceVersion } = claim.metadata;
    if (volume) {
      const claimRef = {
        kind: "PersistentVolumeClaim",
        apiVersion: "v1",
        namespace,
        name,
        uid,
        resourceVersion,
      };
      const annotations = { "pv.kubernetes.io/bound-by-controller": "yes" };
      const { resourceVersion: expected } = volume.metadata;
      const patch = { metadata: { annotations, resourceVersion: expected }, spec: { claimRef } };
      await client.patch(persistentVolumes, volume.metadata, "merge", patch);
    } else if (claim.metadata.annotations?.[selectedNode] !== node.name) {
      const patch = { metadata: { uid, annotations: { [selectedNode]: node.name } } };
      await client.patch(persistentVolumeClaims, claim.metadata, "merge", patch);
    }
  }
}

async function untilBound(
  info: PodInfo,
  { world, storage, signal }: BindHost,
  bindTimeoutMs: number,
): Promise<void> {
  const { clock } = world;
  const wanted = claimNames(info.pod).length;
  for (const endMs = clock.monotonic() + bindTimeoutMs; clock.monotonic() < endMs; ) {
    if (podClaims(info.pod, storage).bound.length === wanted) return;
    signal.throwIfAborted();
    await clock.sleep(lookAgainMs, signal);
    const claims = podClaims(info.pod, storage);
    if (claims.bound.length + claims.waiting.length < wanted) break;
  }
  throw new Error("the claims have not been bound in time");
}

export interface VolumeBindingArgs {
  /** So long a pod waits for its claims once its node is chosen. */
  bindTimeoutSeconds?: number;
  /** Known, and refused: its feature gate is off. */
  shape?: unknown;
}

export function volumeBinding({ bindTimeoutSeconds = defaultBindTimeoutSeconds }: VolumeBindingArgs = {}) {
  return defineSchedulerPlugin<Prepared>({
    name: "VolumeBinding",
    wakes: [{ on: "NodeAdded" }, { on: "NodeChanged" }, { on: "StorageChanged" }],
    refuse: ({ pod }, _snapshot, { storage }) => claimsRefusal(pod, storage),
    prepare({ pod }, _snapshot, { storage }) {
      return claimNames(pod).length === 0 ? undefined : { ...podClaims(pod, storage), storage };
    },
    filter(_info, node, prepared): Rejection | undefined {
      const plan = planFor(prepared, node);
      const isFar = prepared.bound.some(({ volume }) => !isReachable(volume, node));
      const reasons = [
        ...(isFar ? [notReachable] : []),
        ...(typeof plan === "string" ? [plan] : []),
        ...(prepared.bereft.length > 0 ? [volumesGone] : []),
      ];
      return reasons.length > 0 ? unresolvable(...reasons) : undefined;
    },
    async preBind(info, node, host) {
      if (podClaims(info.pod, host.storage).waiting.length === 0) return;
      await giveVolumes(info, node, host);
      await untilBound(info, host, bindTimeoutSeconds * 1000);
    },
  });
}
