/**
 * HAProxy as a program: started with the first configuration, told small changes by its runtime API, given a new worker
 * that takes the listening sockets over for the others. No connection is refused in between.
 * https://docs.haproxy.org/2.6/management.html#4
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import {
  codeOf,
  type Daemon,
  findDaemon,
  findProgram,
  forComponent,
  messageOf,
  run,
  startDaemon,
  stopDaemon,
  type World,
} from "#base";
import type { Routing } from "../model.ts";
import { changesBetween, type RuntimeChanges } from "./changes.ts";
import { type HaproxyConfig, haproxyConfig, mapText } from "./config.ts";
import { RuntimeApi } from "./runtime-api.ts";

export interface HaproxyOptions {
  /** Its files: configuration, maps, certificates, sockets. */
  dir: string;
  world: World;
}

/** How the last routing was brought about. */
export type Applied = "nothing" | "runtime" | "worker";

const workerPatienceMs = 10_000;
const pollMs = 10;
/** A socket's path is longer for a moment, and may have 107 bytes. */
const socketPathMax = 90;

export function haproxyPaths(dir: string) {
  return {
    config: join(dir, "haproxy.cfg"),
    socket: join(dir, "admin.sock"),
    pidFile: join(dir, "haproxy.pid"),
    log: join(dir, "haproxy.log"),
  };
}

/** Ends the HAProxy of a folder, if one runs. */
export async function stopHaproxy(dir: string, { clock }: World): Promise<void> {
  await stopDaemon(haproxyPaths(dir).pidFile, clock);
}

/** Something that keeps the routing from being served: what, and the mend. */
export class HaproxyError extends Error {}

export class Haproxy {
  readonly #options: HaproxyOptions;
  readonly #paths: ReturnType<typeof haproxyPaths>;
  readonly #api: RuntimeApi;
  #daemon: Daemon | undefined;
  #current: HaproxyConfig | undefined;
  #deaths = 0;

  constructor(options: HaproxyOptions) {
    this.#options = options;
    this.#paths = haproxyPaths(options.dir);
    this.#api = new RuntimeApi(this.#paths.socket);
  }

