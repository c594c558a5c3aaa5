/** The further nodes of a cluster on this machine, as `knarr up` starts them: one detached `knarr agent` each. */
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, openSync, readFileSync } from "node:fs";
import { cp, mkdir, rm, symlink } from "node:fs/promises";
import { createWorld, silentLogger, UserError } from "#base";
import {
  type ClusterConfig,
  type ClusterPaths,
  insideOf,
  joinTokenOf,
  type LocalNode,
  localNodesOf,
  openLocalNetwork,
  runningInstance,
  runtimeEndpointOf,
} from "#distro";

/** Starts those that do not run. Answers how to ask whether one of them has ended: it throws its own words. */
export async function startLocalNodes(config: ClusterConfig, paths: ClusterPaths): Promise<() => void> {
  const nodes = localNodesOf(config, paths);
  if (nodes.length === 0) return () => {};
  const endpoint = await runtimeEndpointOf(paths);
  if (endpoint)
    throw new UserError(
      `${nodes.length + 1} nodes of this machine cannot share the runtime at ${endpoint}`,
      "take containerRuntimeEndpoint out of the kubelet's configuration, or start with --nodes 1",
    );
  await openLocalNetwork(config, nodes);
  const token = await joinTokenOf(createWorld({ log: silentLogger }), paths);
  const server = `https://${config.nodeAddress}:${config.apiPort}`;
  const ended = new Set<LocalNode>();
  for (const node of nodes) {
    if (runningInstance(node.paths.pid)) continue;
    await startOne(node, paths, { server, token }, () => ended.add(node));
  }
  return () => {
    for (const node of ended) throw failureOf(node);
  };
}

/** As the launcher starts an agent, see docs/decisions/0015-memory.md. */
export const agentFlags = [
  "--max-semi-space-size=1",
  "--max-opt=2",
  "--no-maglev",
  "--optimize-for-size",
  "--no-sparkplug",
];
const agentEnv = { MALLOC_ARENA_MAX: "1", NODE_EXTRA_CA_CERTS: undefined };

async function startOne(
  node: LocalNode,
  { kubeletConfig, kubeletDropIns, registries, credentialProviders }: ClusterPaths,
  { server, token }: { server: string; token: string },
  onEnd: () => void,
): Promise<void> {
  await mkdir(node.paths.dir, { recursive: true, mode: 0o711 });
  await rm(node.paths.failure, { force: true });
  if (existsSync(kubeletConfig)) copyFileSync(kubeletConfig, node.paths.kubeletConfig);
  await rm(node.paths.kubeletDropIns, { recursive: true, force: true });
  if (existsSync(kubeletDropIns)) await cp(kubeletDropIns, node.paths.kubeletDropIns, { recursive: true });
  await share(registries, node.paths.registries);
  await share(credentialProviders, node.paths.credentialProviders);
  const log = openSync(node.paths.log, "a", 0o600);
  const [command = "", ...inside] = insideOf(node);
  const options = {
    server,
    "node-name": node.name,
    "node-address": [node.address, ...(node.address6 ? [node.address6] : [])].join(),
    "data-dir": node.paths.dir,
  };
  const args = [
    ...[...inside, process.execPath, ...process.execArgv, ...agentFlags, process.argv[1]!, "agent"],
    ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
  ];
  // By the environment: the arguments of a process are for everybody to read.
  const env = { ...process.env, ...agentEnv, KNARR_TOKEN: token };
  const child = spawn(command, args, { detached: true, stdio: ["ignore", log, log], env });
  child.once("error", onEnd);
  child.once("exit", onEnd);
  child.unref();
}

/** How registries are reached, and with which logins, is said once for all nodes of the machine. */
async function share(from: string, to: string): Promise<void> {
  await mkdir(from, { recursive: true });
  if (!existsSync(to)) await symlink(from, to);
}

function failureOf({ name, paths }: LocalNode): UserError {
  try {
    const { message, mend } = JSON.parse(readFileSync(paths.failure, "utf8")) as {
      message: string;
      mend?: string;
    };
    return new UserError(`the node ${name} ended: ${message}`, mend ?? `see ${paths.log}`);
  } catch {
    return new UserError(`the node ${name} ended without a word`, `see ${paths.log}`);
  }
}
