/** A pod from `create` to Running with its image present, beside the same pod made by containerd alone. */
import { pods } from "#api";
import { systemClock } from "#base";
import type { Client } from "#client";
import { connectRuntime, containerdPaths } from "#runtime";
import { benchCluster } from "../cluster.ts";
import { type Benchmark, median, percentile, repeat, timed } from "../measure.ts";
import { removeRawPod, startRawPod } from "../raw-pod.ts";

/** The slowest of so few is what they call p99 here. */
const runs = 30;
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

export default async function bench(): Promise<Benchmark> {
  const cluster = await benchCluster("pods", []);
  await cluster.knarr("image", "busybox", "--name", cluster.name);
  const connection = await cluster.connect();
  const runtime = connectRuntime({
    socketPath: containerdPaths(cluster.paths.containerd).socket,
    clock: systemClock,
  });
  const place = { cgroupParent: `/knarr-${cluster.name}/bench`, logDirectory: cluster.paths.podLogs };
  const throughContainerd = async (i: number) => {
    let id = "";
    const elapsed = await timed(async () => {
      id = await startRawPod(runtime, place, `raw-${i}`);
    });
    await removeRawPod(runtime, id);
    return elapsed;
  };
  try {
    const raw = await repeat(runs, throughContainerd);
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
        { what: "difference", unit: "ms", samples: full.map((ms) => ms - median(raw)), goal: 120 },
        {
          what: "the slowest: create to Running",
          unit: "ms",
          samples: [percentile(full, 1)],
          goal: 2 * percentile(raw, 1),
          peer: { name: "the slowest of containerd alone", samples: [percentile(raw, 1)] },
        },
      ],
    };
  } finally {
    runtime.close();
    await connection.close();
    await cluster.remove();
  }
}
