/**
 * The cgroups of pods: made before their sandbox, removed after it, in every hierarchy of v1 or in the one of v2.
 * https://docs.kernel.org/admin-guide/cgroup-v2.html
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "#base";
import type { PodCgroup } from "./pod-resources.ts";

export interface Cgroups {
  /** Idempotent; brings the figures up to date. */
  ensure(path: string, figures: PodCgroup): Promise<void>;
  /** Idempotent; a group that still holds processes stays. True when it is gone everywhere. */
  remove(path: string): Promise<boolean>;
  /** Undefined where there is no such group. */
  memoryUsedBytes(path: string): Promise<number | undefined>;
  /** Ends every process below, at once: for the end of a cluster. */
  kill(path: string): Promise<void>;
  /** Uids of the pods that have a group under `root`. */
  pods(root: string): Promise<Map<string, string>>;
}

const mountRoot = "/sys/fs/cgroup";

export interface Hierarchies {
  unified: boolean;
  /** Mount points by controller; every hierarchy once. */
  dirs: string[];
  controllerDir(controller: string): string | undefined;
}

/** One hierarchy with all controllers (v2), or one for each (v1, with or without an empty `unified`). */
export function findHierarchies(): Hierarchies {
  if (existsSync(join(mountRoot, "cgroup.controllers"))) {
    return { unified: true, dirs: [mountRoot], controllerDir: () => mountRoot };
  }
  const byController = new Map<string, string>();
  const dirs: string[] = [];
  for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n")) {
    const [, dir, type, options = ""] = line.split(" ");
    if (!dir || (type !== "cgroup" && type !== "cgroup2")) continue;
    dirs.push(dir);
    if (type === "cgroup") for (const controller of options.split(",")) byController.set(controller, dir);
  }
  return { unified: false, dirs, controllerDir: (controller) => byController.get(controller) };
}

/** Whether the kernel limits huge pages here. */
export function limitsHugePages({ unified, controllerDir }: Hierarchies): boolean {
  if (!unified) return controllerDir("hugetlb") !== undefined;
  return readFileSync(join(mountRoot, "cgroup.controllers"), "utf8").split(/\s+/).includes("hugetlb");
}

/** The kernel's own rule for the weight of v2 that stands for the shares of v1. */
export function sharesToWeight(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262_142);
}

/** A file of a group that this kernel or container does not offer is left as it is. */
async function set(file: string, value: string | number): Promise<void> {
  await writeFile(file, String(value)).catch((error: unknown) => {
    const code = codeOf(error);
    if (code !== "ENOENT" && code !== "EACCES" && code !== "EPERM") throw error;
  });
}

async function childrenOf(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  return entries.filter((e) => e.isDirectory()).map((e) => join(dir, e.name));
}

async function removeTree(dir: string): Promise<boolean> {
  for (const child of await childrenOf(dir)) await removeTree(child);
  return rmdir(dir).then(
    () => true,
    (error: unknown) => codeOf(error) === "ENOENT",
  );
}

/** A process may end, and its number be gone, between the list and the signal. */
async function killTree(dir: string): Promise<void> {
  for (const child of await childrenOf(dir)) await killTree(child);
  const pids = await readFile(join(dir, "cgroup.procs"), "utf8").catch(() => "");
  for (const pid of pids.split("\n").filter(Boolean)) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch (error) {
      if (codeOf(error) !== "ESRCH") throw error;
    }
  }
}

async function memoryUsedAt(
  { unified, controllerDir }: Hierarchies,
  path: string,
): Promise<number | undefined> {
  const file = unified ? "memory.current" : "memory.usage_in_bytes";
  const text = await readFile(join(controllerDir("memory") ?? "", path, file), "utf8").catch(() => undefined);
  return text === undefined ? undefined : Number(text);
}

export function createCgroups(): Cgroups {
  const hierarchies = findHierarchies();

  /** On v2 a controller works in a group only when its parent hands it on. */
  async function enableControllers(path: string, more: readonly string[]): Promise<void> {
    const parts = path.split("/").filter(Boolean);
    let dir = mountRoot;
    for (const part of parts) {
      await mkdir(dir, { recursive: true });
      for (const controller of ["cpu", "memory", "pids", ...more])
        await set(join(dir, "cgroup.subtree_control"), `+${controller}`);
      dir = join(dir, part);
    }
    await mkdir(dir, { recursive: true });
  }

  /** The files of one group in one hierarchy, in this order: a quota is checked against its period. */
  async function write(dir: string | undefined, path: string, files: readonly [string, string | number][]) {
    if (!dir) return;
    await mkdir(join(dir, path), { recursive: true });
    for (const [name, value] of files) await set(join(dir, path, name), value);
  }

  /** Every controller has a tree of its own, and none waits for another. */
  async function ensureV1(path: string, figures: PodCgroup): Promise<void> {
    const dirOf = hierarchies.controllerDir;
    const pages = Object.entries(figures.hugePages ?? {});
    await Promise.all([
      write(dirOf("cpu"), path, [
        ["cpu.shares", figures.cpuShares],
        ["cpu.cfs_period_us", figures.cpuPeriodUs],
        ["cpu.cfs_quota_us", figures.cpuQuotaUs || -1],
      ]),
      write(dirOf("memory"), path, [["memory.limit_in_bytes", figures.memoryLimitBytes || -1]]),
      ...(figures.pidsLimit > 0 ? [write(dirOf("pids"), path, [["pids.max", figures.pidsLimit]])] : []),
      ...(figures.hugePages
        ? [
            write(
              dirOf("hugetlb"),
              path,
              pages.map(([size, bytes]) => [`hugetlb.${size}.limit_in_bytes`, bytes]),
            ),
          ]
        : []),
    ]);
  }

  async function ensureV2(path: string, figures: PodCgroup): Promise<void> {
    await enableControllers(path, figures.hugePages ? ["hugetlb"] : []);
    const dir = join(mountRoot, path);
    await set(join(dir, "cpu.weight"), sharesToWeight(figures.cpuShares));
    await set(join(dir, "cpu.max"), `${figures.cpuQuotaUs || "max"} ${figures.cpuPeriodUs}`);
    await set(join(dir, "memory.max"), figures.memoryLimitBytes || "max");
    if (figures.pidsLimit > 0) await set(join(dir, "pids.max"), figures.pidsLimit);
    for (const [size, bytes] of Object.entries(figures.hugePages ?? {}))
      await set(join(dir, `hugetlb.${size}.max`), bytes);
  }

  return {
    ensure: (path, figures) => (hierarchies.unified ? ensureV2(path, figures) : ensureV1(path, figures)),
    async remove(path) {
      const gone = await Promise.all(hierarchies.dirs.map((dir) => removeTree(join(dir, path))));
      return gone.every(Boolean);
    },
    memoryUsedBytes: (path) => memoryUsedAt(hierarchies, path),
    async kill(path) {
      for (const dir of hierarchies.dirs) await killTree(join(dir, path));
    },
    async pods(root) {
      const found = new Map<string, string>();
      for (const dir of hierarchies.dirs) {
        for (const parent of ["", "/burstable", "/besteffort"]) {
          for (const child of await childrenOf(join(dir, root + parent))) {
            const name = child.slice(child.lastIndexOf("/") + 1);
            if (name.startsWith("pod")) found.set(name.slice(3), `${root}${parent}/${name}`);
          }
        }
      }
      return found;
    },
  };
}
