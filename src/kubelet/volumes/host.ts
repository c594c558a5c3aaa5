/** The machine as volume plugins see it: folders, atomic file sets, tmpfs mounts. */
import {
  chmod,
  chown,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { codeOf, findProgram, type Random, run, runOk } from "#base";
import type { HostPathType, VolumeFile, VolumeHost, VolumeUsage } from "#contracts";
import { formatDevice } from "./devices.ts";
import { giveToGroup } from "./ownership.ts";

const dataLink = "..data";

/** `/proc/self/mounts` writes blanks and backslashes in octal. */
const unescaped = (text: string) =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** True of a tmpfs, but not of every mount; the list of all mounts is long on a full node. */
async function isFileSystemOfItsOwn(path: string): Promise<boolean> {
  const [own, above] = await Promise.all([stat(path), stat(dirname(path))]);
  return own.dev !== above.dev;
}

async function mounts(): Promise<{ source: string; point: string }[]> {
  const text = await readFile("/proc/self/mounts", "utf8");
  return text.split("\n").flatMap((line) => {
    const [source, point] = line.split(" ");
    return source && point ? [{ source: unescaped(source), point: unescaped(point) }] : [];
  });
}

const mountPoints = async () => (await mounts()).map(({ point }) => point);

/** Owner and group of a volume that is the pod's group's read all of it; as upstream's, that nobody writes to. */
const modeOf = (file: VolumeFile, group: number | undefined) =>
  (group === undefined ? file.mode : file.mode | 0o440) & 0o777;

/** What is made in the group's folders is the group's. */
const groupFolder = 0o2550;

async function giveFolder(path: string, group: number): Promise<void> {
  await chown(path, -1, group);
  await chmod(path, ((await stat(path)).mode & 0o7777) | groupFolder);
}

/** The folder that readers see, if it is one of those made here: the link may be anybody's who could write to the volume. */
async function currentFolder(dir: string): Promise<string | undefined> {
  const target = await readlink(join(dir, dataLink)).catch(() => undefined);
  return target !== undefined && /^\.\.[a-z0-9]+$/.test(target) ? target : undefined;
}

async function sameFiles(
  dir: string,
  files: readonly VolumeFile[],
  group: number | undefined,
): Promise<boolean> {
  const target = await currentFolder(dir);
  if (target === undefined) return false;
  const current = await listFiles(join(dir, target), "");
  if (current.length !== files.length) return false;
  for (const file of files) {
    const path = join(dir, target, file.path);
    const [content, info] = await Promise.all([
      readFile(path).catch(() => undefined),
      stat(path).catch(() => undefined),
    ]);
    if (!content || !info || !content.equals(file.content) || (info.mode & 0o777) !== modeOf(file, group))
      return false;
  }
  return true;
}

async function listFiles(root: string, prefix: string): Promise<string[]> {
  const entries = await readdir(join(root, prefix), { withFileTypes: true }).catch(() => []);
  const nested = await Promise.all(
    entries.map((e) =>
      e.isDirectory() ? listFiles(root, join(prefix, e.name)) : Promise.resolve([join(prefix, e.name)]),
    ),
  );
  return nested.flat();
}

/** With those above it that are not there. */
async function makeFolder(path: string, group: number | undefined): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o755 });
  if (first === undefined || group === undefined) return;
  for (let each = path; each.length >= first.length; each = dirname(each)) await giveFolder(each, group);
}

/**
 * As upstream's atomic writer: files lie in a fresh folder, `..data` points to it and is swapped by one rename, and
 * each visible name is a link through `..data`.
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go
 */
async function writeAtomically(
  dir: string,
  files: readonly VolumeFile[],
  group: number | undefined,
  random: Random,
): Promise<boolean> {
  if (group !== undefined) await giveFolder(dir, group);
  if (await sameFiles(dir, files, group)) return false;
  const old = await currentFolder(dir);
  const fresh = `..${random.suffix(12)}`;
  await makeFolder(join(dir, fresh), group);
  for (const file of files) {
    const path = join(dir, fresh, file.path);
    await makeFolder(dirname(path), group);
    await writeFile(path, file.content);
    await chmod(path, modeOf(file, group));
    if (group !== undefined || file.owner !== undefined) await chown(path, file.owner ?? 0, group ?? 0);
  }
  await rm(join(dir, "..data_tmp"), { force: true });
  await symlink(fresh, join(dir, "..data_tmp"));
  await rename(join(dir, "..data_tmp"), join(dir, dataLink));
  const names = new Set(files.map((f) => f.path.split("/")[0]!));
  for (const name of names) {
    await symlink(join(dataLink, name), join(dir, name)).catch((error: unknown) => {
      if (codeOf(error) !== "EEXIST") throw error;
    });
  }
  for (const entry of await readdir(dir)) {
    if (!entry.startsWith("..") && !names.has(entry))
      await rm(join(dir, entry), { recursive: true, force: true });
  }
  if (old) await rm(join(dir, old), { recursive: true, force: true });
  return true;
}

