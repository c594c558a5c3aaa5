/**
 * `subPath`: a part of a volume, made if missing, that may not lead out of it, whatever links the volume holds and
 * whoever changes them meanwhile. It is found and held open step by step, and what is held is mounted where only the
 * kubelet can write; the runtime is given that place.
 * https://kubernetes.io/docs/concepts/storage/volumes/#using-subpath
 */
import { chmod, type FileHandle, lstat, mkdir, readdir, realpath, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { codeOf } from "#base";
import { VolumeError, type VolumeHost } from "#contracts";
import { heldPath, heldPathForOthers, hold } from "./held.ts";

/** Throws for what upstream's kubelet refuses once variables are put in. */
function partsOf(subPath: string): string[] {
  if (subPath.startsWith("/"))
    throw new VolumeError(`error SubPath \`${subPath}\` must not be an absolute path`);
  const parts = subPath.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes(".."))
    throw new VolumeError(`unable to provision SubPath \`${subPath}\`: must not contain '..'`);
  return parts;
}

/** The parts with the links among those that exist followed. Nothing relies on it: it only says where to look. */
async function withoutLinks(root: string, parts: readonly string[]): Promise<string[]> {
  let path = root;
  for (const [i, part] of parts.entries()) {
    const next = await realpath(join(path, part)).catch(ignoreMissing);
    if (next === undefined) {
      if (await lstat(join(path, part)).catch(ignoreMissing))
        throw new VolumeError("it is a link to nothing");
      return [...below(root, path), ...parts.slice(i)];
    }
    if (next !== root && !next.startsWith(root === sep ? sep : root + sep))
      throw new VolumeError("it leads out of its volume");
    path = next;
  }
  return below(root, path);
}

const below = (root: string, path: string) => relative(root, path).split(sep).filter(Boolean);

function ignoreMissing(error: unknown): undefined {
  if (codeOf(error) === "ENOENT") return undefined;
  throw new VolumeError(`it cannot be followed: ${codeOf(error)}`);
}

/** Whoever may write into the volume may write into its part, whatever the agent's umask. */
async function holdOrMake(path: string, mode: number): Promise<FileHandle> {
  try {
    return await hold(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
  await mkdir(path, { mode: 0o755 });
  const made = await hold(path);
  await chmod(heldPath(made), mode & 0o2777);
  return made;
}

/** Holds `subPath` of the volume open while `work` is done. Throws `VolumeError` for one that is not to be had. */
export async function holdingSubPath<T>(
  volumePath: string,
  subPath: string,
  work: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const asked = partsOf(subPath);
  const root = await realpath(volumePath);
  const parts = await withoutLinks(root, asked);
  let held = await hold(root);
  try {
    const { mode } = await held.stat();
    for (const part of parts) {
      const next = await holdOrMake(`${heldPath(held)}/${part}`, mode).catch((error: unknown) => {
        throw new VolumeError(`it cannot be made or opened: ${codeOf(error)}`);
      });
      await held.close();
      held = next;
      if ((await held.stat()).isSymbolicLink()) throw new VolumeError("it has become a link meanwhile");
    }
    return await work(held);
  } finally {
    await held.close();
  }
}

/** Mounts the part of a volume at `target`; what was mounted there for a container before goes. */
export async function mountSubPath(
  volumePath: string,
  subPath: string,
  target: string,
  host: VolumeHost,
): Promise<string> {
  return holdingSubPath(volumePath, subPath, async (file) => {
    await host.unmount(target);
    await rm(target, { recursive: true, force: true });
    await mkdir(dirname(target), { recursive: true, mode: 0o750 });
    if ((await file.stat()).isDirectory()) await mkdir(target, { mode: 0o750 });
    else await writeFile(target, "", { mode: 0o640 });
    await host.bind(heldPathForOthers(file), target);
    return target;
  });
}

/** Below a pod's `volume-subpaths` lie volume, container and number. True when nothing is left. */
export async function removeSubPaths(root: string, host: VolumeHost): Promise<void> {
  for (const target of await leavesOf(root, 3)) await host.unmount(target);
  await rm(root, { recursive: true, force: true });
}

async function leavesOf(path: string, depth: number): Promise<string[]> {
  if (depth === 0) return [path];
  const names = await readdir(path).catch(ignoreMissing);
  const found = await Promise.all((names ?? []).map((name) => leavesOf(join(path, name), depth - 1)));
  return found.flat();
}
