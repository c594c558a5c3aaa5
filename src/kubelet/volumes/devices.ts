/**
 * File systems on block devices: made where there is nothing, and never where there is something.
 * https://kubernetes.io/docs/concepts/storage/volumes/#local
 */
import { findProgram, run, runOk } from "#base";
import { VolumeError } from "#contracts";

const nothingFound = 2;
const formatTimeoutMs = 10 * 60_000;

/** What a device bears, as far as it can be known by its first bytes; "" for nothing. */
async function contentOf(device: string): Promise<string> {
  const args = ["-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export", device];
  const { code, stdout, stderr } = await run("blkid", args);
  if (code === nothingFound) return "";
  if (code !== 0) throw new VolumeError(`blkid ${device}: ${stderr.trim()}`);
  return /^TYPE=(.+)$/m.exec(stdout)?.[1] ?? (/^PTTYPE=/m.test(stdout) ? "a partition table" : "");
}

/** Leaves a device that bears `fsType` already as it is. */
export async function formatDevice(device: string, fsType: string): Promise<void> {
  const present = await contentOf(device);
  if (present === fsType) return;
  if (present !== "")
    throw new VolumeError(`failed to mount ${device} as ${fsType}: it already contains ${present}`);
  const program = `mkfs.${fsType}`;
  if (!/^[a-z0-9]+$/.test(fsType) || !findProgram(program))
    throw new VolumeError(`the node has no ${program} to format ${device} with`);
  // As upstream: no reserved blocks.
  const options = fsType.startsWith("ext") ? ["-F", "-m0"] : [];
  await runOk(program, [...options, device], { timeoutMs: formatTimeoutMs });
}
