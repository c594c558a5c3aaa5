/**
 * systemd's login manager tells that the machine will shut down, and waits as long as somebody inhibits it. It is spoken to
 * through its own programs, which end with this process.
 * https://systemd.io/INHIBITOR_LOCKS/
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { createInterface } from "node:readline";
import { findProgram, run } from "#base";

export interface Logind {
  /** Milliseconds that it waits at most; undefined where it does not answer. */
  delayMs(): Promise<number | undefined>;
  /** From its next answer on it waits so long; undefined: as long as the machine's own settings say. */
  setDelayMs(ms: number | undefined): Promise<void>;
  /** From now on it waits until the answer is called. */
  inhibit(): () => void;
  /** Until the signal aborts or the bus is gone; rejects where there is none. */
  watch(onShutdown: (isShuttingDown: boolean) => void, signal: AbortSignal): Promise<void>;
}

const manager = "org.freedesktop.login1.Manager";
const askTimeoutMs = 5_000;

/** True: it begins; false: it was called off; undefined: something else was said. */
export function shutdownNews(line: string): boolean | undefined {
  try {
    const { member, payload } = JSON.parse(line) as { member?: string; payload?: { data?: unknown[] } };
    const value = payload?.data?.[0];
    return member === "PrepareForShutdown" && typeof value === "boolean" ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Ends with this process, however that ends. */
function start(command: string, args: readonly string[], stdout: "pipe" | "ignore"): ChildProcess {
  const withUs = findProgram("setpriv") ? ["setpriv", "--pdeathsig", "TERM"] : [];
  const [program, ...rest] = [...withUs, command, ...args];
  return spawn(program!, rest, { stdio: ["ignore", stdout, "ignore"] });
}

/** Below /run: the machine's own settings stay as they are, and its next start forgets this one. */
const settingFile = (cgroupRoot: string) => `/run/systemd/logind.conf.d/${basename(cgroupRoot)}.conf`;

/** Takes back what a kubelet has set, whether or not that could end in order. */
export async function forgetLogindDelay(cgroupRoot: string): Promise<void> {
  const file = settingFile(cgroupRoot);
  if (!existsSync(file)) return;
  await rm(file, { force: true });
  await reload();
}

/** It reads its settings again without letting go of anybody. */
async function reload(): Promise<void> {
  await run("systemctl", ["kill", "--signal=HUP", "systemd-logind.service"], { timeoutMs: askTimeoutMs });
}

export function createLogind(cgroupRoot: string): Logind {
  return {
    async setDelayMs(ms) {
      if (ms === undefined) return forgetLogindDelay(cgroupRoot);
      const file = settingFile(cgroupRoot);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, `[Login]\nInhibitDelayMaxSec=${Math.ceil(ms / 1000)}\n`);
      await reload();
    },
    async delayMs() {
      const args = ["get-property", "org.freedesktop.login1", "/org/freedesktop/login1", manager];
      const answer = await run("busctl", [...args, "InhibitDelayMaxUSec"], { timeoutMs: askTimeoutMs }).catch(
        () => undefined,
      );
      const microseconds = /^t (\d+)$/.exec(answer?.stdout.trim() ?? "")?.[1];
      return microseconds === undefined ? undefined : Number(microseconds) / 1000;
    },
    inhibit() {
      const why = ["--what=shutdown", "--who=kubelet", "--why=Kubelet needs time to handle node shutdown"];
      const child = start("systemd-inhibit", [...why, "--mode=delay", "sleep", "infinity"], "ignore");
      child.on("error", () => {});
      return () => void child.kill();
    },
    watch(onShutdown, signal) {
      const match = `type='signal',interface='${manager}',member='PrepareForShutdown'`;
      const child = start("busctl", ["--json=short", "monitor", "--match", match], "pipe");
      const stop = () => void child.kill();
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
      createInterface({ input: child.stdout! }).on("line", (line) => {
        const news = shutdownNews(line);
        if (news !== undefined) onShutdown(news);
      });
      return new Promise((resolve, reject) => {
        child.on("error", reject);
        child.on("close", (code) => {
          signal.removeEventListener("abort", stop);
          if (signal.aborted || code === 0) resolve();
          else reject(new Error("the system's message bus does not answer"));
        });
      });
    },
  };
}
