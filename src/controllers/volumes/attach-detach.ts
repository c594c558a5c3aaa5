/**
 * Asks CSI drivers, by VolumeAttachments, to attach volumes to the nodes whose pods use them, and to detach them.
 * https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume-attachment-v1/
 */
import { createHash } from "node:crypto";
import {
  type corev1,
  csiDrivers,
  isStatus,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  sameJson,
  type storagev1,
  volumeAttachments,
} from "#api";
import { keyOf } from "#client";
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
import { isFinished } from "../kit/pods.ts";
import { claimsOfPod, indexByClaim, podsOfClaim } from "./claim-users.ts";
import type { Volume } from "./matching.ts";

type Attachment = Readonly<storagev1.VolumeAttachment>;
type Pod = Readonly<corev1.Pod>;
type Node = Readonly<corev1.Node>;

const nodeIndex = "attachmentNode";
const volumeIndex = "volume";
const attachedIndex = "volumesAttached";
/** A node that does not answer holds a volume no longer than this; one that answers holds it as long as it uses it. */
const unmountMs = 6 * 60_000;
const outOfService = "node.kubernetes.io/out-of-service";

interface State {
  volume: Volume;
  attachRequired: boolean;
  users: readonly Pod[];
  attachments: readonly Attachment[];
  nodes: ReadonlyMap<string, Node>;
  /** Since when no pod has wanted it there, by the attachment's uid. */
  unwantedSinceMs: ReadonlyMap<string, number>;
}

interface Plan {
  volume: Volume;
  attach: readonly { node: string; pods: readonly Pod[] }[];
  /** Pods whose node must wait until another lets go. */
  refused: readonly Pod[];
  detach: readonly Attachment[];
  /** What the nodes are to be told they have. */
  tell: readonly { node: Node; attached: boolean; devicePath: string; pods: readonly Pod[] }[];
  /** What drivers could not attach, and for whom. */
  failed: readonly { attachment: Attachment; message: string; pods: readonly Pod[] }[];
  /** Attachments that nobody wants from now on, and that are still in use. */
  unwanted: readonly string[];
  waitMs: number | undefined;
}

/** As kubelets name it: `kubernetes.io/csi/driver^handle`. */
function uniqueName({ spec }: Volume): string {
  return `kubernetes.io/csi/${spec.csi?.driver}^${spec.csi?.volumeHandle}`;
}

function attachmentName({ spec }: Volume, node: string): string {
  const { volumeHandle = "", driver = "" } = spec.csi ?? {};
  return `csi-${createHash("sha256").update(`${volumeHandle}${driver}${node}`).digest("hex")}`;
}

function isExclusive({ spec }: Volume): boolean {
  const modes = spec.accessModes ?? [];
  return modes.length > 0 && modes.every((mode) => mode === "ReadWriteOnce" || mode === "ReadWriteOncePod");
}

/** A node that has gone uses nothing. */
function isInUse(volume: Volume, node: Node | undefined): boolean {
  return node?.status?.volumesInUse?.includes(uniqueName(volume)) ?? false;
}

function decideAttachments(state: Readonly<State>, nowMs: number): Plan | undefined {
  const { volume, attachments } = state;
  const wanted = new Map<string, Pod[]>();
  for (const pod of state.users) {
    const node = pod.spec.nodeName;
    if (node && state.nodes.has(node) && state.attachRequired)
      wanted.set(node, [...(wanted.get(node) ?? []), pod]);
  }
  const present = new Map(attachments.map((each) => [each.spec.nodeName, each]));
  const attach: Plan["attach"][number][] = [];
  const refused: Pod[] = [];
  let holders = attachments.length;
  for (const [node, using] of wanted) {
    if (present.has(node)) continue;
    if (isExclusive(volume) && holders > 0) refused.push(...using);
    else {
      attach.push({ node, pods: using });
      holders++;
    }
  }
  const { detach, waitMs, unwanted } = leaving(state, wanted, nowMs);
  const tell = [...state.nodes.values()].flatMap((node) => {
    const { name } = node.metadata;
    return news(volume, node, present.get(name)).map((each) => ({ ...each, pods: wanted.get(name) ?? [] }));
  });
  const failed = attachments.flatMap((attachment) => {
    const message = attachment.status?.attachError?.message;
    const using = wanted.get(attachment.spec.nodeName) ?? [];
    return message && using.length > 0 ? [{ attachment, message, pods: using }] : [];
  });
  const parts = [attach, refused, detach, tell, failed, unwanted];
  const isNews = parts.some(({ length }) => length > 0) || waitMs !== undefined;
  return isNews ? { volume, attach, refused, detach, tell, failed, unwanted, waitMs } : undefined;
}

