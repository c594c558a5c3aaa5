/**
 * What the kubelet's servers answer to questions, by the first part of the path.
 * https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/
 */
import { readdir } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { messageOf, type World } from "#base";
import type { PodContext } from "../pod-context.ts";
import type { PodWorkers } from "../pod-workers.ts";
import { probeMetrics } from "../probes/metrics.ts";
import { kubeletGauges } from "../stats/kubelet-gauges.ts";
import type { NodeStats } from "../stats/node-stats.ts";
import type { LocalFolders } from "../volumes/local-folders.ts";
import { checkpoint } from "./checkpoint.ts";
import { serveLocalVolumes } from "./local-volumes.ts";
import { serveLogs } from "./logs.ts";
import { booleanParameter, HttpError } from "./request.ts";
import { serveSystemLogs } from "./system-logs.ts";

export interface RouteOptions {
  context: PodContext;
  workers: PodWorkers;
  localFolders: LocalFolders;
  stats: NodeStats;
  /** The folder of the machine's own logs; absent: they are not shown. */
  systemLogsDir?: string;
  /** What `/configz` shows. */
  configuration: object;
  world: World;
}

export type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void>;

export function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  type = "text/plain; charset=utf-8",
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { "content-type": type });
  response.end(text);
}

const json = "application/json";

/** Pods as they are now, with what has not reached the API yet. */
function podList({ context, workers }: RouteOptions): string {
  const items = workers
    .list()
    .map((pod) => ({ ...pod, status: context.statuses.get(pod.metadata.uid) ?? pod.status }));
  return JSON.stringify({ kind: "PodList", apiVersion: "v1", metadata: {}, items });
}

async function allMetrics({ world, stats, context, workers }: RouteOptions): Promise<string> {
  const { runtime, nodeName } = context;
  const [sandboxes, containers, files] = await Promise.all([
    runtime.listPodSandboxes().catch(() => []),
    runtime.listContainers().catch(() => []),
    readdir("/proc/self/fd").catch(() => []),
  ]);
  const { user, system } = process.cpuUsage();
  const gauges = kubeletGauges({
    nodeName,
    pods: workers.list(),
    isActive: workers.isActive,
    sandboxes,
    containers,
    process: {
      startedMs: world.clock.now() - process.uptime() * 1000,
      cpuSeconds: (user + system) / 1e6,
      residentBytes: process.memoryUsage.rss(),
      openFiles: files.length,
    },
  });
  return (await world.metrics.text()) + gauges + stats.claims();
}

/** `/metrics` and what lies below it. */
async function serveMetrics(options: RouteOptions, response: ServerResponse, url: URL) {
  const { world, stats, context } = options;
  const { contentType } = world.metrics;
  switch (url.pathname.replace(/\/$/, "")) {
    case "/metrics":
      return sendText(response, 200, await allMetrics(options), contentType);
    case "/metrics/resource":
      return sendText(response, 200, await stats.resource(), contentType);
    case "/metrics/cadvisor":
      return sendText(response, 200, await stats.cadvisor(), contentType);
    case "/metrics/probes":
      return sendText(response, 200, probeMetrics(context.probes.counts()), contentType);
    default:
      throw new HttpError(404, "404 page not found");
  }
}

async function serveStats({ stats }: RouteOptions, response: ServerResponse, url: URL) {
  if (url.pathname.replace(/\/$/, "") !== "/stats/summary") throw new HttpError(404, "404 page not found");
  const onlyCpuAndMemory = booleanParameter(url, "only_cpu_and_memory");
  sendText(response, 200, JSON.stringify(await stats.summary(onlyCpuAndMemory)), json);
}

export function routes(options: RouteOptions): Record<string, Handler> {
  const { context, workers } = options;
  return {
    healthz: async (_request, response) => {
      const late = workers.sinceRelistMs() > 180_000;
      sendText(response, late ? 500 : 200, late ? "the runtime does not list its pods" : "ok");
    },
    pods: async (_request, response) => sendText(response, 200, podList(options), json),
    runningpods: async (_request, response) => sendText(response, 200, podList(options), json),
    configz: async (_request, response) =>
      sendText(response, 200, JSON.stringify({ kubeletconfig: options.configuration }), json),
    metrics: (_request, response, url) => serveMetrics(options, response, url),
    stats: (_request, response, url) => serveStats(options, response, url),
    logs: async (request, response, url) => {
      const { systemLogsDir } = options;
      if (!systemLogsDir) throw new HttpError(405, "logs endpoint is disabled.");
      await serveSystemLogs(systemLogsDir, request, response, url);
    },
    containerLogs: (_request, response, url) => serveLogs({ context, workers }, response, url),
    checkpoint: async (request, response, url) => {
      const location = await checkpoint({ context, workers }, request.method, url);
      sendText(response, 200, JSON.stringify({ items: [location] }), json);
    },
    localVolumes: (request, response, url) => serveLocalVolumes(options.localFolders, request, response, url),
  };
}

/** Upstream's answer where logs, exec, attach and port-forward are switched off; what else is missing then is not there. */
const disabled = ["run", "exec", "attach", "portForward", "containerLogs", "runningpods", "logs", "debug"];
const withDebugging: ReadonlySet<string> = new Set([...disabled, "configz", "checkpoint"]);

/** Throws `HttpError`: without `debugging` nobody looks into containers. */
export function checkDebugging(debugging: boolean, { pathname }: URL): void {
  const name = pathname.split("/")[1] ?? "";
  if (debugging || !withDebugging.has(name)) return;
  if (!disabled.includes(name)) throw new HttpError(404, "404 page not found");
  throw new HttpError(405, "Debug endpoints are disabled.");
}

/** Those that take more than questions. */
const writing: ReadonlySet<string> = new Set(["localVolumes", "checkpoint"]);

export async function dispatch(
  table: Readonly<Record<string, Handler>>,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  const name = url.pathname.split("/")[1] ?? "";
  const handler = Object.hasOwn(table, name) ? table[name] : undefined;
  if (!handler) throw new HttpError(404, "404 page not found");
  if (request.method !== "GET" && !writing.has(name)) throw new HttpError(405, "Method Not Allowed");
  await handler(request, response, url);
}

/** What went wrong, told to whoever asked. */
export function sendError(response: ServerResponse, error: unknown, { log }: World): void {
  const status = error instanceof HttpError ? error.status : 500;
  if (status === 500) log.warn({ error: messageOf(error) }, "a request failed");
  sendText(response, status, messageOf(error));
}
