/**
 * Where the bytes of a volume come from, as pods and PersistentVolumes say it: defaults and checks.
 * https://kubernetes.io/docs/concepts/storage/volumes/
 */
import type { corev1 } from "../generated/types/index.ts";
import {
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooLong,
} from "../meta/field-error.ts";
import { invalidEach, requiredTexts, requiredWith } from "../validation/checks.ts";
import { dnsLabelErrors, dnsSubdomainErrors } from "../validation/names.ts";

/** A check for each kind of source of a holder, in the order in which upstream looks at them. */
export type SourceChecks<Holder> = {
  readonly [Kind in keyof Holder]?: (source: NonNullable<Holder[Kind]>, at: string) => FieldError[];
};

/** Sources whose errors stand under another name than the field has. */
const errorNames: Readonly<Record<string, string>> = { gcePersistentDisk: "persistentDisk" };
const secondNames: Readonly<Record<string, string>> = { cephfs: "cephFS", downwardAPI: "downwarAPI" };

/** Exactly one source, and that one in order. */
export function validateSource<Holder>(
  holder: Readonly<Holder>,
  checks: SourceChecks<Holder>,
  at: string,
): FieldError[] {
  const kinds = (Object.keys(checks) as (keyof Holder & string)[]).filter((k) => holder[k] !== undefined);
  const [first, ...others] = kinds;
  if (first === undefined) return [required(at, "must specify a volume type")];
  return [
    ...(checks[first]?.(holder[first]!, `${at}.${errorNames[first] ?? first}`) ?? []),
    ...others.map((kind) =>
      forbiddenField(`${at}.${secondNames[kind] ?? kind}`, "may not specify more than 1 volume type"),
    ),
  ];
}

/** `..` in a path leads out of what was given. */
export function backstepErrors(path: string, field: string): FieldError[] {
  return path.split("/").includes("..") ? [invalid(field, path, "must not contain '..'")] : [];
}

const hostPathTypes = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];
const cachingModes = ["None", "ReadOnly", "ReadWrite"];
const diskKinds = ["Dedicated", "Managed", "Shared"];
const managedDisk =
  "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
const blobDisk = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";

function partitionErrors(partition: number | undefined, at: string): FieldError[] {
  if (partition === undefined || (partition >= 0 && partition <= 255)) return [];
  return [invalid(`${at}.partition`, partition, "must be between 1 and 255, inclusive")];
}

function lunErrors(lun: number, at: string): FieldError[] {
  return lun >= 0 && lun <= 255 ? [] : [invalid(`${at}.lun`, lun, "must be between 0 and 255, inclusive")];
}

/** The sources that pods and PersistentVolumes describe in the same words. */
export const sharedSourceChecks = {
  hostPath(source: corev1.HostPathVolumeSource, at: string): FieldError[] {
    if (!source.path) return [required(`${at}.path`)];
    const errors = backstepErrors(source.path, `${at}.path`);
    if (source.type !== undefined && !hostPathTypes.includes(source.type))
      errors.push(notSupported(`${at}.type`, source.type, hostPathTypes));
    return errors;
  },
  gcePersistentDisk: (source: corev1.GCEPersistentDiskVolumeSource, at: string): FieldError[] => [
    ...requiredTexts(source, at, ["pdName"]),
    ...partitionErrors(source.partition, at),
  ],
  awsElasticBlockStore: (source: corev1.AWSElasticBlockStoreVolumeSource, at: string): FieldError[] => [
    ...requiredTexts(source, at, ["volumeID"]),
    ...partitionErrors(source.partition, at),
  ],
  flocker(source: corev1.FlockerVolumeSource, at: string): FieldError[] {
    const errors: FieldError[] = [];
    const { datasetName = "", datasetUUID = "" } = source;
    if (!datasetName && !datasetUUID)
      errors.push(required(at, "one of datasetName and datasetUUID is required"));
    if (datasetName && datasetUUID) {
      const detail = "datasetName and datasetUUID can not be specified simultaneously";
      errors.push(invalid(at, "resource", detail));
    }
    if (datasetName.includes("/"))
      errors.push(invalid(`${at}.datasetName`, datasetName, "must not contain '/'"));
    return errors;
  },
  nfs: (source: corev1.NFSVolumeSource, at: string): FieldError[] => [
    ...requiredTexts(source, at, ["server", "path"]),
    ...(source.path?.startsWith("/")
      ? []
      : [invalid(`${at}.path`, source.path ?? "", "must be an absolute path")]),
  ],
  quobyte: quobyteErrors,
  fc: fibreChannelErrors,
  vsphereVolume: (source: corev1.VsphereVirtualDiskVolumeSource, at: string): FieldError[] =>
    requiredTexts(source, at, ["volumePath"]),
  photonPersistentDisk: (source: corev1.PhotonPersistentDiskVolumeSource, at: string): FieldError[] =>
    requiredTexts(source, at, ["pdID"]),
  portworxVolume: (source: corev1.PortworxVolumeSource, at: string): FieldError[] =>
    requiredTexts(source, at, ["volumeID"]),
  azureDisk: azureDiskErrors,
};

