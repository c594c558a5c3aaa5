/** A world for tests of controllers: a small API server, virtual time, a cluster's worth of objects. */
import {
  type appsv1,
  type batchv1,
  type corev1,
  type Draft,
  daemonSets,
  deployments,
  isStatus,
  jobs,
  type KubernetesObject,
  namespaces,
  nodes,
  pods,
  type ResourceType,
  services,
  statefulSets,
} from "#api";
import { createWorld, seededRandom, silentLogger, VirtualClock } from "#base";
import { type Client, createClient, createInformers, FakeApi } from "#client";
import { startControllers } from "../start-controllers.ts";

export interface TestWorld {
  clock: VirtualClock;
  metrics(): Promise<string>;
  api: FakeApi;
  client: Client;
  /** Runs the named controllers on frozen caches. */
  run(...only: string[]): Promise<{ stop(): Promise<void>; readonly idle: boolean }>;
  create<T extends KubernetesObject>(type: ResourceType<T>, draft: Draft<T>): Promise<T>;
  podsOf(namespace?: string): Promise<corev1.Pod[]>;
  /** Binds every pod and makes it Running and Ready. */
  startPods(): Promise<void>;
  /** Ends pods that are being deleted, as a node's agent does. */
  finishDeletions(): Promise<void>;
}

export function testWorld(): TestWorld {
  const clock = new VirtualClock();
  const world = createWorld({ clock, random: seededRandom(7), log: silentLogger });
  const api = new FakeApi(clock);
  const client = createClient(api);
  const podsOf = async (namespace = "default") => (await client.list(pods, { namespace })).items;
  return {
    clock,
    metrics: () => world.metrics.text(),
    api,
    client,
    async run(...only) {
      const stop = new AbortController();
      const informers = createInformers(client, world, { freeze: true });
      const controllers = await startControllers({ client, world, informers, only, rootCa: "-----PEM-----" });
      informers.start(stop.signal);
      return {
        get idle() {
          return controllers.idle;
        },
        async stop() {
          stop.abort();
          await controllers.stop();
        },
      };
    },
    create: (type, draft) => client.create(type, draft),
    podsOf,
    async startPods() {
      for (const pod of await podsOf()) await startPod(client, pod, clock.now()).catch(ignoreGone);
    },
    async finishDeletions() {
      for (const pod of await podsOf()) {
        if (pod.metadata.deletionTimestamp)
          await client.delete(pods, pod.metadata, { gracePeriodSeconds: 0 }).catch(ignoreGone);
      }
    },
  };
}

/** Controllers are at work meanwhile: a pod that was there a moment ago may be gone. */
function ignoreGone(error: unknown): void {
  if (!isStatus(error, "NotFound")) throw error;
}

let addresses = 0;

async function startPod(client: Client, pod: corev1.Pod, nowMs: number): Promise<void> {
  if (pod.metadata.deletionTimestamp || pod.status?.phase) return;
  if (!pod.spec.nodeName) await client.post(pods, pod.metadata, "binding", { target: { name: "node-1" } });
  const time = new Date(nowMs).toISOString().replace(".000", "");
  const status: Draft<corev1.PodStatus> = {
    phase: "Running",
    podIP: `10.244.0.${++addresses % 250}`,
    conditions: [{ type: "Ready", status: "True", lastTransitionTime: time }],
  };
  await client.patch(pods, pod.metadata, "merge", { status }, { subresource: "status" });
}

const template = {
  metadata: { labels: { app: "web" } },
  spec: { containers: [{ name: "c", image: "web:1", ports: [{ name: "http", containerPort: 8080 }] }] },
};

export function deploymentDraft(spec: Draft<appsv1.DeploymentSpec> = {}): Draft<appsv1.Deployment> {
  return {
    metadata: { namespace: "default", name: "web" },
    spec: {
      replicas: 3,
      selector: { matchLabels: { app: "web" } },
      template,
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
      progressDeadlineSeconds: 600,
      revisionHistoryLimit: 10,
      ...spec,
    },
  };
}

export function daemonSetDraft(spec: Draft<appsv1.DaemonSetSpec> = {}): Draft<appsv1.DaemonSet> {
  const labels = { app: "daemon" };
  return {
    metadata: { namespace: "default", name: "daemon" },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "daemon:1" }] } },
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
      revisionHistoryLimit: 10,
      ...spec,
    },
  };
}

export function statefulSetDraft(spec: Draft<appsv1.StatefulSetSpec> = {}): Draft<appsv1.StatefulSet> {
  const labels = { app: "db" };
  return {
    metadata: { namespace: "default", name: "db" },
    spec: {
      replicas: 3,
      serviceName: "db",
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "db:1" }] } },
      podManagementPolicy: "OrderedReady",
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0, maxUnavailable: 1 } },
      revisionHistoryLimit: 10,
      ...spec,
    },
  };
}

export function jobDraft(spec: Draft<batchv1.JobSpec> = {}): Draft<batchv1.Job> {
  return {
    metadata: { namespace: "default", name: "once" },
    spec: {
      parallelism: 1,
      completions: 1,
      backoffLimit: 6,
      selector: { matchLabels: { job: "once" } },
      template: {
        metadata: { labels: { job: "once" } },
        spec: { restartPolicy: "Never", containers: [{ name: "c", image: "job:1" }] },
      },
      ...spec,
    },
  };
}

/** One of everything that controllers look after. */
export async function populate({ create }: TestWorld): Promise<void> {
  await create(namespaces, { metadata: { name: "default" }, spec: { finalizers: ["kubernetes"] } });
  await create(nodes, {
    metadata: { name: "node-1", labels: { "topology.kubernetes.io/zone": "a" } },
    spec: {},
    status: { conditions: [{ type: "Ready", status: "True" }] },
  });
  await create(deployments, deploymentDraft());
  await create(daemonSets, daemonSetDraft());
  await create(statefulSets, statefulSetDraft());
  await create(jobs, jobDraft());
  await create(services, {
    metadata: { namespace: "default", name: "web" },
    spec: {
      selector: { app: "web" },
      ports: [{ name: "http", port: 80, targetPort: "http", protocol: "TCP" }],
    },
  });
}
