/** Cluster DNS: answers a second for names of Services, and how long each takes, over real UDP from another process. */
import { join } from "node:path";
import { namespaces, services } from "#api";
import { createWorld, runOk, silentLogger, VirtualClock } from "#base";
import { createClient, createInformers, FakeApi } from "#client";
import { startDns } from "#dns";
import { type Benchmark, percentile, type Row } from "../measure.ts";

const count = 1_000;
const seconds = 3;
const perSecond = 20_000;
const domain = "cluster.local";

export default async function bench(): Promise<Benchmark> {
  const world = createWorld({ log: silentLogger });
  const client = createClient(new FakeApi(new VirtualClock()));
  await client.create(namespaces, { metadata: { name: "bench" } });
  for (let i = 0; i < count; i++) {
    const address = `10.96.${i >> 8}.${i & 255}`;
    const spec = {
      clusterIP: address,
      clusterIPs: [address],
      ports: [{ port: 80, protocol: "TCP" as const }],
    };
    await client.create(services, { metadata: { namespace: "bench", name: `s${i}` }, spec });
  }
  const informers = createInformers(client, world);
  const stop = new AbortController();
  informers.start(stop.signal);
  const listen = { hosts: ["127.0.0.1"], port: 0 };
  const dns = await startDns({ world, informers, clusterDomain: domain, listen, nameservers: [] });
  const names = Array.from({ length: 100 }, (_, i) => `s${i * 7}.bench.svc.${domain}`);
  const ask = async (pace: string) => {
    const args = [join(import.meta.dirname, "client.ts"), String(dns.port), String(seconds), pace];
    return JSON.parse(await runOk(process.execPath, [...args, ...names])) as number[];
  };
  const rows: Row[] = [];
  for (const atOnce of [1, 16, 64]) {
    const latencies = await ask(String(atOnce));
    const cpu = `p99 ${percentile(latencies, 0.99).toFixed(1)} ms`;
    const samples = [latencies.length / seconds];
    const goal = atOnce === 64 ? { goal: 20_000 } : {};
    rows.push({ what: `answers, ${atOnce} questions at a time`, unit: "1/s", samples, note: cpu, ...goal });
  }
  // What a loaded node asks of it: how long that takes counts, not how long a queue can get.
  const paced = await ask(`every=${perSecond}`);
  rows.push({
    what: "p99 at 20,000 questions a second",
    unit: "ms",
    samples: [percentile(paced, 0.99)],
    goal: 3,
    note: `${Math.round(paced.length / seconds).toLocaleString("en")} answers a second`,
  });
  await dns.stop();
  stop.abort();
  return { title: "Cluster DNS: one process, the client in another", rows };
}
