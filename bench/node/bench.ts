/**
 * A full node: how fast its pods come, what they cost while nothing happens, its logs and its exec. The node's agent is a
 * process of its own here, so that only it is measured; beside it its containerd, asked for the same without it.
 */
import { readFileSync } from "node:fs";
import { truncate, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import WebSocket from "ws";
import { type corev1, nodes, pods } from "#api";
import { systemClock } from "#base";
import type { Client, WatchEvent } from "#client";
import type { ContainerRuntime } from "#contracts";
import { pathsOf, runningInstance } from "#distro";
import { connectRuntime, containerdPaths } from "#runtime";
import { upgradeToSpdy } from "../../src/kubelet/server/runtime-upgrade.ts";
import { SpdyConnection } from "../../src/kubelet/server/spdy/connection.ts";
import { type BenchCluster, benchCluster, residentMegabytes } from "../cluster.ts";
import { type Benchmark, median, type Row, repeat, timed } from "../measure.ts";
import { type RawPlace, rawImage, removeRawPod, startRawPod } from "../raw-pod.ts";

const count = 110;
const rawAtOnce = 6;
const settleMs = 20_000;
const idleMs = 25_000;
const execRuns = 30;
const logMegabytes = 200;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const perSecond = (n: number, ms: number) => (n * 1000) / ms;

/** So many at a time; all at once is as a kubelet would ask that finds them all new. */
async function rawRate(runtime: ContainerRuntime, place: RawPlace, atOnce: number): Promise<number> {
  const ids: string[] = [];
  let next = 0;
  const elapsed = await timed(() =>
    Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (let i = next++; i < count; i = next++)
          ids.push(await startRawPod(runtime, place, `raw-${atOnce}-${i}`));
      }),
    ),
  );
  await Promise.all(ids.map((id) => removeRawPod(runtime, id)));
  return perSecond(count, elapsed);
}

function createPod(client: Client, name: string, nodeName: string) {
  const spec = {
    nodeName,
    terminationGracePeriodSeconds: 0,
    containers: [{ name: "c", image: rawImage, command: ["sleep", "100000"] }],
  };
  return client.create(pods, { metadata: { name, namespace: "default" }, spec });
}

async function allRunning(client: Client, prefix: string, wanted: number): Promise<void> {
  for (;;) {
    const { items } = await client.list(pods, { namespace: "default" });
    const running = items.filter(
      ({ metadata, status }) => metadata.name.startsWith(prefix) && status?.phase === "Running",
    );
    if (running.length === wanted) return;
    await pause(100);
  }
}

async function podRate(client: Client, nodeName: string): Promise<number> {
  const { metadata } = await client.list(pods, { namespace: "default" });
  const abort = new AbortController();
  const watching = client.watch(pods, {
    namespace: "default",
    resourceVersion: metadata.resourceVersion,
    signal: abort.signal,
  });
  const elapsed = await timed(() =>
    Promise.all([
      seenRunning(watching),
      ...Array.from({ length: count }, (_, i) => createPod(client, `full-${i}`, nodeName)),
    ]),
  );
  abort.abort();
  return perSecond(count, elapsed);
}

async function seenRunning(watching: AsyncIterable<WatchEvent<corev1.Pod>>): Promise<void> {
  const running = new Set<string>();
  for await (const event of watching) {
    if (event.type === "BOOKMARK" || event.object.status?.phase !== "Running") continue;
    if (running.add(event.object.metadata.name).size === count) return;
  }
}

/** Percent of one core. */
async function idleCost(pid: number): Promise<number> {
  const ticks = () => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [user, system] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13)
      .map(Number);
    return user! + system!;
  };
  const before = ticks();
  const elapsed = await timed(() => pause(idleMs));
  return ((ticks() - before) * 10 * 100) / elapsed;
}

interface Kubelet {
  host: string;
  port: number;
  tls: { ca: Buffer; cert: Buffer; key: Buffer };
}

async function kubeletOf(cluster: BenchCluster, client: Client, name: string): Promise<Kubelet> {
  const { status } = await client.get(nodes, { name });
  const read = (file: string) => readFileSync(join(cluster.paths.tls, file));
  return {
    host: status!.addresses!.find(({ type }) => type === "InternalIP")!.address,
    port: status!.daemonEndpoints!.kubeletEndpoint!.Port,
    tls: { ca: read("ca.crt"), cert: read("admin.crt"), key: read("admin.key") },
  };
}

/** A container's log as its runtime would have written it; megabytes a second of the file. */
async function logRate(kubelet: Kubelet, file: string): Promise<number> {
  const said = `${"x".repeat(88)}\n`;
  const line = `2026-11-22T03:00:00.000000001Z stdout F ${said}`;
  const lines = Math.floor((logMegabytes * 1e6) / line.length);
  for (;;) {
    await writeFile(file, line.repeat(lines));
    let bytes = 0;
    const elapsed = await timed(async () => {
      bytes = await readLog(kubelet);
    });
    await truncate(file);
    // So long a log is rotated sooner or later: what is read then is another file.
    if (bytes === lines * said.length) return perSecond(logMegabytes, elapsed);
  }
}

