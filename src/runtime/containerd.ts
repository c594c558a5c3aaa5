/**
 * A private containerd: its own root, state, socket and configuration, never the host's. It and its containers go on
 * running when the agent ends, and are adopted by the next one.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import {
  type Daemon,
  findDaemon,
  findProgram,
  flushDisk,
  forComponent,
  run,
  startDaemon,
  UserError,
  type World,
} from "#base";
import type { ContainerRuntime } from "#contracts";
import { containerdConfig, type OciRuntime, parseVersion } from "./containerd-config.ts";
import { connectRuntime } from "./cri-client.ts";
import { type ImageStore, imageStore } from "./images.ts";
import { pauseImage, pauseImageName } from "./pause-image.ts";

export interface ContainerdOptions {
  /** Everything of this containerd lies below: root, state, socket, configuration, log. */
  dir: string;
  world: World;
  cniConfDir: string;
  /** Default: where Debian and others have the standard plugins. */
  cniBinDirs?: readonly string[];
  /** Folder with `<host:port>/hosts.toml`; default below `dir`. */
  registryConfigDir?: string;
  sandboxImage?: string;
  /** The first is the default one; without: crun where the machine allows it, and runc. */
  runtimes?: readonly OciRuntime[];
  /** Where the runtime's streaming server listens; only the kubelet speaks to it. */
  streamAddress?: string;
  /** Words before `containerd`, such as `nsenter --net=…`. */
  commandPrefix?: readonly string[];
  readyTimeoutMs?: number;
  /** How long CRI may take over what takes no long time by its nature. */
  requestMs?: number | undefined;
}

export interface Containerd {
  readonly runtime: ContainerRuntime;
  readonly images: ImageStore;
  readonly socketPath: string;
  readonly sandboxImage: string;
  readonly adopted: boolean;
  readonly pid: number;
  /** Stops supervising and closes the connection; containerd and its containers go on. */
  release(): Promise<void>;
  /** Stops containerd. Containers must have been removed before, or they go on without it. */
  stop(): Promise<void>;
}

/** Where distributions put the CNI plugins. */
export const cniBinDirs: readonly string[] = ["/usr/lib/cni", "/opt/cni/bin"];

/** Where things lie under a containerd's folder. */
export function containerdPaths(dir: string) {
  return {
    root: join(dir, "root"),
    state: join(dir, "state"),
    socket: join(dir, "containerd.sock"),
    config: join(dir, "config.toml"),
    log: join(dir, "containerd.log"),
    pidFile: join(dir, "containerd.pid"),
    registries: join(dir, "registries"),
    scratch: join(dir, "tmp"),
  };
}

/** crun takes hosts whose cgroup controllers are all v2 or all v1; where they are of both kinds it refuses every container. */
export function crunFits(cgroupDir = "/sys/fs/cgroup"): boolean {
  if (existsSync(join(cgroupDir, "cgroup.controllers"))) return true;
  const beside = join(cgroupDir, "unified", "cgroup.controllers");
  return !existsSync(beside) || readFileSync(beside, "utf8").trim() === "";
}

function chooseRuntimes(): OciRuntime[] {
  const found = (["crun", "runc"] as const).filter(
    (name) => findProgram(name) && (name === "runc" || crunFits()),
  );
  if (found.length > 0) return [...found];
  throw new UserError("no OCI runtime was found (runc)", "install it: apt-get install runc");
}

async function versionOf(command: readonly string[]): Promise<[number, number]> {
  const result = await run(command[0]!, [...command.slice(1), "--version"]).catch(() => undefined);
  if (!result) throw new UserError("containerd was not found", "install it: apt-get install containerd");
  const version = parseVersion(result.stdout);
  if (!version)
    throw new UserError(
      `containerd does not say its version: ${(result.stdout + result.stderr).trim().slice(0, 300)}`,
      "install it again: apt-get install --reinstall containerd",
    );
  if (version[0] < 1 || (version[0] === 1 && version[1] < 6)) {
    throw new UserError(`containerd ${version.join(".")} is too old`, "install containerd 1.6 or newer");
  }
  return version;
}

/** Socket paths of the kernel end at 107 bytes. */
function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) > 107) {
    throw new UserError(
      `the path of containerd's socket is too long: ${path}`,
      "use a shorter data directory (--data-dir)",
    );
  }
}

function writeConfig(options: ContainerdOptions, version: [number, number]): string {
  const paths = containerdPaths(options.dir);
  const registryConfigDir = options.registryConfigDir ?? paths.registries;
  for (const d of [paths.root, paths.state, paths.scratch, registryConfigDir, options.cniConfDir]) {
    mkdirSync(d, { recursive: true, mode: 0o711 });
  }
  const text = containerdConfig({
    version,
    rootDir: paths.root,
    stateDir: paths.state,
    socketPath: paths.socket,
    sandboxImage: options.sandboxImage ?? pauseImageName,
    cniConfDir: options.cniConfDir,
    // Up to 2.0 containerd looks into the first folder only.
    cniBinDirs: options.cniBinDirs ?? cniBinDirs.filter((dir) => existsSync(join(dir, "loopback"))),
    registryConfigDir,
    runtimes: options.runtimes ?? chooseRuntimes(),
    streamAddress: options.streamAddress ?? "127.0.0.1",
    hasAppArmor: existsSync("/sys/kernel/security/apparmor"),
    hasHugetlb: hasHugetlb(),
  });
  writeFileSync(paths.config, text, { mode: 0o600 });
  return text;
}