function quobyteErrors(source: corev1.QuobyteVolumeSource, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const rule = "must be a host:port pair or multiple pairs separated by commas";
  if (!source.registry) errors.push(required(`${at}.registry`, rule));
  else if ((source.tenant ?? "").length >= 65)
    errors.push(required(`${at}.tenant`, "must be a UUID and may not exceed a length of 64 characters"));
  else if (!source.registry.split(",").every((pair) => /^([^:[\]]*|\[[^\]]*\]):[^:]*$/.test(pair)))
    errors.push(invalid(`${at}.registry`, source.registry, rule));
  return [...errors, ...requiredTexts(source, at, ["volume"])];
}

function fibreChannelErrors(source: corev1.FCVolumeSource, at: string): FieldError[] {
  const { targetWWNs = [], wwids = [], lun } = source;
  const field = `${at}.targetWWNs`;
  const errors: FieldError[] = [];
  if (targetWWNs.length === 0 && wwids.length === 0)
    errors.push(required(field, "must specify either targetWWNs or wwids, but not both"));
  if (targetWWNs.length > 0 && wwids.length > 0)
    errors.push(invalid(field, targetWWNs, "targetWWNs and wwids can not be specified simultaneously"));
  if (targetWWNs.length === 0) return errors;
  if (lun === undefined) errors.push(required(`${at}.lun`, "lun is required if targetWWNs is specified"));
  else errors.push(...lunErrors(lun, at));
  return errors;
}

function azureDiskErrors(source: corev1.AzureDiskVolumeSource, at: string): FieldError[] {
  const errors = requiredTexts(source, at, ["diskName", "diskURI"]);
  const { cachingMode, kind, diskURI = "" } = source;
  if (cachingMode !== undefined && !cachingModes.includes(cachingMode))
    errors.push(notSupported(`${at}.cachingMode`, cachingMode, cachingModes));
  if (kind === undefined) return errors;
  if (!diskKinds.includes(kind)) errors.push(notSupported(`${at}.kind`, kind, diskKinds));
  if (kind === "Managed" && !diskURI.startsWith("/subscriptions/"))
    errors.push(notSupported(`${at}.diskURI`, diskURI, [managedDisk]));
  if (kind !== "Managed" && !diskURI.startsWith("https://"))
    errors.push(notSupported(`${at}.diskURI`, diskURI, [blobDisk]));
  return errors;
}

type Iscsi = Omit<corev1.ISCSIVolumeSource, "secretRef"> & { secretRef?: { name?: string } };

const iscsiNames: readonly (readonly [string, RegExp])[] = [
  ["iqn", /^iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)$/],
  ["eui", /^eui.[A-Za-z0-9]{16}$/],
  ["naa", /^naa.[A-Za-z0-9]{32}$/],
];