async function usageAt(path: string): Promise<VolumeUsage> {
  const whole = await fileSystemAt(path);
  const [usedBytes, inodesUsed] = await Promise.all([diskUsage(path, "-B1"), diskUsage(path, "--inodes")]);
  return { ...whole, usedBytes, inodesUsed };
}

/** By another program: this process does not wait for a file server that has gone. */
async function fileSystemAt(path: string): Promise<VolumeUsage> {
  const answer = await runOk("stat", ["-f", "-c", "%S %b %f %a %c %d", "--", path]);
  const [bsize, blocks, bfree, bavail, files, ffree] = answer.split(" ").map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return {
    usedBytes: (blocks - bfree) * bsize,
    capacityBytes: blocks * bsize,
    availableBytes: bavail * bsize,
    inodes: files,
    inodesFree: ffree,
    inodesUsed: files - ffree,
  };
}

/** What can vanish while it is counted is not an error. */
async function diskUsage(path: string, unit: string): Promise<number> {
  const { stdout } = await run("du", ["-s", "-x", unit, path]);
  return Number(stdout.split(/\s/)[0]) || 0;
}

async function typeAt(path: string): Promise<HostPathType> {
  const info = await stat(path).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw error;
  });
  if (!info) return "absent";
  if (info.isDirectory()) return "directory";
  if (info.isFile()) return "file";
  if (info.isSocket()) return "socket";
  if (info.isCharacterDevice()) return "charDevice";
  return info.isBlockDevice() ? "blockDevice" : "other";
}

/** A server that does not answer holds `mount` up. */
const mountTimeoutMs = 5 * 60_000;

export function machineVolumeHost(random: Random): VolumeHost {
  const isMounted = async (path: string) => (await mountPoints()).includes(path);
  return {
    async ensureDirectory(path, mode) {
      await mkdir(path, { recursive: true });
      // Not subject to the umask.
      await chmod(path, mode);
    },
    writeFiles: (dir, files, group) => writeAtomically(dir, files, group, random),
    async mountTmpfs(path, sizeBytes, mode) {
      if (await isFileSystemOfItsOwn(path)) return;
      const options = [`mode=${mode.toString(8)}`, ...(sizeBytes ? [`size=${sizeBytes}`] : [])];
      await runOk("mount", ["-t", "tmpfs", "-o", options.join(","), "tmpfs", path]);
    },
    isMounted,
    async unmount(path) {
      if (await isMounted(path)) await runOk("umount", [path]).catch(() => runOk("umount", ["-l", path]));
    },
    async removeDirectory(path) {
      // What a container has mounted there is somebody else's.
      const within = (await mountPoints()).filter((point) => point.startsWith(`${path}/`));
      for (const point of within.reverse()) await runOk("umount", ["-l", point]);
      await rm(path, { recursive: true, force: true });
    },
    pathType: typeAt,
    async createFile(path, mode) {
      await mkdir(dirname(path), { recursive: true });
      await (await open(path, "a", mode)).close();
    },
    async removeEmptyDirectory(path) {
      await rmdir(path).catch((error: unknown) => {
        if (codeOf(error) !== "ENOENT") throw error;
      });
    },
    setGroup: giveToGroup,
    async mount(source, path, fsType, options) {
      const flags = options.length > 0 ? ["-o", options.join(",")] : [];
      await runOk("mount", ["-t", fsType, ...flags, "--", source, path], { timeoutMs: mountTimeoutMs });
    },
    // Not made canonical: the name is of something that is held open, and has to stay that.
    bind: async (source, path) => void (await runOk("mount", ["-c", "--bind", source, path])),
    format: formatDevice,
    hasProgram: (name) => findProgram(name) !== undefined,
    run: (program, args) => runOk(program, [...args], { timeoutMs: mountTimeoutMs }),
    mountSources: async () => new Map((await mounts()).map(({ source, point }) => [point, source])),
    usage: usageAt,
    fileSystemUsage: fileSystemAt,
  };
}