function hasHugetlb(): boolean {
  const controllers = "/sys/fs/cgroup/cgroup.controllers";
  if (!existsSync(controllers)) return existsSync("/sys/fs/cgroup/hugetlb");
  return readFileSync(controllers, "utf8").split(/\s+/).includes("hugetlb");
}

/** The last words of containerd, for the error that says it did not come up. */
function lastWords(logFile: string): string {
  try {
    return readFileSync(logFile, "utf8").trim().split("\n").slice(-3).join("\n");
  } catch {
    return "";
  }
}

/** What the user can do about them, where that is known. */
function mendOf(words: string, logFile: string): string {
  return /fsnotify|inotify/.test(words) ? "sysctl fs.inotify.max_user_instances=8192" : `see ${logFile}`;
}

/** A containerd that ends so often before it has ever answered will not do better. */
const deathsMax = 3;

const askingMs = 250;

async function waitUntilReady(
  runtime: ContainerRuntime,
  daemon: Daemon,
  options: ContainerdOptions,
): Promise<void> {
  const { clock } = options.world;
  const deadlineMs = clock.monotonic() + (options.readyTimeoutMs ?? 30_000);
  let asking: Promise<boolean> | undefined;
  const ask = () =>
    runtime
      .status()
      .then(({ conditions }) => conditions.some((c) => c.type === "RuntimeReady" && c.status))
      .catch(() => false)
      .finally(() => {
        asking = undefined;
      });
  for (;;) {
    asking ??= ask();
    // The question itself waits long for a socket that may never come.
    if (await Promise.race([asking, clock.sleep(askingMs).then(() => false)])) return;
    if (daemon.deaths >= deathsMax || clock.monotonic() > deadlineMs) {
      const { log } = containerdPaths(options.dir);
      const words = lastWords(log);
      throw new UserError(`containerd does not answer. Its last words:\n${words}`, mendOf(words, log));
    }
    await clock.sleep(25);
  }
}

/** Starts (or adopts) containerd and waits until CRI answers and the sandbox image is there. */
export async function startContainerd(options: ContainerdOptions): Promise<Containerd> {
  const { world } = options;
  const paths = containerdPaths(options.dir);
  checkSocketPath(paths.socket);
  const command = [...(options.commandPrefix ?? []), "containerd"];
  const config = writeConfig(options, await versionOf(command));
  const daemon = await startDaemon({
    command: command[0]!,
    args: [...command.slice(1), "--config", paths.config],
    mend: "install containerd: apt-get install containerd",
    pidFile: paths.pidFile,
    logFile: paths.log,
    clock: world.clock,
    log: forComponent(world, "containerd").log,
    fingerprint: createHash("sha256").update(config).update(command.join(delimiter)).digest("hex"),
  });
  const runtime = flushingPulls(
    connectRuntime({ socketPath: paths.socket, clock: world.clock, requestMs: options.requestMs }),
    options.dir,
  );
  const images = imageStore({
    socketPath: paths.socket,
    runtime,
    clock: world.clock,
    scratchDir: paths.scratch,
  });
  const release = async () => {
    daemon.release();
    runtime.close();
  };
  try {
    await waitUntilReady(runtime, daemon, options);
    await ensureSandboxImage(runtime, images, options);
  } catch (error) {
    runtime.close();
    if (daemon.adopted) daemon.release();
    else await daemon.stop();
    throw error;
  }
  return handle(daemon, {
    runtime,
    images,
    socketPath: paths.socket,
    sandboxImage: options.sandboxImage ?? pauseImageName,
    release,
  });
}

/**
 * containerd unpacks without flushing: after a cut of power an image would be there with empty files, for good. Pods do not
 * wait for the disk.
 */
function flushingPulls<T extends ContainerRuntime>(runtime: T, dir: string): T {
  return {
    ...runtime,
    async pullImage(...request) {
      const id = await runtime.pullImage(...request);
      void flushDisk(dir);
      return id;
    },
  };
}

function handle(daemon: Daemon, parts: Omit<Containerd, "stop" | "adopted" | "pid">): Containerd {
  return {
    ...parts,
    adopted: daemon.adopted,
    get pid() {
      return daemon.pid;
    },
    async stop() {
      await parts.release();
      await daemon.stop();
    },
  };
}

/** Our own sandbox image is brought from memory; another is pulled when the first pod needs it. */
async function ensureSandboxImage(
  runtime: ContainerRuntime,
  images: ImageStore,
  { dir, sandboxImage: name = pauseImageName }: ContainerdOptions,
): Promise<void> {
  if (name !== pauseImageName || (await runtime.imageStatus(name))) return;
  const image = await pauseImage();
  if (!image)
    throw new UserError("there is no sandbox image for this architecture", "name one: sandboxImage");
  await images.import(image);
  void flushDisk(dir);
}

/** The pid of the containerd under `dir`, where one runs. */
export function findContainerd(dir: string): number | undefined {
  return findDaemon(containerdPaths(dir).pidFile)?.pid;
}