function iscsiNameErrors(name: string, field: string, otherFormat: string): FieldError[] {
  const format = iscsiNames.find(([prefix]) => name.startsWith(prefix));
  if (!format) return [invalid(field, name, otherFormat)];
  return format[1].test(name) ? [] : [invalid(field, name, "must be valid format")];
}

/** `otherFormat`: what is said of a name that begins as none does. */
export function iscsiErrors(
  source: Iscsi,
  at: string,
  otherFormat = "must be valid format starting with iqn, eui, or naa",
): FieldError[] {
  const errors = requiredTexts(source, at, ["targetPortal"]);
  if (source.iqn) errors.push(...iscsiNameErrors(source.iqn, `${at}.iqn`, otherFormat));
  else errors.push(required(`${at}.iqn`));
  errors.push(...lunErrors(source.lun ?? 0, at));
  if ((source.chapAuthDiscovery || source.chapAuthSession) && !source.secretRef)
    errors.push(required(`${at}.secretRef`));
  if (source.initiatorName !== undefined)
    errors.push(...iscsiNameErrors(source.initiatorName, `${at}.initiatorname`, otherFormat));
  return errors;
}

export function flexErrors(
  source: Pick<corev1.FlexVolumeSource, "driver" | "options">,
  at: string,
): FieldError[] {
  const errors = requiredTexts(source, at, ["driver"]);
  for (const key of Object.keys(source.options ?? {})) {
    const namespace = `.${key.split("/")[0]!.toLowerCase()}`;
    if (namespace.endsWith(".kubernetes.io") || namespace.endsWith(".k8s.io")) {
      const detail = "kubernetes.io and k8s.io namespaces are reserved";
      errors.push(invalid(`${at}.options[${key}]`, key, detail));
    }
  }
  return errors;
}

export function storageOsErrors(
  source: Pick<corev1.StorageOSVolumeSource, "volumeName" | "volumeNamespace">,
  at: string,
): FieldError[] {
  const { volumeNamespace } = source;
  return [
    ...requiredWith(source.volumeName, `${at}.volumeName`, dnsLabelErrors),
    ...(volumeNamespace
      ? invalidEach(`${at}.volumeNamespace`, volumeNamespace, dnsLabelErrors(volumeNamespace))
      : []),
  ];
}

export function csiDriverNameErrors(name: string, field: string): FieldError[] {
  return [
    ...(name ? [] : [required(field)]),
    ...(name.length > 63 ? [tooLong(field, 63)] : []),
    ...invalidEach(field, name, dnsSubdomainErrors(name.toLowerCase())),
  ];
}

interface Sources {
  hostPath?: corev1.HostPathVolumeSource;
  iscsi?: Pick<corev1.ISCSIVolumeSource, "iscsiInterface">;
  rbd?: Pick<corev1.RBDVolumeSource, "pool" | "user" | "keyring">;
  azureDisk?: corev1.AzureDiskVolumeSource;
  scaleIO?: Pick<corev1.ScaleIOVolumeSource, "storageMode" | "fsType">;
}

/** What the documentation promises of sources that say little. */
export function defaultSource(holder: Sources): void {
  if (holder.hostPath) holder.hostPath.type ??= "";
  if (holder.iscsi) holder.iscsi.iscsiInterface ||= "default";
  if (holder.rbd) {
    holder.rbd.pool ||= "rbd";
    holder.rbd.user ||= "admin";
    holder.rbd.keyring ||= "/etc/ceph/keyring";
  }
  if (holder.azureDisk) {
    holder.azureDisk.cachingMode ??= "ReadWrite";
    holder.azureDisk.kind ??= "Shared";
    holder.azureDisk.fsType ??= "ext4";
    holder.azureDisk.readOnly ??= false;
  }
  if (holder.scaleIO) {
    holder.scaleIO.storageMode ||= "ThinProvisioned";
    holder.scaleIO.fsType ||= "xfs";
  }
}
