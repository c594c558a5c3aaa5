/**
 * Runs one workload as upstream does: store, API server and scheduler in one process, nodes that are only objects, and
 * neither controllers nor kubelets.
 */

import {
  type corev1,
  type Draft,
  namespaces as namespaceResource,
  nodes,
  pods,
  priorityClasses,
  serviceAccounts,
  services,
} from "#api";
import { startApiServer } from "#apiserver";
import { createWorld, silentLogger } from "#base";
import { type Client, createClient, createInformers, type Informers } from "#client";
import { startScheduler } from "#scheduler";
import { openEmbeddedStore } from "#store";
import { createCredentials } from "../../src/distro/credentials.ts";
import { importantClass, namespaces, nodeCount, type Pods, tooLarge, type Workload } from "./workloads.ts";

const inFlight = 64;
const churnMs = 1_000;
const arrivalMs = 200;

interface Cluster extends AsyncDisposable {
  client: Client;
  informers: Informers;
}

async function startCluster(): Promise<Cluster> {
  const world = createWorld({ log: silentLogger });
  const store = await openEmbeddedStore({ memory: true, world });
  const names = { nodeName: "localhost", nodeAddress: "127.0.0.1", serviceAddress: "10.96.0.1" };
  const credentials = await createCredentials(world, names);
  const apiServer = await startApiServer({
    world,
    store,
    tls: credentials.server,
    clientCa: credentials.ca.cert,
    serviceCidrs: ["10.96.0.0/16"],
    nodePortRange: { from: 30000, to: 32767 },
    advertiseAddress: "127.0.0.1",
    serviceAccountKey: credentials.serviceAccountKey,
    issuer: "https://kubernetes.default.svc",
    tokens: [],
    kubeletClient: { ...credentials.kubeletClient, ca: credentials.ca.cert },
  });
  const clientOf = (username: string, groups: string[] = []) =>
    createClient(apiServer.transport({ username, groups }), { userAgent: username });
  const client = clientOf("bench", ["system:masters"]);
  const informers = createInformers(client, world);
  const ending = new AbortController();
  informers.start(ending.signal);
  const scheduler = await startScheduler({ client: clientOf("system:kube-scheduler"), world, informers });
  for (const name of Object.values(namespaces)) {
    await client.create(namespaceResource, { metadata: { name } });
    await client.create(serviceAccounts, { metadata: { namespace: name, name: "default" } });
  }
  return {
    client,
    informers,
    async [Symbol.asyncDispose]() {
      ending.abort();
      await scheduler.stop();
      await apiServer.stop();
      await store.close();
    },
  };
}

async function many(count: number, make: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const one = async () => {
    for (let index = next++; index < count; index = next++) await make(index);
  };
  await Promise.all(Array.from({ length: inFlight }, one));
}

async function createNode({ client }: Cluster, name: string, labels: Record<string, string>): Promise<void> {
  const own = { "kubernetes.io/hostname": name, ...labels };
  const capacity = { cpu: "4", memory: "32Gi", pods: "110" };
  const conditions = [{ type: "Ready", status: "True" }];
  // As the kubelet makes them: with what they have; upstream's test nodes too are ready from the first.
  await client.create(nodes, {
    metadata: { name, labels: own },
    status: { capacity, allocatable: capacity, conditions },
  });
}

/** Creates pods and waits until the API says that all have a node. */
async function scheduled(
  { client, informers }: Cluster,
  namespace: string,
  { count, pod }: Pods,
): Promise<void> {
  const all = Promise.withResolvers<void>();
  const seen = new Set<string>();
  const end = informers.of(pods).on({
    update({ metadata, spec }) {
      const { name } = metadata;
      const isOurs = metadata.namespace === namespace && name.startsWith("pod-");
      if (isOurs && spec.nodeName && seen.add(name).size === count) all.resolve();
    },
  });
  await many(count, (index) => {
    const draft = pod();
    return client.create(pods, {
      ...draft,
      metadata: { ...draft.metadata, namespace, name: `pod-${index}` },
    });
  });
  await all.promise;
  end();
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function arrive({ client }: Cluster, pod: Pods["pod"], signal: AbortSignal): Promise<void> {
  for (let index = 0; ; index++) {
    await pause(arrivalMs);
    if (signal.aborted) return;
    const draft = pod();
    const name = `arriving-${index}`;
    await client.create(pods, {
      ...draft,
      metadata: { ...draft.metadata, namespace: namespaces.measured, name },
    });
  }
}

async function churn({ client }: Cluster, signal: AbortSignal): Promise<void> {
  const namespace = namespaces.measured;
  const service: Draft<corev1.ServiceSpec> = {
    selector: { app: "foo" },
    ports: [{ port: 8080, protocol: "TCP" }],
  };
  for (let round = 0; !signal.aborted; round++) {
    const name = `churn-${round}`;
    await client.create(nodes, { metadata: { name }, status: { capacity: { pods: "0" } } });
    await client.create(pods, { ...tooLarge(), metadata: { namespace, name } });
    await client.create(services, { metadata: { namespace, name }, spec: service });
    await pause(churnMs);
    await client.delete(services, { namespace, name });
    await client.delete(pods, { namespace, name });
    await client.delete(nodes, { name });
    await pause(churnMs);
  }
}

export interface Measured {
  /** Pods a second, from the first request until the last pod has its node. */
  rate: number;
  /** Of this process for one pod, in microseconds: what a machine that has more to do leaves as it is. */
  cpuMicros: number;
}

export async function measure(workload: Workload): Promise<Measured> {
  await using cluster = await startCluster();
  await cluster.client.create(priorityClasses, importantClass);
  const labels = (index: number) => workload.nodeLabels?.(index) ?? {};
  await many(nodeCount, (index) => createNode(cluster, `node-${index}`, labels(index)));
  if (workload.initial) await scheduled(cluster, namespaces.initial, workload.initial);
  const stop = new AbortController();
  const beside = [
    workload.arriving && arrive(cluster, workload.arriving, stop.signal),
    workload.churns && churn(cluster, stop.signal),
  ];
  const { count } = workload.measured;
  const cpu = process.cpuUsage();
  const start = performance.now();
  await scheduled(cluster, namespaces.measured, workload.measured);
  const rate = count / ((performance.now() - start) / 1000);
  const { user, system } = process.cpuUsage(cpu);
  stop.abort();
  await Promise.all(beside);
  return { rate, cpuMicros: Math.round((user + system) / count) };
}
