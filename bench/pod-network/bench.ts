/** From a pod of one node to a pod of another, beside the bare cable between the two nodes. As root: the pods are real. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pods } from "#api";
import { runOk } from "#base";
import type { Client } from "#client";
import { benchCluster } from "../cluster.ts";
import type { Benchmark } from "../measure.ts";

const rounds = 6;
/** The first half a second belongs to the start of the processes. */
const samplesEach = 5;
const stream = join(import.meta.dirname, "stream.ts");

interface Place {
  /** A file that stands for the network namespace. */
  namespace: string;
  address: string;
}

function startIn({ namespace }: Place, ...args: string[]): ChildProcess {
  const command = [`--net=${namespace}`, process.execPath, ...process.execArgv, stream, ...args];
  return spawn("nsenter", command, { stdio: ["ignore", "pipe", "inherit"] });
}

/** Megabytes a second, from one place to the other. */
async function megabytes(from: Place, to: Place): Promise<number[]> {
  const receiver = startIn(to, "receive", to.address);
  const lines = createInterface({ input: receiver.stdout! })[Symbol.asyncIterator]();
  const { value: port } = (await lines.next()) as { value: string };
  const sender = startIn(from, "send", to.address, port);
  const samples: number[] = [];
  try {
    while (samples.length <= samplesEach) samples.push(Number((await lines.next()).value));
  } finally {
    sender.kill("SIGKILL");
    receiver.kill("SIGKILL");
  }
  return samples.slice(1);
}

async function podOn(client: Client, nodeName: string): Promise<Place> {
  const ref = { namespace: "default", name: `on-${nodeName}` };
  const containers = [{ name: "c", image: "busybox:1.36", command: ["sleep", "1000"] }];
  await client.create(pods, {
    metadata: ref,
    spec: { nodeName, containers, terminationGracePeriodSeconds: 0 },
  });
  for (;;) {
    const { metadata, status } = await client.get(pods, ref);
    if (status.phase === "Running" && status.podIP) {
      const where = ["/sys/fs/cgroup", "-path", `*pod${metadata.uid}*`, "-name", "cgroup.procs"];
      const pids = await runOk("find", [...where, "-exec", "cat", "{}", "+"]);
      return { namespace: `/proc/${pids.trim().split("\n")[0]}/ns/net`, address: status.podIP };
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export default async function bench(): Promise<Benchmark> {
  const title = "Pod network: one TCP stream between two nodes of a machine";
  if (process.getuid?.() !== 0) return { title, rows: [] };
  const cluster = await benchCluster("stream", ["--nodes", "2"]);
  await cluster.knarr("image", "busybox", "--name", cluster.name);
  const connection = await cluster.connect();
  try {
    const { nodeName, slot } = cluster.config;
    const near = await podOn(connection.client, nodeName);
    const far = await podOn(connection.client, `${nodeName}-2`);
    const machine = { namespace: "/proc/self/ns/net", address: `198.19.${slot}.1` };
    const node = { namespace: `/run/netns/knarr-${cluster.name}-2`, address: `198.19.${slot}.2` };
    const samples: number[] = [];
    const bare: number[] = [];
    for (let i = 0; i < rounds; i++) {
      bare.push(...(await megabytes(machine, node)));
      samples.push(...(await megabytes(near, far)));
    }
    const peer = { name: "the cable between the nodes alone", samples: bare };
    return { title, rows: [{ what: "pod to pod across nodes", unit: "MB/s", samples, peer }] };
  } finally {
    await connection.close();
    await cluster.remove();
  }
}
