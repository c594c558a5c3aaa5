/** What the scheduler promises, in random histories: no node ever holds more than it can, and nobody waits for nothing. */
import { expect, test } from "vitest";
import { type corev1, type Draft, nodes, pods, quantityMilliValue } from "#api";
import { startScheduler } from "#scheduler";
import { History, nodeNames, type Pod, play, seeds } from "./history.ts";

const file = "scheduling.test.ts";
const histories = seeds(12);
const nodeCpus = 8;
const hostname = "kubernetes.io/hostname";
const apart = { group: "apart" };

const cpusOf = ({ spec }: Pod) =>
  quantityMilliValue(spec.containers[0]?.resources?.requests?.cpu ?? "0") / 1000;
const portOf = ({ spec }: Pod) => spec.containers[0]?.ports?.[0]?.hostPort;
const isApart = ({ metadata }: Pod) => metadata.labels?.group === apart.group;

function randomPod(history: History, name: string): Draft<Pod> {
  const { random } = history;
  const staysApart = history.chance(0.2);
  const term = { topologyKey: hostname, labelSelector: { matchLabels: apart } };
  const hostPort = history.chance(0.2) ? 8000 + random.int(2) : undefined;
  return {
    metadata: { namespace: "default", name, labels: staysApart ? apart : {} },
    spec: {
      schedulerName: "default-scheduler",
      priority: history.chance(0.3) ? 10 : 0,
      ...(history.chance(0.2) ? { nodeSelector: { [hostname]: history.pick(nodeNames)! } } : {}),
      ...(staysApart
        ? { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } } }
        : {}),
      containers: [
        {
          name: "c",
          image: "c",
          resources: { requests: { cpu: String(1 + random.int(3)) } },
          ...(hostPort ? { ports: [{ containerPort: hostPort, hostPort }] } : {}),
        },
      ],
    },
  };
}

/** What cannot be, of the pods on one node; undefined: all is well. */
function wrongWith(here: readonly Pod[], node: string): string | undefined {
  const cpus = here.reduce((sum, pod) => sum + cpusOf(pod), 0);
  if (cpus > nodeCpus) return `${cpus} CPUs are asked of ${node}`;
  const ports = here.flatMap((pod) => portOf(pod) ?? []);
  if (new Set(ports).size < ports.length) return `a port of ${node} is taken twice`;
  if (here.filter(isApart).length > 1) return `pods that stay apart are together on ${node}`;
  const lost = here.find(({ spec }) => (spec.nodeSelector?.[hostname] ?? node) !== node);
  return lost && `${lost.metadata.name} is on ${node}, which it did not choose`;
}

const on = (all: readonly Pod[], node: string) => all.filter(({ spec }) => spec.nodeName === node);

async function addNode({ client }: History, name: string): Promise<void> {
  const allocatable = { cpu: String(nodeCpus), memory: "32Gi", pods: "110" };
  const status = { allocatable, capacity: allocatable, conditions: [{ type: "Ready", status: "True" }] };
  await client.create(nodes, { metadata: { name, labels: { [hostname]: name } }, spec: {}, status });
}

/** People and nodes: pods come and go, nodes too. */
async function happen(history: History, turn: number): Promise<void> {
  const { client } = history;
  if (history.chance(0.7)) await client.create(pods, randomPod(history, `p-${turn}`));
  const all = await history.list(pods);
  if (history.chance(0.15)) {
    const pod = history.pick(all.filter(({ metadata }) => !metadata.deletionTimestamp));
    if (pod) await history.remove(pod, { gracePeriodSeconds: history.chance(0.5) ? 0 : 30 });
  }
  // Kubelets take their time to let go of a pod.
  for (const pod of all)
    if (pod.metadata.deletionTimestamp && history.chance(0.3))
      await history.remove(pod, { gracePeriodSeconds: 0 });
  if (!history.chance(0.04)) return;
  const { items } = await client.list(nodes);
  const gone = nodeNames.find((name) => !items.some(({ metadata }) => metadata.name === name));
  if (gone) return addNode(history, gone);
  const node = history.pick(items)!;
  await client.delete(nodes, node.metadata);
  for (const pod of on(await history.list(pods), node.metadata.name))
    await history.remove(pod, { gracePeriodSeconds: 0 });
}

test("no node holds more than it can at any write, and in the end only those wait for whom there is no room", async () => {
  for (const seed of histories)
    await play(file, seed, async (random) => {
      const history = new History({
        random,
        controllers: (parts) => startScheduler(parts),
        async check(past) {
          const all = (await past.list(pods)) as corev1.Pod[];
          for (const { metadata } of (await past.client.list(nodes)).items)
            expect(wrongWith(on(all, metadata.name), metadata.name)).toBeUndefined();
        },
      });
      await history.begin();
      for (const name of nodeNames) {
        await history.client.delete(nodes, { name });
        await addNode(history, name);
      }
      for (let turn = 0; turn < 80; turn++) {
        await happen(history, turn);
        await history.step();
      }
      await history.calmDown();
      for (let i = 0; i < 80; i++) {
        for (const pod of await history.list(pods))
          if (pod.metadata.deletionTimestamp) await history.remove(pod, { gracePeriodSeconds: 0 });
        await history.step(15_000);
      }
      const all = await history.list(pods);
      for (const waiting of all.filter(({ spec }) => !spec.nodeName))
        for (const { metadata } of (await history.client.list(nodes)).items) {
          const would = [...on(all, metadata.name), waiting];
          expect([waiting.metadata.name, wrongWith(would, metadata.name)]).toEqual([
            waiting.metadata.name,
            expect.any(String),
          ]);
        }
      await history.end();
    });
});
