/**
 * What is said to a CSI driver: pure functions of the volume, its pod and the CSIDriver object.
 * https://github.com/container-storage-interface/spec/blob/master/spec.md#node-service-rpc
 */
import { createHash } from "node:crypto";
import type { corev1, storagev1 } from "#api";
import { type CsiPlan, type MountableVolume, type VolumeContext, VolumeError } from "#contracts";

export type DriverObject = Readonly<storagev1.CSIDriver> | undefined;

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** As the attach/detach controller calls it. */
export function attachmentNameOf({ handle, driver, nodeName }: CsiPlan): string {
  return `csi-${sha256(`${handle}${driver}${nodeName}`)}`;
}

/** As `node.status.volumesInUse` names it. */
export function uniqueNameOf({ driver, handle }: Pick<CsiPlan, "driver" | "handle">): string {
  return `kubernetes.io/csi/${driver}^${handle}`;
}

/** The folder of a volume among all of its driver: handles may be anything. */
export const handleFolder = (handle: string) => sha256(handle);

export function csiPlan(volume: Readonly<MountableVolume>, { pod, nodeName }: VolumeContext): CsiPlan {
  const { persistent } = volume;
  const common = { kind: "csi" as const, pod, nodeName };
  if (persistent) {
    const { csi, accessModes = [], mountOptions = [], volumeMode } = persistent.spec;
    if (!csi) throw new VolumeError(`volume ${persistent.name} is not a CSI volume`);
    return {
      ...common,
      persistent,
      driver: csi.driver,
      handle: csi.volumeHandle,
      attributes: csi.volumeAttributes ?? {},
      isBlock: volumeMode === "Block",
      isReadOnly: (csi.readOnly ?? false) || (persistent.readOnly ?? false),
      fsType: csi.fsType ?? "",
      mountOptions,
      accessModes,
      ...(csi.nodeStageSecretRef ? { stageSecret: csi.nodeStageSecretRef } : {}),
      ...(csi.nodePublishSecretRef ? { publishSecret: csi.nodePublishSecretRef } : {}),
      ...(csi.nodeExpandSecretRef ? { expandSecret: csi.nodeExpandSecretRef } : {}),
    };
  }
  const { driver, fsType = "", readOnly = false, volumeAttributes = {}, nodePublishSecretRef } = volume.csi!;
  const { namespace = "" } = pod.metadata;
  return {
    ...common,
    driver,
    handle: `csi-${sha256(`${pod.metadata.uid}${volume.name}`)}`,
    attributes: volumeAttributes,
    isBlock: false,
    isReadOnly: readOnly,
    fsType,
    mountOptions: [],
    accessModes: ["ReadWriteOnce"],
    ...(nodePublishSecretRef?.name ? { publishSecret: { namespace, name: nodePublishSecretRef.name } } : {}),
  };
}

/** A driver says whether its volumes may be made for one pod alone. */
export function checkLifecycle({ persistent, driver }: CsiPlan, object: DriverObject): void {
  const mode = persistent ? "Persistent" : "Ephemeral";
  const modes = object ? (object.spec.volumeLifecycleModes ?? ["Persistent"]) : ["Persistent"];
  if (modes.includes(mode)) return;
  const why = object
    ? `only supports [${modes.map((each) => JSON.stringify(each)).join(" ")}]`
    : "no CSIDriver object";
  const what = `volume mode ${JSON.stringify(mode)} not supported by driver ${driver} (${why})`;
  throw new VolumeError(`kubernetes.io/csi: mounter.SetUpAt failed to check volume lifecycle mode: ${what}`);
}

export function isAttachable({ persistent }: CsiPlan, object: DriverObject): boolean {
  return persistent !== undefined && object?.spec.attachRequired !== false;
}

function accessModeOf(modes: readonly string[], capabilities: ReadonlySet<string>): string {
  const isFine = capabilities.has("SINGLE_NODE_MULTI_WRITER");
  if (modes.includes("ReadWriteMany")) return "MULTI_NODE_MULTI_WRITER";
  if (modes.includes("ReadOnlyMany")) return "MULTI_NODE_READER_ONLY";
  if (modes.includes("ReadWriteOncePod")) return isFine ? "SINGLE_NODE_SINGLE_WRITER" : "SINGLE_NODE_WRITER";
  return isFine ? "SINGLE_NODE_MULTI_WRITER" : "SINGLE_NODE_WRITER";
}

/** `mountGroup`: given to drivers that set the owner themselves. */
export function capabilityOf(
  plan: CsiPlan,
  capabilities: ReadonlySet<string>,
  mountGroup: number | undefined,
): object {
  const accessMode = { mode: accessModeOf(plan.accessModes, capabilities) };
  if (plan.isBlock) return { accessMode, block: {} };
  const volumeMountGroup = mountGroup === undefined ? "" : String(mountGroup);
  return { accessMode, mount: { fsType: plan.fsType, mountFlags: plan.mountOptions, volumeMountGroup } };
}

/** Whether the files of the volume are to be given to the pod's group. */
export function ownsByGroup(plan: CsiPlan, object: DriverObject): boolean {
  if (plan.isReadOnly || plan.isBlock) return false;
  const policy = object?.spec.fsGroupPolicy ?? "ReadWriteOnceWithFSType";
  if (policy !== "ReadWriteOnceWithFSType") return policy === "File";
  return plan.fsType !== "" && plan.accessModes.some((mode) => mode.startsWith("ReadWriteOnce"));
}

/** A token by the audience that the driver asks for. */
export type AudienceTokens = Readonly<Record<string, { token: string; expirationTimestamp: string }>>;

const tokensKey = "csi.storage.k8s.io/serviceAccount.tokens";

/** What the driver asked to be told of the pod. */
export function publishDetails(
  plan: CsiPlan,
  object: DriverObject,
  tokens: AudienceTokens,
): { volumeContext: Record<string, string>; secrets: Record<string, string> } {
  const volumeContext: Record<string, string> = { ...plan.attributes };
  const secrets: Record<string, string> = {};
  if (object?.spec.podInfoOnMount)
    Object.assign(volumeContext, podInfo(plan.pod, plan.persistent === undefined));
  if (Object.keys(tokens).length > 0) {
    const holder = object?.spec.serviceAccountTokenInSecrets ? secrets : volumeContext;
    holder[tokensKey] = JSON.stringify(tokens);
  }
  return { volumeContext, secrets };
}

function podInfo({ metadata, spec }: Readonly<corev1.Pod>, isEphemeral: boolean): Record<string, string> {
  return {
    "csi.storage.k8s.io/pod.name": metadata.name,
    "csi.storage.k8s.io/pod.namespace": metadata.namespace ?? "",
    "csi.storage.k8s.io/pod.uid": metadata.uid,
    "csi.storage.k8s.io/serviceAccount.name": spec.serviceAccountName ?? "",
    "csi.storage.k8s.io/ephemeral": String(isEphemeral),
  };
}

/** The file system on the node is smaller than what the claim has been given. */
export function expansionOf({ persistent }: CsiPlan): string | undefined {
  if (!persistent) return undefined;
  const { conditions = [], allocatedResourceStatuses = {} } = persistent.claim.status ?? {};
  const isPending =
    conditions.some(({ type, status }) => type === "FileSystemResizePending" && status === "True") ||
    ["NodeResizePending", "NodeResizeInProgress"].includes(allocatedResourceStatuses.storage ?? "");
  const size = persistent.spec.capacity?.storage;
  return isPending && size !== undefined ? String(size) : undefined;
}
