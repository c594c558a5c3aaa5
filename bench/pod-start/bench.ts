/** A pod from `create` to Running with its image present, beside the same pod made by containerd alone. */
import { pods } from "#api";
import { systemClock } from "#base";
import type { Client } from "#client";
import type { ContainerConfig, ContainerRuntime, PodSandboxConfig } from "#contracts";
import { connectRuntime, containerdPaths } from "#runtime";
import { type BenchCluster, benchCluster } from "../cluster.ts";
import { type Benchmark, median, repeat, timed } from "../measure.ts";

const runs = 15;
const image = "busybox:1.36";

async function throughKubernetes(client: Client, i: number): Promise<number> {
  const name = `start-${i}`;
  const list = await client.list(pods, { namespace: "default" });
  const abort = new AbortController();
  const watching = client.watch(pods, {
    namespace: "default",
    fieldSelector: `metadata.name=${name}`,
    resourceVersion: list.metadata.resourceVersion,
    signal: abort.signal,
  });
  const elapsed = await timed(async () => {
    await client.create(pods, {
      metadata: { name, namespace: "default" },
      spec: {
        containers: [{ name: "c", image, command: ["sleep", "1000"] }],
        terminationGracePeriodSeconds: 0,
      },
    });
    for await (const event of watching) {
      if (event.type !== "BOOKMARK" && event.type !== "DELETED" && event.object.status.phase === "Running")
        break;
    }
  });
  abort.abort();
  await client.delete(pods, { namespace: "default", name }, { gracePeriodSeconds: 0 });
  return elapsed;
}

const namespaceOptions = { network: "POD", pid: "CONTAINER", ipc: "POD" } as const;

/** In the cluster's own cgroup, which goes with it. */
function sandboxConfig(cluster: BenchCluster, i: number): PodSandboxConfig {
  return {
    metadata: { name: `raw-${i}`, uid: `raw-${i}`, namespace: "bench", attempt: 0 },
    hostname: "raw",
    logDirectory: cluster.paths.podLogs,
    portMappings: [],
    labels: {},
    annotations: {},
    linux: { cgroupParent: `/knarr-${cluster.name}/bench`, securityContext: { namespaceOptions } },
  };
}

function containerConfig(i: number): ContainerConfig {
  return {
    metadata: { name: "c", attempt: 0 },
    image: { image },
    command: ["sleep", "1000"],
    args: [],
    workingDir: "",
    envs: [],
    mounts: [],
    logPath: `raw-${i}.log`,
    labels: {},
    annotations: {},
    stdin: false,
    stdinOnce: false,
    tty: false,
    linux: { resources: {}, securityContext: { namespaceOptions } },
  };
}

/** The three calls a kubelet cannot do without. */
async function throughContainerd(
  runtime: ContainerRuntime,
  cluster: BenchCluster,
  i: number,
): Promise<number> {
  const sandbox = sandboxConfig(cluster, i);
  let id = "";
  const elapsed = await timed(async () => {
    id = await runtime.runPodSandbox(sandbox);
    await runtime.startContainer(await runtime.createContainer(id, containerConfig(i), sandbox));
  });
  await runtime.stopPodSandbox(id);
  await runtime.removePodSandbox(id);
  return elapsed;
}

export default async function bench(): Promise<Benchmark> {
  const cluster = await benchCluster("pods", []);
  await cluster.knarr("image", "busybox", "--name", cluster.name);
  const connection = await cluster.connect();
  const runtime = connectRuntime({
    socketPath: containerdPaths(cluster.paths.containerd).socket,
    clock: systemClock,
  });
  try {
    const raw = await repeat(runs, (i) => throughContainerd(runtime, cluster, i));
    const full = await repeat(runs, (i) => throughKubernetes(connection.client, i));
    return {
      title: "Pod start, image present",
      rows: [
        { what: "containerd alone: sandbox, create, start", unit: "ms", samples: raw },
        {
          what: "create to Running",
          unit: "ms",
          samples: full,
          peer: { name: "containerd alone", samples: raw },
        },
        { what: "difference", unit: "ms", samples: full.map((ms) => ms - median(raw)), goal: 150 },
      ],
    };
  } finally {
    runtime.close();
    await connection.close();
    await cluster.remove();
  }
}
