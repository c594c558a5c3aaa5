/** Every kind of volume this node can mount. A new one is one file and one line here. */
import type { MountableVolume, VolumePlugin } from "#contracts";
import { configMapVolume } from "./config-map.ts";
import { downwardApiVolume } from "./downward-api.ts";
import { emptyDirVolume } from "./empty-dir.ts";
import { hostPathVolume } from "./host-path.ts";
import { iscsiVolume } from "./iscsi/iscsi.ts";
import { localVolume } from "./local.ts";
import { nfsVolume } from "./network.ts";
import { projectedVolume } from "./projected.ts";
import { secretVolume } from "./secret.ts";

export const volumePlugins: readonly VolumePlugin[] = [
  configMapVolume,
  downwardApiVolume,
  emptyDirVolume,
  hostPathVolume,
  iscsiVolume,
  localVolume,
  nfsVolume,
  projectedVolume,
  secretVolume,
];

/** The plugin of a volume; a volume that names no source is an empty folder. */
export function pluginFor(
  plugins: readonly VolumePlugin[],
  volume: Readonly<MountableVolume>,
): VolumePlugin | undefined {
  const keys = Object.keys(volume).filter(
    (k) => k !== "name" && volume[k as keyof MountableVolume] !== undefined,
  );
  if (keys.length === 0) return plugins.find((p) => p.name === "emptyDir");
  return plugins.find((p) => keys.includes(p.name));
}

/** Why a volume without a plugin cannot be mounted, so that its owner knows what to do. */
export function refusalOf(volume: Readonly<MountableVolume>): string {
  const kind = Object.keys(volume).find((k) => k !== "name" && k !== "persistent") ?? "unknown";
  const driver = csiDrivers[kind];
  const use = driver ? `use the CSI driver ${driver} instead` : "use a CSI driver instead";
  return `no volume plugin matched: this node cannot mount volumes of the kind ${kind}; ${use}`;
}

/** Who serves what Kubernetes itself has let go, or never did without a machine's own tools. */
const csiDrivers: Readonly<Record<string, string>> = {
  awsElasticBlockStore: "ebs.csi.aws.com",
  azureDisk: "disk.csi.azure.com",
  azureFile: "file.csi.azure.com",
  cinder: "cinder.csi.openstack.org",
  gcePersistentDisk: "pd.csi.storage.gke.io",
  portworxVolume: "pxd.portworx.com",
  vsphereVolume: "csi.vsphere.vmware.com",
  cephfs: "cephfs.csi.ceph.com",
  rbd: "rbd.csi.ceph.com",
};
