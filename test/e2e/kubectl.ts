/** Stock kubectl: every version this machine has, and the one of Kubernetes 1.36; Debian's where neither is to be had. */
import { accessSync, constants, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { type RunOptions, type RunResult, run } from "#base";
import { installPackages } from "#distro";
import { stockClients } from "./stock-clients.ts";

export interface Kubectl {
  path: string;
  /** `1.33`. */
  version: string;
}

function onPath(name: string): string | undefined {
  for (const dir of (process.env.PATH ?? "").split(":")) {
    try {
      accessSync(join(dir, name), constants.X_OK);
      return realpathSync(join(dir, name));
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

async function versionOf(path: string): Promise<string | undefined> {
  const result = await run(path, ["version", "--client", "-o", "json"]);
  return /"gitVersion": "v(\d+\.\d+)/.exec(result.stdout)?.[1];
}

/** Oldest first; Debian's is installed where there is none. */
export async function findKubectls(): Promise<Kubectl[]> {
  const present = await presentKubectls();
  const clients = await stockClients();
  if (clients) present.push({ path: clients.kubectl, version: "1.36" });
  if (present.length > 0) return present;
  await installKubectl();
  return presentKubectls();
}

/** Those on this machine. Distributions that ship several put them beside each other as `kubectl.1.33`. */
export async function presentKubectls(): Promise<Kubectl[]> {
  const first = onPath("kubectl");
  if (!first) return [];
  const dir = dirname(first);
  const siblings = readdirSync(dir).filter((f) => /^kubectl\.1\.\d+$/.test(f));
  const byVersion = new Map<string, Kubectl>();
  for (const path of [first, ...siblings.map((f) => join(dir, f))]) {
    const version = await versionOf(path);
    if (version) byVersion.set(version, { path, version });
  }
  return [...byVersion.values()].sort((a, b) => minorOf(a) - minorOf(b));
}

function minorOf(kubectl: Kubectl): number {
  return Number(kubectl.version.split(".")[1]);
}

async function installKubectl(): Promise<void> {
  await installPackages(["kubernetes-client"]);
  if (!onPath("kubectl")) throw new Error("kubernetes-client is installed, but there is no kubectl");
}

/** kubectl with one cluster's kubeconfig. */
export class KubectlRunner {
  readonly #binary: string;
  readonly #kubeconfig: string;

  constructor(binary: string, kubeconfig: string) {
    this.#binary = binary;
    this.#kubeconfig = kubeconfig;
  }

  /** As the user would get it: never rejects for a failing command. */
  try(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.#binary, args, {
      timeoutMs: 120_000,
      ...options,
      env: { ...options.env, KUBECONFIG: this.#kubeconfig },
    });
  }

  /** Standard output; throws with kubectl's own words. */
  async ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.try(args, options);
    if (result.code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${result.stderr || result.stdout}`);
    return result.stdout;
  }

  /** An object as JSON. */
  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.ok([...args, "-o", "json"])) as T;
  }

  get binary(): string {
    return this.#binary;
  }

  get environment(): Record<string, string> {
    return { KUBECONFIG: this.#kubeconfig };
  }
}