/** How many bytes came. */
function readLog({ host, port, tls }: Kubelet): Promise<number> {
  return new Promise((resolve, reject) => {
    let bytes = 0;
    const asked = request({ host, port, path: "/containerLogs/default/full-0/c", ...tls }, (answer) => {
      answer.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      answer.once("end", () => resolve(bytes));
    });
    asked.once("error", reject);
    asked.end();
  });
}

function execOnce(cluster: BenchCluster): Promise<number> {
  const read = (file: string) => readFileSync(join(cluster.paths.tls, file));
  const path = "/api/v1/namespaces/default/pods/box/exec?command=true&stdout=1&stderr=1";
  const tls = { ca: read("ca.crt"), cert: read("admin.crt"), key: read("admin.key") };
  return timed(
    () =>
      new Promise<void>((resolve, reject) => {
        const url = `wss://127.0.0.1:${cluster.config.apiPort}${path}`;
        const socket = new WebSocket(url, ["v5.channel.k8s.io"], tls);
        socket.once("close", () => resolve());
        socket.once("error", reject);
      }),
  );
}

/** As a kubelet has it done, and nothing else: containerd streams it itself. */
async function execRaw(runtime: ContainerRuntime, id: string): Promise<void> {
  const streams = { stdin: false, stdout: true, stderr: true, tty: false };
  const url = new URL(await runtime.exec(id, ["true"], streams));
  const connection = await upgradeToSpdy(url, "v4.channel.k8s.io", new AbortController().signal);
  const spdy = new SpdyConnection(connection);
  const ended = Promise.withResolvers<void>();
  const data = () => undefined;
  await Promise.all([
    spdy.open({ streamtype: "error" }, { data, end: ended.resolve }),
    ...["stdout", "stderr"].map((streamtype) => spdy.open({ streamtype }, { data, end: () => {} })),
  ]);
  await ended.promise;
  spdy.close();
}

/** On the first node, whose streams are within reach of this process. */
async function execRows(cluster: BenchCluster, client: Client): Promise<Row[]> {
  await createPod(client, "box", cluster.config.nodeName);
  await allRunning(client, "box", 1);
  const socketPath = containerdPaths(cluster.paths.containerd).socket;
  const runtime = connectRuntime({ socketPath, clock: systemClock });
  const [container] = await runtime.listContainers({ "io.kubernetes.pod.name": "box" });
  const raw = await repeat(execRuns, () => timed(() => execRaw(runtime, container!.id)));
  const full = await repeat(execRuns, () => execOnce(cluster));
  runtime.close();
  const peer = { name: "containerd alone", samples: raw };
  return [
    { what: "exec of `true` through the API, connection and all", unit: "ms", samples: full, peer },
    { what: "difference", unit: "ms", samples: full.map((ms) => ms - median(raw)), goal: 15 },
  ];
}

export default async function bench(): Promise<Benchmark> {
  const cluster = await benchCluster("node", ["--nodes", "2"]);
  const connection = await cluster.connect();
  const { client } = connection;
  const own = pathsOf("2", join(cluster.paths.dir, "nodes", "2"));
  const socketPath = containerdPaths(own.containerd).socket;
  const runtime = connectRuntime({ socketPath, clock: systemClock });
  try {
    await cluster.knarr("image", "busybox", "--name", cluster.name);
    const nodeName = `${cluster.config.nodeName}-2`;
    const place = { cgroupParent: `/knarr-${cluster.name}.${nodeName}/bench`, logDirectory: own.podLogs };
    const exec = await execRows(cluster, client);
    const raw = await rawRate(runtime, place, count);
    const rawInTurns = await rawRate(runtime, place, rawAtOnce);
    const full = await podRate(client, nodeName);
    await pause(settleMs);
    const { pid } = runningInstance(own.pid)!;
    const idle = await idleCost(pid);
    const memory = await residentMegabytes(pid);
    const kubelet = await kubeletOf(cluster, client, nodeName);
    const { metadata } = await client.get(pods, { namespace: "default", name: "full-0" });
    const log = join(own.podLogs, "pods", `default_full-0_${metadata.uid}`, "c", "0.log");
    const logs = await repeat(3, () => logRate(kubelet, log));
    const peer = { name: "containerd alone", samples: [raw] };
    return {
      title: `A node with ${count} pods, its agent in a process of its own`,
      rows: [
        { what: `containerd alone: ${count} pods at once`, unit: "1/s", samples: [raw] },
        { what: `the same, ${rawAtOnce} at a time`, unit: "1/s", samples: [rawInTurns] },
        { what: `${count} pods: create to Running`, unit: "1/s", samples: [full], peer },
        { what: "the agent while nothing happens, of one core", unit: "%", samples: [idle], goal: 1 },
        { what: "its resident memory", unit: "MB", samples: [memory], goal: 80 },
        { what: "log streaming, from the kubelet over TLS", unit: "MB/s", samples: logs, goal: 200 },
        ...exec,
      ],
    };
  } finally {
    runtime.close();
    await connection.close();
    await cluster.remove();
  }
}
