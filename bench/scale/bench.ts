/**
 * A whole cluster of simulated nodes in one process: how long it takes to stand, what it weighs full of pods, how it
 * answers meanwhile, and how quickly pods start while others come and go. `--whole`: 5,000 nodes and 150,000 pods.
 */
import { type corev1, type Draft, deployments, pods } from "#api";
import type { Client, Informers } from "#client";
import { Cluster } from "#distro";
import { type Benchmark, percentile, type Row, timed } from "../measure.ts";

interface Scale {
  nodes: number;
  held: number;
  rolled: number;
  churnSeconds: number;
}

const whole: Scale = { nodes: 5_000, held: 150_000, rolled: 10_000, churnSeconds: 60 };
const short: Scale = { nodes: 1_000, held: 10_000, rolled: 1_000, churnSeconds: 15 };
const churnPerSecond = 100;
const replicasPerDeployment = 1_000;
const namespace = "default";

function template(name: string, image: string): Draft<corev1.PodTemplateSpec> {
  const resources = { requests: { cpu: "10m", memory: "16Mi" } };
  return { metadata: { labels: { app: name } }, spec: { containers: [{ name: "c", image, resources }] } };
}

function deploy(client: Client, name: string, replicas: number) {
  const spec = { replicas, selector: { matchLabels: { app: name } }, template: template(name, "web:1") };
  return client.create(deployments, { metadata: { namespace, name }, spec });
}

/** Resolves once so many pods run that `wanted` says yes to. */
function running(informers: Informers, count: number, wanted: (pod: Readonly<corev1.Pod>) => boolean) {
  const seen = new Set<string>();
  const all = Promise.withResolvers<void>();
  const look = (pod: Readonly<corev1.Pod>) => {
    if (pod.status?.phase === "Running" && wanted(pod) && seen.add(pod.metadata.uid).size === count)
      all.resolve();
  };
  const end = informers.of(pods).on({ add: look, update: look });
  return all.promise.finally(end);
}

async function hold({ client, informers }: Cluster, count: number): Promise<number> {
  return timed(async () => {
    const done = running(
      informers,
      count,
      ({ metadata }) => metadata.labels?.app?.startsWith("held-") ?? false,
    );
    for (let i = 0; i * replicasPerDeployment < count; i++)
      await deploy(client, `held-${i}`, Math.min(replicasPerDeployment, count - i * replicasPerDeployment));
    await done;
  });
}

async function roll({ client, informers }: Cluster, replicas: number): Promise<number> {
  const isRolled = ({ metadata }: Readonly<corev1.Pod>) => metadata.labels?.app === "rolled";
  const standing = running(informers, replicas, isRolled);
  await deploy(client, "rolled", replicas);
  await standing;
  const finished = Promise.withResolvers<void>();
  const end = informers.of(deployments).on({
    update({ metadata, status }) {
      if (metadata.name !== "rolled" || status?.observedGeneration !== metadata.generation) return;
      if (
        status?.updatedReplicas === replicas &&
        status.availableReplicas === replicas &&
        status.replicas === replicas
      )
        finished.resolve();
    },
  });
  return timed(async () => {
    const patch = { spec: { template: template("rolled", "web:2") } };
    await client.patch(deployments, { namespace, name: "rolled" }, "strategic", patch);
    await finished.promise;
    end();
  });
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Creates and deletes pods at a steady pace; answers how long each took to run, and how long single requests took. */
async function churn({ client, informers }: Cluster, seconds: number) {
  const created = new Map<string, number>();
  const starts: number[] = [];
  const answers: number[] = [];
  const end = informers.of(pods).on({
    update({ metadata, status }) {
      const since = created.get(metadata.name);
      if (since === undefined || status.phase !== "Running") return;
      created.delete(metadata.name);
      starts.push(performance.now() - since);
    },
  });
  const ask = async (work: Promise<unknown>) => answers.push(await timed(() => work));
  const begin = performance.now();
  const work: Promise<unknown>[] = [];
  for (let i = 0; i < seconds * churnPerSecond; i++) {
    await sleep(Math.max(0, begin + (i * 1000) / churnPerSecond - performance.now()));
    const name = `churn-${i}`;
    created.set(name, performance.now());
    work.push(
      ask(client.create(pods, { metadata: { namespace, name }, spec: template(name, "web:1").spec! })),
    );
    work.push(ask(client.get(deployments, { namespace, name: "held-0" })));
    const old = `churn-${i - 5 * churnPerSecond}`;
    if (i >= 5 * churnPerSecond) work.push(ask(client.delete(pods, { namespace, name: old })));
  }
  await Promise.all(work);
  while (created.size > 0) await sleep(100);
  end();
  return { starts, answers };
}

function row(what: string, unit: Row["unit"], value: number, goal?: number): Row {
  return { what, unit, samples: [value], ...(goal === undefined ? {} : { goal }) };
}

export default async function bench(): Promise<Benchmark> {
  const scale = process.argv.includes("--whole") ? whole : short;
  const begin = performance.now();
  await using cluster = await Cluster.start({ listen: false, nodes: scale.nodes });
  const rows = [row(`${scale.nodes} nodes stand`, "ms", performance.now() - begin)];
  const heldMs = await hold(cluster, scale.held);
  rows.push(row(`from Deployments to ${scale.held} running pods`, "1/s", scale.held / (heldMs / 1000)));
  const { starts, answers } = await churn(cluster, scale.churnSeconds);
  rows.push(
    row(
      `${churnPerSecond} pods/s come and go: create to Running, p99`,
      "ms",
      percentile(starts, 0.99),
      5_000,
    ),
  );
  rows.push(row("requests for single objects meanwhile, p99", "ms", percentile(answers, 0.99), 1_000));
  rows.push(row(`a Deployment of ${scale.rolled} rolled`, "ms", await roll(cluster, scale.rolled)));
  rows.push(row("resident memory at the end", "MB", process.memoryUsage.rss() / 2 ** 20, 8_192));
  return { title: `${scale.nodes} simulated nodes with ${scale.held} pods, all in one process`, rows };
}
