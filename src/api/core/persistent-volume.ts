/** PersistentVolume. https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/persistent-volume-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, keepAllButStatus, nameColumn } from "../meta/define-resource.ts";
import { formatTime } from "../meta/time.ts";
import { nodeTermWarnings } from "./node-labels.ts";
import { validateVolume, validateVolumeUpdate } from "./persistent-volume-validation.ts";
import { volumeSourceWarnings } from "./pod-spec/warnings.ts";
import { accessModesText, classAnnotationWarnings, storageClassOf } from "./volume-claims.ts";
import { defaultSource } from "./volume-sources.ts";

type Volume = Readonly<corev1.PersistentVolume>;

function claimText({ spec }: Volume): string {
  return spec.claimRef ? `${spec.claimRef.namespace ?? ""}/${spec.claimRef.name ?? ""}` : "";
}

/** A phase that changes brings the time with it, unless whoever changes it says another. */
function keepTransitionTime(volume: corev1.PersistentVolume, old: Volume, nowMs: number): void {
  const { status } = volume;
  const before = old.status ?? {};
  const time = before.lastPhaseTransitionTime;
  if (status.phase === before.phase) {
    if (time) status.lastPhaseTransitionTime ??= time;
  } else if (!status.lastPhaseTransitionTime || status.lastPhaseTransitionTime === time) {
    status.lastPhaseTransitionTime = formatTime(nowMs);
  }
}

function volumeWarnings({ metadata, spec }: Volume): string[] {
  const warnings = classAnnotationWarnings(metadata);
  if (spec.persistentVolumeReclaimPolicy === "Recycle") {
    const advice = "Instead, the recommended approach is to use dynamic provisioning.";
    warnings.push(`spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. ${advice}`);
  }
  warnings.push(...volumeSourceWarnings(spec, "spec"));
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms ?? [];
  for (const [i, term] of terms.entries())
    warnings.push(...nodeTermWarnings(term, `spec.nodeAffinity.required.nodeSelectorTerms[${i}]`, false));
  return warnings;
}

export const persistentVolumes = defineResource<corev1.PersistentVolume>({
  group: "",
  version: "v1",
  resource: "persistentvolumes",
  kind: "PersistentVolume",
  typeName: "io.k8s.api.core.v1.PersistentVolume",
  namespaced: false,
  shortNames: ["pv"],
  subresources: { status: { kind: "PersistentVolume", verbs: ["get", "patch", "update"] } },
  defaults(volume) {
    volume.spec ??= {};
    volume.spec.persistentVolumeReclaimPolicy ??= "Retain";
    volume.spec.volumeMode ??= "Filesystem";
    defaultSource(volume.spec);
    volume.status ??= {};
    volume.status.phase ??= "Pending";
  },
  onCreate(volume, { nowMs }) {
    volume.status = { phase: "Pending", lastPhaseTransitionTime: formatTime(nowMs) };
  },
  onStatusUpdate(volume, old, { nowMs }) {
    keepAllButStatus(volume, old);
    keepTransitionTime(volume, old, nowMs);
  },
  validate: validateVolume,
  warnings: volumeWarnings,
  validateUpdate: validateVolumeUpdate,
  columns: [
    nameColumn(),
    column("Capacity", "string", "How much it holds.", (v) => String(v.spec.capacity?.storage ?? 0)),
    column("Access Modes", "string", "All ways the volume can be mounted.", (v) =>
      accessModesText(v.spec.accessModes),
    ),
    column(
      "Reclaim Policy",
      "string",
      "What happens to it when its claim is gone.",
      (v) => v.spec.persistentVolumeReclaimPolicy ?? "",
    ),
    column("Status", "string", "Whether it is available, bound to a claim, or released by it.", (v) =>
      v.metadata.deletionTimestamp ? "Terminating" : (v.status?.phase ?? ""),
    ),
    column("Claim", "string", "The claim it is bound to.", claimText),
    column("StorageClass", "string", "StorageClass of the pv", (v) => storageClassOf(v)),
    column(
      "VolumeAttributesClass",
      "string",
      "VolumeAttributesClass of the pv",
      (v) => v.spec.volumeAttributesClassName ?? "<unset>",
    ),
    column("Reason", "string", "Why it is in its phase.", (v) => v.status?.reason ?? ""),
    ageColumn(),
    column(
      "VolumeMode",
      "string",
      "Whether it is a file system or a raw block device.",
      (v) => v.spec.volumeMode ?? "<unset>",
      1,
    ),
  ],
});