function isHealthy(node: Node | undefined): boolean {
  return node?.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
}

function leaving(
  { volume, attachments, nodes: all, unwantedSinceMs }: Readonly<State>,
  wanted: ReadonlyMap<string, unknown>,
  nowMs: number,
) {
  const detach: Attachment[] = [];
  const unwanted: string[] = [];
  let waitMs: number | undefined;
  for (const attachment of attachments) {
    const { deletionTimestamp, uid } = attachment.metadata;
    if (wanted.has(attachment.spec.nodeName) || deletionTimestamp) continue;
    const node = all.get(attachment.spec.nodeName);
    const sinceMs = unwantedSinceMs.get(uid);
    const leftMs = (sinceMs ?? nowMs) + unmountMs - nowMs;
    const isOut = node?.spec?.taints?.some(({ key }) => key === outOfService) ?? false;
    const isLost = !isHealthy(node) && (isOut || leftMs <= 0);
    if (!isInUse(volume, node) || isLost) detach.push(attachment);
    else {
      if (sinceMs === undefined) unwanted.push(uid);
      const againMs = leftMs > 0 ? leftMs : unmountMs;
      waitMs = Math.min(waitMs ?? againMs, againMs);
    }
  }
  return { detach, waitMs, unwanted };
}

/** Kubelets wait for this before they mount. */
function news(volume: Volume, node: Node, attachment: Attachment | undefined) {
  const name = uniqueName(volume);
  const attached = attachment?.status?.attached === true && !attachment.metadata.deletionTimestamp;
  const told = node.status?.volumesAttached?.some((each) => each.name === name) ?? false;
  return attached === told ? [] : [{ node, attached, devicePath: "" }];
}

export const attachDetachController = defineController<State, Plan>({
  name: "attachdetach-controller",
  primary: persistentVolumes,
  secondaries: [
    source(pods, (pod, context) => volumesOfPod(pod, context)),
    source(persistentVolumeClaims, ({ spec }) => (spec.volumeName ? [spec.volumeName] : [])),
    source(volumeAttachments, ({ spec }) => [spec.source?.persistentVolumeName ?? ""].filter(Boolean)),
    source(nodes, ({ metadata }, { informers }) =>
      informers
        .of(volumeAttachments)
        .byIndex(nodeIndex, metadata.name)
        .map(({ spec }) => spec.source?.persistentVolumeName ?? "")
        .filter(Boolean),
    ),
    source(csiDrivers, ({ metadata }, { informers }) =>
      informers
        .of(persistentVolumes)
        .list()
        .filter(({ spec }) => spec.csi?.driver === metadata.name)
        .map(keyOf),
    ),
  ],
  concurrency: 1,
  rules: [
    rule("", ["persistentvolumes", "persistentvolumeclaims", "pods", "nodes"], readVerbs),
    rule("", ["nodes/status"], ["patch", "update"]),
    rule("storage.k8s.io", ["volumeattachments"], [...readVerbs, "create", "delete"]),
    rule("storage.k8s.io", ["csidrivers"], readVerbs),
    ...eventRules,
  ],
  prepare({ informers }) {
    indexByClaim(informers.of(pods));
    informers.of(volumeAttachments).addIndex(nodeIndex, ({ spec }) => [spec.nodeName]);
    informers
      .of(volumeAttachments)
      .addIndex(volumeIndex, ({ spec }) => [spec.source?.persistentVolumeName ?? ""]);
    informers
      .of(nodes)
      .addIndex(attachedIndex, ({ status }) => (status?.volumesAttached ?? []).map(({ name }) => name));
  },
  observe,
  decide: decideAttachments,
  act,
});

function volumesOfPod(pod: Pod, { informers }: ControllerContext): string[] {
  const claims = informers.of(persistentVolumeClaims);
  return claimsOfPod(pod)
    .map((name) => claims.get(pod.metadata.namespace ?? "", name)?.spec.volumeName ?? "")
    .filter(Boolean);
}

const sinceKey = (uid: string) => `unwanted/${uid}`;

