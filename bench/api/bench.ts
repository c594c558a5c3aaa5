/** The API server over TLS with its durable store: pod-sized objects created and read, and how long a watch lags. */
import { configMaps, pods } from "#api";
import type { Client } from "#client";
import { benchCluster } from "../cluster.ts";
import { type Benchmark, rate, repeat } from "../measure.ts";

const seconds = 5;
/** What a pod of a Deployment weighs on the wire, about 3 KB with its status. */
const ballast = "x".repeat(2600);

function pod(name: string) {
  return {
    metadata: { name, namespace: "default", annotations: { ballast } },
    // The gate keeps the scheduler and the simulated node out of what is measured.
    spec: {
      containers: [{ name: "c", image: "busybox:1.36" }],
      schedulingGates: [{ name: "example.com/bench" }],
    },
  };
}

/** Milliseconds from the acknowledgement of a write to its event. */
async function watchDelays(client: Client): Promise<number[]> {
  const seen = new Map<string, number>();
  const abort = new AbortController();
  const watching = (async () => {
    for await (const event of client.watch(configMaps, { namespace: "default", signal: abort.signal })) {
      seen.set(event.object.metadata.name, performance.now());
    }
  })().catch(() => {});
  const samples = await repeat(200, async (i) => {
    const start = performance.now();
    await client.create(configMaps, { metadata: { name: `w-${i}`, namespace: "default" }, data: { k: "v" } });
    while (!seen.has(`w-${i}`)) await new Promise((resolve) => setImmediate(resolve));
    return seen.get(`w-${i}`)! - start;
  });
  abort.abort();
  await watching;
  return samples;
}

export default async function bench(): Promise<Benchmark> {
  const cluster = await benchCluster("api", ["--simulate"]);
  const connections = await Promise.all(Array.from({ length: 4 }, () => cluster.connect()));
  const clientFor = (n: number) => connections[n % connections.length]!.client;
  try {
    const one = await rate(1, seconds, (n) => clientFor(0).create(pods, pod(`one-${n}`)));
    const creates = await rate(16, seconds, (n) => clientFor(n).create(pods, pod(`p-${n}`)));
    const many = await rate(256, seconds, (n) => clientFor(n).create(pods, pod(`m-${n}`)));
    const statuses = await rate(32, seconds, (n) =>
      clientFor(n).patch(
        pods,
        { namespace: "default", name: `p-${n % 1000}` },
        "strategic",
        { status: { message: `update ${n}` } },
        { subresource: "status" },
      ),
    );
    const gets = await rate(32, seconds, (n) =>
      clientFor(n).get(pods, { namespace: "default", name: `p-${n % 1000}` }),
    );
    const delays = await watchDelays(clientFor(0));
    return {
      title: "API server: 3 KB pods over TLS, durable store, the whole control plane running beside it",
      rows: [
        { what: "creates, 1 client", unit: "1/s", samples: one },
        { what: "creates, 16 in flight on 4 connections", unit: "1/s", samples: creates },
        { what: "creates, 256 in flight on 4 connections", unit: "1/s", samples: many },
        { what: "status patches, 32 in flight on 4 connections", unit: "1/s", samples: statuses },
        { what: "gets, 32 in flight on 4 connections", unit: "1/s", samples: gets },
        { what: "create sent to watch event received", unit: "ms", samples: delays },
      ],
    };
  } finally {
    await Promise.all(connections.map((connection) => connection.close()));
    await cluster.remove();
  }
}
