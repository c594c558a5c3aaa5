/**
 * The service proxy with 5,000 Services of four endpoints each: from nothing to the kernel, one changed endpoint, and what
 * the first packet of a connection pays for so many. Root and nft are needed: the rules are real.
 */
import { createServer } from "node:net";
import { join } from "node:path";
import { endpointSlices, nodes, pods, services } from "#api";
import { createWorld, runOk, silentLogger, VirtualClock } from "#base";
import { createClient, createInformers, FakeApi } from "#client";
import { removeProxy, startProxy } from "#proxy";
import { type Benchmark, repeat, timed } from "../measure.ts";

const clusterName = "bench-proxy";
const port = 18_080;
const address = "127.0.0.1";
const servicesMany = 5_000;
const endpointsEach = 4;
const changes = 30;
const rounds = 20;
const connectionsEach = 100;

const virtual = (i: number) => `10.199.${i >> 8}.${i & 255}`;

async function proxyOf(count: number) {
  const world = createWorld({ log: silentLogger });
  const api = new FakeApi(new VirtualClock());
  const client = createClient(api);
  await client.create(nodes, { metadata: { name: "bench" } });
  for (let i = 0; i < count; i++) {
    const name = `s${i}`;
    const spec = {
      clusterIP: virtual(i),
      clusterIPs: [virtual(i)],
      ports: [{ name: "web", port: 80, protocol: "TCP" as const, targetPort: port }],
    };
    await client.create(services, { metadata: { namespace: "bench", name }, spec });
    await client.create(endpointSlices, {
      metadata: { namespace: "bench", name, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: [{ name: "web", port, protocol: "TCP" }],
      endpoints: endpointsOf(i, 0),
    });
  }
  const informers = createInformers(client, world);
  const stop = new AbortController();
  informers.start(stop.signal);
  const caches = [informers.of(services), informers.of(endpointSlices), informers.of(nodes)];
  await Promise.all(caches.map((cache) => cache.waitForSync()));
  await informers.of(pods, { fieldSelector: "spec.nodeName=bench" }).waitForSync();
  const start = () =>
    startProxy({
      world,
      informers,
      clusterName,
      nodeName: "bench",
      nodeAddresses: ["192.0.2.200"],
      clusterCidrs: ["10.198.0.0/16"],
      podCidrs: ["10.198.0.0/24"],
    });
  return { client, informers, start, stop: () => stop.abort() };
}

/** The first Service leads to this process, so that connections succeed. */
function endpointsOf(service: number, round: number) {
  if (service === 0) return [{ addresses: [address], nodeName: "bench", conditions: { ready: true } }];
  return Array.from({ length: endpointsEach }, (_, e) => ({
    addresses: [`10.198.${(service + round) & 255}.${e * 60 + 1 + (round % 50)}`],
    nodeName: "bench",
    conditions: { ready: true },
  }));
}

/** From a process of its own: what 10,000 Services weigh in this one is nothing to its clients. */
async function connections(): Promise<number[]> {
  const args = [join(import.meta.dirname, "connect.ts"), virtual(0), String(rounds), String(connectionsEach)];
  return JSON.parse(await runOk(process.execPath, [...process.execArgv, ...args])) as number[];
}

const until = async (isDone: () => boolean) => {
  while (!isDone()) await new Promise((resolve) => setImmediate(resolve));
};

/** Every way to the first Service takes the same rules as to any other. */
async function firstPackets(count: number): Promise<{ sync: number; change: number[]; packets: number[] }> {
  const bench = await proxyOf(count);
  let proxy: Awaited<ReturnType<typeof bench.start>> | undefined;
  const sync = await timed(async () => {
    proxy = await bench.start();
  });
  const slices = bench.informers.of(endpointSlices);
  const change = await repeat(count > 1_000 ? changes : 0, (i) =>
    timed(async () => {
      const ref = { namespace: "bench", name: `s${i + 1}` };
      const written = await bench.client.patch(endpointSlices, ref, "merge", {
        endpoints: endpointsOf(i + 1, i + 1),
      });
      await until(
        () =>
          slices.byKey(`bench/${ref.name}`)?.metadata.resourceVersion === written.metadata.resourceVersion,
      );
      await proxy?.settled();
    }),
  );
  const packets = await connections();
  await proxy?.stop();
  bench.stop();
  await removeProxy(clusterName);
  return { sync, change, packets };
}

export default async function bench(): Promise<Benchmark> {
  const title = "Service proxy: nftables, four endpoints behind every Service";
  if (process.getuid?.() !== 0) return { title, rows: [] };
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  try {
    const few = await firstPackets(10);
    const many = await firstPackets(servicesMany);
    const most = await firstPackets(servicesMany * 2);
    return {
      title,
      rows: [
        { what: "5,000 Services, from nothing to the kernel", unit: "ms", samples: [many.sync], goal: 1_000 },
        {
          what: "one endpoint among 5,000 Services to the kernel",
          unit: "ms",
          samples: many.change,
          goal: 50,
        },
        {
          what: "processor time of 100 connections, one after the other, at 10,000 Services",
          unit: "ms",
          samples: most.packets,
          peer: { name: "at 10 Services", samples: few.packets },
        },
      ],
    };
  } finally {
    server.close();
  }
}
