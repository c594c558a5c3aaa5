/** `knarr status`: the clusters of this machine and how they are. */
import { readFileSync } from "node:fs";
import { nodes, pods } from "#api";
import {
  type ClusterConfig,
  type ClusterPaths,
  connectCluster,
  contextName,
  listClusters,
  localNodesOf,
  pathsOf,
  readConfig,
  runningInstance,
} from "#distro";
import { parseFormat, print, table } from "../output.ts";

interface StatusOptions {
  name: string;
  dataDir?: string;
  output: string;
}

/** A server that answers nothing for this long is told of as such. */
const patienceMs = 3_000;

interface ClusterStatus {
  name: string;
  state: "Running" | "Stopped" | "NotAnswering";
  server: string;
  context: string;
  pid?: number;
  memoryBytes?: number;
  nodesReady?: number;
  nodes?: number;
  pods?: number;
  /** Where Ingresses are served. */
  ingress?: { http: string; https: string };
  dataDir: string;
}

export async function status(options: StatusOptions): Promise<void> {
  const format = parseFormat(options.output);
  const configs = options.dataDir
    ? [readConfig(pathsOf(options.name, options.dataDir))].flatMap((c) => c ?? [])
    : listClusters();
  const clusters = await Promise.all(
    configs.map((config) => statusOf(config, pathsOf(config.name, options.dataDir))),
  );
  if (format === "json") return print(JSON.stringify({ clusters }, null, 2));
  if (clusters.length === 0) return print("There are no clusters on this machine. Start one with: knarr up");
  const rows = clusters.map((c) => [
    c.name,
    c.state,
    c.nodes === undefined ? "-" : `${c.nodesReady}/${c.nodes}`,
    c.pods === undefined ? "-" : String(c.pods),
    c.memoryBytes === undefined ? "-" : `${Math.round(c.memoryBytes / 1024 / 1024)} MB`,
    c.server,
    c.context,
  ]);
  print(table(["NAME", "STATE", "NODES", "PODS", "MEMORY", "SERVER", "CONTEXT"], rows));
}

async function statusOf(config: ClusterConfig, paths: ClusterPaths): Promise<ClusterStatus> {
  const base = {
    name: config.name,
    server: `https://127.0.0.1:${config.apiPort}`,
    context: contextName(config.name),
    dataDir: paths.dir,
    ...(hasIngress(config) ? { ingress: ingressOf(config) } : {}),
  };
  const instance = runningInstance(paths.pid);
  if (!instance) return { ...base, state: "Stopped" };
  const process = { pid: instance.pid, memoryBytes: memoryOf(config, paths, instance.pid) };
  try {
    const connection = await connectCluster(config, paths);
    try {
      const signal = AbortSignal.timeout(patienceMs);
      const [nodeList, podList] = await Promise.all([
        connection.client.list(nodes, { signal }),
        connection.client.list(pods, { signal }),
      ]);
      const ready = nodeList.items.filter((n) =>
        n.status.conditions?.some((c) => c.type === "Ready" && c.status === "True"),
      );
      const counts = { nodes: nodeList.items.length, nodesReady: ready.length, pods: podList.items.length };
      return { ...base, ...process, ...counts, state: "Running" };
    } finally {
      await connection.close();
    }
  } catch {
    return { ...base, ...process, state: "NotAnswering" };
  }
}

/** Nodes that only pretend serve nothing, and of the others the server's does. */
function hasIngress({ simulatedNodes, role }: ClusterConfig): boolean {
  return simulatedNodes === 0 && role === "server";
}

function ingressOf({ nodeAddress, httpPort, httpsPort }: ClusterConfig): { http: string; https: string } {
  return { http: `http://${nodeAddress}:${httpPort}`, https: `https://${nodeAddress}:${httpsPort}` };
}

/** Of the server, and of the agents of its further nodes here. */
function memoryOf(config: ClusterConfig, paths: ClusterPaths, pid: number): number {
  const agents = config.role === "server" ? localNodesOf(config, paths) : [];
  const pids = agents.flatMap((node) => runningInstance(node.paths.pid)?.pid ?? []);
  return [pid, ...pids].reduce((sum, each) => sum + residentBytes(each), 0);
}

/** VmRSS of /proc/PID/status, which is in kilobytes. */
function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1] ?? 0) * 1024;
}
