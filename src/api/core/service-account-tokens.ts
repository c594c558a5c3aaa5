/**
 * Tokens of ServiceAccounts that are kept in Secrets: their marks, and who uses such a Secret.
 * https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#legacy-serviceaccount-token-cleaner
 */
import type { corev1 } from "../generated/types/index.ts";

export const serviceAccountTokenType = "kubernetes.io/service-account-token";

/** Each holds a day: `2026-04-22`. */
export const lastUsedLabel = "kubernetes.io/legacy-token-last-used";
export const invalidSinceLabel = "kubernetes.io/legacy-token-invalid-since";

/** Says since when uses are noted: its `since` holds a day. */
export const tokenTracking = {
  namespace: "kube-system",
  name: "kube-apiserver-legacy-service-account-token-tracking",
};

const dayChars = "2026-04-22".length;

export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, dayChars);
}

/** The beginning of the day; undefined for what is none. */
export function dayMs(day: string | undefined): number | undefined {
  if (day === undefined || !/^\d{4}-\d{2}-\d{2}$/.test(day)) return undefined;
  const ms = Date.parse(`${day}T00:00:00Z`);
  return Number.isNaN(ms) || dayOf(ms) !== day ? undefined : ms;
}

/** The Secrets that a pod names, wherever. */
export function* secretNamesOf({ spec }: Readonly<corev1.Pod>): Generator<string | undefined> {
  for (const { name } of spec.imagePullSecrets ?? []) yield name;
  const containers = [
    ...(spec.initContainers ?? []),
    ...spec.containers,
    ...((spec.ephemeralContainers ?? []) as corev1.Container[]),
  ];
  for (const { env = [], envFrom = [] } of containers) {
    for (const { secretRef } of envFrom) yield secretRef?.name;
    for (const { valueFrom } of env) yield valueFrom?.secretKeyRef?.name;
  }
  for (const volume of spec.volumes ?? []) yield* secretNamesOfVolume(volume);
}

function* secretNamesOfVolume(volume: Readonly<corev1.Volume>): Generator<string | undefined> {
  yield volume.secret?.secretName;
  for (const { secret } of volume.projected?.sources ?? []) yield secret?.name;
  yield volume.azureFile?.secretName;
  const { cephfs, cinder, flexVolume, iscsi, rbd, scaleIO, storageos } = volume;
  for (const source of [cephfs, cinder, flexVolume, iscsi, rbd, scaleIO, storageos])
    yield source?.secretRef?.name;
  yield volume.csi?.nodePublishSecretRef?.name;
}
