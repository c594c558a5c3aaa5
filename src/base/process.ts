/** Finding and running other programs: an argument list, never a shell string. */
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

export interface RunResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string | Uint8Array;
  cwd?: string;
  env?: Record<string, string | undefined>;
  signal?: AbortSignal;
  /** Killed after this long; default one minute. */
  timeoutMs?: number;
}

/** What a child may print before it is cut: nothing from outside is unbounded. */
const outputMaxBytes = 16 * 1024 * 1024;

/** Runs `command` to its end. Rejects only when it cannot be started; a failure is in `code`. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env ? { ...process.env, ...options.env } : process.env,
      signal: options.signal,
      timeout: options.timeoutMs ?? 60_000,
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    const collect = (stream: NodeJS.ReadableStream | null) => {
      const chunks: Buffer[] = [];
      let size = 0;
      stream?.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= outputMaxBytes) chunks.push(chunk);
      });
      return () => Buffer.concat(chunks).toString("utf8");
    };
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    child.on("error", reject);
    child.on("close", (code, signal) =>
      resolve({ code: code ?? (signal ? 128 : 1), stdout: stdout(), stderr: stderr() }),
    );
    if (options.input !== undefined) child.stdin?.on("error", () => {}).end(options.input);
  });
}

/** `run` that throws an `Error` with the program's own words when it fails; answers standard output. */
export async function runOk(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await run(command, args, options);
  if (result.code !== 0) {
    const words = (result.stderr || result.stdout).trim() || `exit code ${result.code}`;
    throw new Error(`${command} ${args.slice(0, 4).join(" ")}: ${words}`);
  }
  return result.stdout;
}

/** Debian's administrative programs are not on every user's path. */
const searchPath = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

export function findProgram(name: string): string | undefined {
  for (const dir of searchPath) {
    try {
      accessSync(join(dir, name), constants.X_OK);
      return join(dir, name);
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}
