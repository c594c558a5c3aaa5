/** A cluster of its own for a benchmark, started as a user starts it, in a process of its own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOk } from "#base";
import {
  type ClusterConfig,
  type ClusterConnection,
  type ClusterPaths,
  connectCluster,
  pathsOf,
  readConfig,
} from "#distro";

const launcher = join(import.meta.dirname, "..", "knarr");

export interface BenchCluster {
  name: string;
  paths: ClusterPaths;
  config: ClusterConfig;
  /** A connection of its own each time. */
  connect(): Promise<ClusterConnection>;
  knarr(...args: string[]): Promise<string>;
  remove(): Promise<void>;
}

export async function benchCluster(kind: string, upOptions: readonly string[]): Promise<BenchCluster> {
  const folder = await mkdtemp(join(tmpdir(), "knarr-bench-"));
  const name = `bench-${kind}-${process.pid}`;
  const env = { KUBECONFIG: join(folder, "kubeconfig") };
  const dataDir = join(folder, "data");
  const knarr = (...args: string[]) => runOk(launcher, args, { env, timeoutMs: 300_000 });
  await knarr("up", "--name", name, "--data-dir", dataDir, ...upOptions);
  const paths = pathsOf(name, dataDir);
  const config = readConfig(paths)!;
  return {
    name,
    paths,
    config,
    connect: () => connectCluster(config, paths),
    knarr,
    async remove() {
      await knarr("down", "--purge", "--name", name);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Megabytes resident, from /proc. */
export async function residentMegabytes(pid: number): Promise<number> {
  const status = await runOk("cat", [`/proc/${pid}/status`]);
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
}
