/**
 * systemd's login manager tells that the machine will shut down, and waits as long as somebody inhibits it. It is spoken to
 * through its own programs, which end with this process.
 * https://systemd.io/INHIBITOR_LOCKS/
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { findProgram, run } from "#base";

export interface Logind {
  /** Milliseconds that it waits at most; undefined where it does not answer. */
  delayMs(): Promise<number | undefined>;
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

export function createLogind(): Logind {
  return {
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