function observe({ informers, memory }: ControllerContext, key: string): State | undefined {
  const volume = informers.of(persistentVolumes).byKey(key);
  if (!volume?.spec.csi) return undefined;
  const { claimRef, csi } = volume.spec;
  const claimKey = `${claimRef?.namespace}/${claimRef?.name}`;
  const claim = informers.of(persistentVolumeClaims).byKey(claimKey);
  const isBound = claim?.spec.volumeName === key && claim.metadata.uid === claimRef?.uid;
  const users = isBound ? podsOfClaim(informers.of(pods), claimKey) : [];
  const attachments = informers.of(volumeAttachments).byIndex(volumeIndex, key);
  const names = new Set([
    ...users.map(({ spec }) => spec.nodeName ?? ""),
    ...attachments.map(({ spec }) => spec.nodeName),
  ]);
  for (const { metadata } of informers.of(nodes).byIndex(attachedIndex, uniqueName(volume)))
    names.add(metadata.name);
  const known = [...names]
    .map((name) => informers.of(nodes).byKey(name))
    .filter((node) => node !== undefined);
  return {
    volume,
    attachRequired: informers.of(csiDrivers).byKey(csi.driver)?.spec.attachRequired !== false,
    users: users.filter((pod) => !isFinished(pod)),
    attachments,
    nodes: new Map(known.map((node) => [node.metadata.name, node])),
    unwantedSinceMs: new Map(
      attachments.flatMap(({ metadata: { uid } }) => {
        const since = memory.get(sinceKey(uid));
        return since === undefined ? [] : [[uid, Number(since)] as const];
      }),
    ),
  };
}

async function act(plan: Plan, context: ControllerContext): Promise<Outcome> {
  const { client, memory, world } = context;
  const { volume } = plan;
  for (const { node } of plan.attach) await attachTo(volume, node, context);
  tellPods(plan, context);
  for (const { metadata } of plan.detach) {
    try {
      await client.delete(volumeAttachments, metadata, { preconditions: { uid: metadata.uid } });
    } catch (error) {
      if (!isStatus(error, "NotFound")) throw error;
    }
    memory.delete(sinceKey(metadata.uid));
  }
  for (const uid of plan.unwanted) memory.set(sinceKey(uid), world.clock.now());
  for (const each of plan.tell) await tellNode(volume, each, context);
  return afterIf(plan.waitMs);
}

async function attachTo(volume: Volume, node: string, { client }: ControllerContext): Promise<void> {
  const metadata = { name: attachmentName(volume, node) };
  const spec = {
    attacher: volume.spec.csi?.driver ?? "",
    nodeName: node,
    source: { persistentVolumeName: volume.metadata.name },
  };
  try {
    await client.create(volumeAttachments, { metadata, spec });
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
  }
}

/** Each is told once of what has not changed. */
function tellPods({ volume, refused, tell, failed }: Plan, { events, memory }: ControllerContext): void {
  const name = JSON.stringify(volume.metadata.name);
  const once = (pod: Pod, kind: "Normal" | "Warning", reason: string, message: string) => {
    const { uid } = pod.metadata;
    const key = `${uid}/${volume.metadata.name}`;
    if (memory.get(key) === message) return;
    memory.set(key, message);
    events.record(pod, kind, reason, message);
  };
  const words = `Multi-Attach error for volume ${name} Volume is already exclusively attached to one node and can't be attached to another`;
  for (const pod of refused) once(pod, "Warning", "FailedAttachVolume", words);
  for (const { message, pods: using } of failed)
    for (const pod of using)
      once(
        pod,
        "Warning",
        "FailedAttachVolume",
        `AttachVolume.Attach failed for volume ${name} : ${message}`,
      );
  for (const { attached, pods: using } of tell)
    if (attached)
      for (const pod of using)
        once(pod, "Normal", "SuccessfulAttachVolume", `AttachVolume.Attach succeeded for volume ${name} `);
}

async function tellNode(
  volume: Volume,
  { node, attached, devicePath }: Plan["tell"][number],
  { client }: ControllerContext,
): Promise<void> {
  const name = uniqueName(volume);
  const before = node.status?.volumesAttached ?? [];
  const others = before.filter((each) => each.name !== name);
  const volumesAttached = attached ? [...others, { name, devicePath }] : others;
  if (sameJson(before, volumesAttached)) return;
  const { uid, resourceVersion } = node.metadata;
  const patch = { metadata: { uid, resourceVersion }, status: { volumesAttached } };
  await client.patch(nodes, node.metadata, "merge", patch, { subresource: "status" });
}
