/** Volumes of a pod. https://kubernetes.io/docs/concepts/storage/volumes/ */
import type { corev1 } from "../../generated/types/index.ts";
import { duplicate, type FieldError, forbiddenField, invalid, required } from "../../meta/field-error.ts";
import { compareQuantities } from "../../meta/quantity.ts";
import { invalidEach, oneOf, requiredTexts } from "../../validation/checks.ts";
import { dnsLabelErrors, dnsSubdomainErrors } from "../../validation/names.ts";
import { validateClaimTemplate } from "../volume-claims.ts";
import {
  csiDriverNameErrors,
  flexErrors,
  iscsiErrors,
  type SourceChecks,
  sharedSourceChecks,
  storageOsErrors,
  validateSource,
} from "../volume-sources.ts";
import { descendingPathErrors } from "./validate-mounts.ts";
import { validateProjections } from "./validate-projections.ts";
import { downwardErrors, keyErrors, modeErrors } from "./volume-files.ts";

const pullPolicies = ["Always", "IfNotPresent", "Never"];

/** What the checks of volumes must know of their pod; a template has no name. */
export interface VolumeOwner {
  name?: string | undefined;
  isPod: boolean;
}

export function validateVolumes(
  volumes: readonly corev1.Volume[],
  path: string,
  owner: VolumeOwner,
): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [i, volume] of volumes.entries()) {
    const at = `${path}[${i}]`;
    const { name = "" } = volume;
    errors.push(...validateSource(volume, sourceChecks, at));
    if (owner.isPod && volume.image && !volume.image.reference)
      errors.push(required(`${at}.image.reference`));
    if (volume.ephemeral && name && owner.name) {
      const claim = `${owner.name}-${name}`;
      for (const e of dnsSubdomainErrors(claim))
        errors.push(invalid(`${at}.name`, name, `PVC name ${JSON.stringify(claim)}: ${e}`));
    }
    if (!name) errors.push(required(`${at}.name`));
    else {
      errors.push(...invalidEach(`${at}.name`, name, dnsLabelErrors(name)));
      if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    }
    names.add(name);
  }
  return errors;
}

const { hostPath, gcePersistentDisk, awsElasticBlockStore, flocker, nfs, quobyte, fc, ...later } =
  sharedSourceChecks;
const { vsphereVolume, photonPersistentDisk, portworxVolume, azureDisk } = later;

type LocalSecret = Readonly<corev1.LocalObjectReference> | undefined;

function secretErrors(secret: LocalSecret, at: string): FieldError[] {
  return secret && !secret.name ? [required(`${at}.secretRef.name`)] : [];
}

const sourceChecks: SourceChecks<corev1.Volume> = {
  emptyDir: (source, at) =>
    source.sizeLimit !== undefined && compareQuantities(source.sizeLimit, 0) < 0
      ? [forbiddenField(`${at}.sizeLimit`, "SizeLimit field must be a valid resource quantity")]
      : [],
  hostPath,
  gitRepo: (source, at) => [
    ...requiredTexts(source, at, ["repository"]),
    ...descendingPathErrors(source.directory ?? "", `${at}.directory`),
  ],
  gcePersistentDisk,
  awsElasticBlockStore,
  secret: (source, at) => [
    ...requiredTexts(source, at, ["secretName"]),
    ...modeErrors(source.defaultMode, `${at}.defaultMode`),
    ...keyErrors(source.items, at),
  ],
  nfs,
  iscsi: (source, at) => iscsiErrors(source, at),
  glusterfs: (source, at) => requiredTexts(source, at, ["endpoints", "path"]),
  flocker,
  persistentVolumeClaim: (source, at) => requiredTexts(source, at, ["claimName"]),
  rbd: (source, at) => [
    ...(source.monitors?.length ? [] : [required(`${at}.monitors`)]),
    ...requiredTexts(source, at, ["image"]),
  ],
  cinder: (source, at) => [...requiredTexts(source, at, ["volumeID"]), ...secretErrors(source.secretRef, at)],
  cephfs: (source, at) => (source.monitors?.length ? [] : [required(`${at}.monitors`)]),
  quobyte,
  downwardAPI: (source, at) => [
    ...modeErrors(source.defaultMode, `${at}.defaultMode`),
    ...(source.items ?? []).flatMap((item) => downwardErrors(item, at)),
  ],
  fc,
  flexVolume: flexErrors,
  configMap: (source, at) => [
    ...requiredTexts(source, at, ["name"]),
    ...modeErrors(source.defaultMode, `${at}.defaultMode`),
    ...keyErrors(source.items, at),
  ],
  azureFile: (source, at) => requiredTexts(source, at, ["secretName", "shareName"]),
  vsphereVolume,
  photonPersistentDisk,
  portworxVolume,
  azureDisk,
  storageos: (source, at) => [...storageOsErrors(source, at), ...secretErrors(source.secretRef, at)],
  projected: (source, at) => [
    ...modeErrors(source.defaultMode, `${at}.defaultMode`),
    ...validateProjections(source.sources ?? [], at),
  ],
  scaleIO: (source, at) => requiredTexts(source, at, ["gateway", "system", "volumeName"]),
  csi: (source, at) => [
    ...csiDriverNameErrors(source.driver ?? "", `${at}.driver`),
    ...csiSecretErrors(source.nodePublishSecretRef, at),
  ],
  ephemeral: (source, at) =>
    source.volumeClaimTemplate
      ? validateClaimTemplate(source.volumeClaimTemplate, `${at}.volumeClaimTemplate`)
      : [required(`${at}.volumeClaimTemplate`)],
  image: (source, at) =>
    source.pullPolicy ? oneOf(source.pullPolicy, `${at}.pullPolicy`, pullPolicies) : [],
};

function csiSecretErrors(secret: LocalSecret, at: string): FieldError[] {
  if (!secret) return [];
  if (!secret.name) return [required(`${at}.nodePublishSecretRef.name`)];
  return invalidEach(`${at}.name`, secret.name, dnsSubdomainErrors(secret.name));
}
