/** From Deployments to running pods on simulated nodes: API server, controllers, scheduler and nodes in one process. */
import { deployments, pods } from "#api";
import { Cluster } from "#distro";
import { type Benchmark, repeat } from "../measure.ts";

const podsPerRun = 1000;
const deploymentsPerRun = 10;
const runs = 3;

/** Pods a second, from the first request until the last pod runs. */
async function podsPerSecond(nodes: number): Promise<number> {
  await using cluster = await Cluster.start({ listen: false, nodes });
  const { client, informers } = cluster;
  const running = Promise.withResolvers<void>();
  const seen = new Set<string>();
  informers.of(pods).on({
    update(pod) {
      if (pod.status.phase === "Running" && seen.add(pod.metadata.uid).size === podsPerRun) running.resolve();
    },
  });
  const start = performance.now();
  for (let i = 0; i < deploymentsPerRun; i++) {
    const labels = { app: `web-${i}` };
    const resources = { requests: { cpu: "10m", memory: "16Mi" } };
    const template = {
      metadata: { labels },
      spec: { containers: [{ name: "c", image: "web:1", resources }] },
    };
    const spec = { replicas: podsPerRun / deploymentsPerRun, selector: { matchLabels: labels }, template };
    await client.create(deployments, { metadata: { namespace: "default", name: `web-${i}` }, spec });
  }
  await running.promise;
  return podsPerRun / ((performance.now() - start) / 1000);
}

export default async function bench(): Promise<Benchmark> {
  const rows = [];
  for (const nodes of [10, 100, 1000]) {
    const samples = await repeat(runs, () => podsPerSecond(nodes));
    rows.push({ what: `pods running, ${nodes} nodes`, unit: "1/s" as const, samples });
  }
  return { title: `From Deployments to ${podsPerRun} running pods, on simulated nodes`, rows };
}
