/** `subPath`: a part of a volume, made if missing, that may not lead out of it, whatever links the volume holds. */
import { chmod, lstat, mkdir, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { codeOf } from "#base";
import { VolumeError } from "#contracts";

/** The real path of `subPath` inside the volume. */
export async function resolveSubPath(volumePath: string, subPath: string): Promise<string> {
  const parts = subPath.split("/").filter((p) => p !== "" && p !== ".");
  if (subPath.startsWith("/") || parts.includes(".."))
    throw new VolumeError(`invalid subPath ${JSON.stringify(subPath)}`);
  const root = await realpath(volumePath);
  const { mode } = await stat(root);
  let path = root;
  for (const part of parts) {
    const next = join(path, part);
    const exists = await lstat(next).catch((error: unknown) => {
      if (codeOf(error) === "ENOENT") return undefined;
      throw new VolumeError(`subPath ${JSON.stringify(subPath)}: ${codeOf(error)}`);
    });
    if (!exists) {
      await mkdir(next, { mode: 0o755 });
      // Whoever may write into the volume may write into its part, whatever the agent's umask.
      await chmod(next, mode & 0o2777);
    }
    path = await realpath(next).catch(() => {
      throw new VolumeError(`subPath ${JSON.stringify(subPath)} is a link to nothing`);
    });
    if (path !== root && !path.startsWith(root + sep)) {
      throw new VolumeError(`subPath ${JSON.stringify(subPath)} leads out of its volume`);
    }
  }
  return path;
}
