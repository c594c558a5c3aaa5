/**
 * What lies beside a mounted CSI volume, in upstream's own file and fields: enough to unmount it after a restart, by this
 * kubelet or another. https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/csi/csi_util.go
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, writeDurably } from "#base";

export interface VolumeData {
  driverName: string;
  volumeHandle: string;
  specVolID?: string;
  nodeName?: string;
  attachmentID?: string;
  volumeLifecycleMode?: "Persistent" | "Ephemeral";
  /** Where a block volume was published. */
  devicePath?: string;
}

export const dataFile = "vol_data.json";

/** Undefined where there is none, or none that can be read: then nothing was ever asked of a driver. */
export async function readVolumeData(dir: string): Promise<VolumeData | undefined> {
  const text = await readFile(join(dir, dataFile), "utf8").catch((error: unknown) => {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    const data = JSON.parse(text) as VolumeData;
    return data.driverName && data.volumeHandle ? data : undefined;
  } catch {
    return undefined;
  }
}

/** All of it or nothing. */
export async function writeVolumeData(dir: string, data: VolumeData): Promise<void> {
  await writeDurably(join(dir, dataFile), JSON.stringify(data));
}

/** The CSI volumes of all pods. */
export async function volumesOfPods(podsDir: string): Promise<(VolumeData & { dir: string })[]> {
  const found: (VolumeData & { dir: string })[] = [];
  for (const uid of await readdir(podsDir).catch(() => [])) {
    const kind = join(podsDir, uid, "volumes", "kubernetes.io~csi");
    for (const name of await readdir(kind).catch(() => [])) {
      const dir = join(kind, name);
      const data = await readVolumeData(dir);
      if (data) found.push({ ...data, dir });
    }
  }
  return found;
}

/** Volumes that were staged on this node, by the folder that holds their data. */
export async function stagedVolumes(csiDir: string): Promise<(VolumeData & { dir: string })[]> {
  const found: (VolumeData & { dir: string })[] = [];
  for (const driver of await readdir(csiDir).catch(() => [])) {
    for (const volume of await readdir(join(csiDir, driver)).catch(() => [])) {
      const dir = join(csiDir, driver, volume);
      const data = await readVolumeData(dir);
      if (data) found.push({ ...data, dir });
    }
  }
  return found;
}
