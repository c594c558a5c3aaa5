/** A cluster of a test's own, to be hurt: in a folder and with a kubeconfig that nobody else uses. */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunResult, run, systemClock } from "#base";
import { eventually } from "./harness.ts";
import { knarr, tryKnarr } from "./knarr.ts";
import { findKubectls, KubectlRunner } from "./kubectl.ts";
import { type Access, accessOf } from "./raw.ts";

export class OwnCluster {
  readonly name: string;
  readonly home: string;
  readonly dir: string;
  readonly env: { KUBECONFIG: string };
  readonly kubectl: KubectlRunner;
  readonly #flags: readonly string[];

  private constructor(name: string, home: string, flags: readonly string[], kubectl: string) {
    this.name = name;
    this.home = home;
    this.dir = join(home, "data");
    this.env = { KUBECONFIG: join(home, "kubeconfig") };
    this.kubectl = new KubectlRunner(kubectl, this.env.KUBECONFIG);
    this.#flags = flags;
  }

  /** Not started yet. */
  static async make(purpose: string, ...flags: string[]): Promise<OwnCluster> {
    const name = `${purpose}-${process.pid}`;
    const home = await mkdtemp(join(tmpdir(), `knarr-${purpose}-`));
    const cluster = new OwnCluster(name, home, flags, (await findKubectls()).at(-1)!.path);
    await mkdir(cluster.dir);
    return cluster;
  }

  /** For commands that run the launcher in surroundings of their own. */
  get upArguments(): string[] {
    return ["up", "--name", this.name, "--data-dir", this.dir, ...this.#flags];
  }

  up(): Promise<string> {
    return knarr(this.upArguments, { env: this.env });
  }

  tryUp(): Promise<RunResult> {
    return tryKnarr(this.upArguments, { env: this.env });
  }

  down(...flags: string[]): Promise<string> {
    return knarr(["down", "--name", this.name, ...flags], { env: this.env });
  }

  access(): Access {
    return accessOf(join(this.dir, "kubeconfig"));
  }

  /** The server's process, by the file that it keeps. */
  pid(): number {
    return (JSON.parse(readFileSync(join(this.dir, "server.pid"), "utf8")) as { pid: number }).pid;
  }

  /** kill -9, and the wait until it is gone. */
  async kill(pid = this.pid()): Promise<void> {
    process.kill(pid, "SIGKILL");
    await eventually("the end of the process", async () => (isAlive(pid) ? undefined : true), 10_000);
  }

  /** The end of it all, whatever the test has left. */
  async remove(): Promise<void> {
    await tryKnarr(["down", "--purge", "--name", this.name], { env: this.env });
    await rm(this.home, { recursive: true, force: true });
  }

  /** What is left of it on the machine. */
  async traces(): Promise<string[]> {
    const lines = (text: string, word: string) => text.split("\n").filter((line) => line.includes(word));
    const tables = (await run("nft", ["list", "tables"])).stdout;
    const cgroups = await run("find", [
      "/sys/fs/cgroup",
      "-maxdepth",
      "2",
      "-type",
      "d",
      "-name",
      `*${this.name}*`,
    ]);
    return [
      ...lines((await run("ps", ["-eo", "args"])).stdout, this.dir),
      ...lines(readFileSync("/proc/mounts", "utf8"), `${this.dir}/`),
      ...lines(tables, this.name.replaceAll("-", "_")),
      ...lines((await run("ip", ["netns"])).stdout, this.name),
      ...lines(cgroups.stdout, this.name),
      ...[`/var/lib/knarr/${this.name}`, this.dir].filter((path) => existsSync(path)),
    ];
  }

  async expectNothingLeft(): Promise<void> {
    await eventually("a clean machine", async () => {
      const left = await this.traces();
      if (left.length > 0) throw new Error(left.join("\n"));
      return true;
    });
  }
}

/** A zombie has ended: only its parent has not looked yet. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

export function pause(ms: number): Promise<void> {
  return systemClock.sleep(ms);
}