  /** One after the other. Throws `HaproxyError` where the machine or the configuration is to blame. */
  async apply(routing: Routing): Promise<Applied> {
    const before = this.#sameProcess() ? this.#current : undefined;
    const next = haproxyConfig(routing, { dir: this.#options.dir, adminSocket: this.#paths.socket }, before);
    const changes = before && changesBetween(before, next);
    if (changes && isNothing(changes)) return "nothing";
    // A worker that cannot listen would end the one that does.
    const bound = await this.#boundPorts();
    for (const { port } of routing.frontends) if (!bound.has(port)) await checkPort(port);
    // The files are always what runs: a worker that has to be started anew does the same.
    await this.#write(next);
    if (changes && (await this.#tell(changes))) {
      this.#current = next;
      return "runtime";
    }
    try {
      await this.#newWorker();
    } catch (error) {
      // What runs stays, and so do its files: the next attempt begins from there.
      if (before) await this.#write(before);
      throw error;
    }
    this.#current = next;
    return "worker";
  }

  /** Those of `ports` that another program listens on. */
  async takenPorts(ports: Iterable<number>): Promise<Set<number>> {
    const mine = await this.#boundPorts();
    const taken = new Set<number>();
    for (const port of new Set(ports)) {
      if (mine.has(port)) continue;
      await checkPort(port).catch(() => taken.add(port));
    }
    return taken;
  }

  /** What a running HAProxy listens on, as its file says. */
  async #boundPorts(): Promise<Set<number>> {
    if (!findDaemon(this.#paths.pidFile)) return new Set();
    const text = await readFile(this.#paths.config, "utf8").catch(() => "");
    return new Set([...text.matchAll(/^bind :(\d+)/gm)].map(([, port]) => Number(port)));
  }

  /** Leaves HAProxy running. */
  release(): void {
    this.#daemon?.release();
  }

  /** Ends HAProxy; `apply` starts it anew. */
  async end(): Promise<void> {
    this.release();
    this.#daemon = undefined;
    this.#current = undefined;
    await stopHaproxy(this.#options.dir, this.#options.world);
  }

  /** A HAProxy that died has been started from its files: what it is told next must be whole. */
  #sameProcess(): boolean {
    const same = this.#daemon?.deaths === this.#deaths;
    this.#deaths = this.#daemon?.deaths ?? 0;
    return same;
  }

  async #tell({ commands, maps, certificates }: RuntimeChanges): Promise<boolean> {
    try {
      for (const [file, pem] of certificates) await this.#api.replaceCertificate(file, pem);
      await this.#api.tell(commands);
      for (const [file, entries] of maps) await this.#api.replaceMap(file, entries);
      return true;
    } catch (error) {
      const { log } = forComponent(this.#options.world, "ingress");
      log.warn({ error: messageOf(error) }, "HAProxy could not be told a change; it gets a new worker");
      return false;
    }
  }

  async #write(next: HaproxyConfig): Promise<void> {
    const { dir } = this.#options;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const files = new Map<string, string>([[this.#paths.config, next.text]]);
    for (const [file, entries] of next.maps) files.set(file, mapText(entries));
    for (const [file, text] of [...next.certificates, ...next.certificateLists]) files.set(file, text);
    for (const [file, text] of files) {
      await writeFile(`${file}.new`, text, { mode: 0o600 });
      await rename(`${file}.new`, file);
    }
    for (const file of this.#current?.certificates.keys() ?? []) {
      if (!next.certificates.has(file)) await rm(file, { force: true });
    }
  }

  async #newWorker(): Promise<void> {
    const program = findProgram("haproxy");
    if (!program) throw new HaproxyError("haproxy is not installed on this node: apt-get install haproxy");
    if (Buffer.byteLength(this.#paths.socket) > socketPathMax) {
      throw new HaproxyError(`${this.#paths.socket} is too long for a socket: use a shorter --data-dir`);
    }
    const check = await run(program, ["-c", "-f", this.#paths.config]);
    if (check.code !== 0) throw new HaproxyError(`HAProxy refuses its configuration: ${tail(check.stderr)}`);
    const running = findDaemon(this.#paths.pidFile);
    if (running && this.#daemon) {
      const former = await this.#api.workerPid().catch(() => 0);
      process.kill(this.#daemon.pid, "SIGUSR2");
      return this.#untilWorker((pid) => pid !== former);
    }
    await this.#start(program);
  }

  async #start(program: string): Promise<void> {
    const { world } = this.#options;
    const known = findDaemon(this.#paths.pidFile);
    const former = known ? await this.#api.workerPid().catch(() => 0) : 0;
    this.#daemon = await startDaemon({
      command: program,
      args: ["-W", "-f", this.#paths.config],
      mend: "install haproxy: apt-get install haproxy",
      pidFile: this.#paths.pidFile,
      logFile: this.#paths.log,
      clock: world.clock,
      log: forComponent(world, "ingress").log,
      fingerprint: "haproxy -W",
    });
    this.#deaths = this.#daemon.deaths;
    if (this.#daemon.adopted) process.kill(this.#daemon.pid, "SIGUSR2");
    await this.#untilWorker((pid) => pid !== former);
  }

  /** Resolves when a worker answers that is the one meant. */
  async #untilWorker(isIt: (pid: number) => boolean): Promise<void> {
    const { clock } = this.#options.world;
    const deadline = clock.monotonic() + workerPatienceMs;
    for (;;) {
      const pid = await this.#api.workerPid().catch(() => 0);
      if (pid > 0 && isIt(pid)) return;
      if (clock.monotonic() > deadline) {
        throw new HaproxyError(`HAProxy started no worker: see ${this.#paths.log}`);
      }
      await clock.sleep(pollMs);
    }
  }
}

function isNothing({ commands, maps, certificates }: RuntimeChanges): boolean {
  return commands.length + maps.length + certificates.length === 0;
}

function tail(text: string): string {
  return text.trim().split("\n").slice(-3).join(" ").slice(0, 400);
}

/** Rejects where another program listens on the port. */
function checkPort(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error) => {
      const taken = codeOf(error) === "EADDRINUSE" ? "in use by another program" : messageOf(error);
      reject(new HaproxyError(`port ${port} of this node cannot be listened on: ${taken}`));
    });
    server.listen({ port, host: "0.0.0.0", exclusive: true }, () => server.close(() => resolve()));
  });
}
