/** Less important pods make room for more important ones. */
import { expect } from "vitest";
import { type corev1, pods, replicaSets } from "#api";
import { eventually, never } from "../../eventually.ts";
import { podTemplate } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import {
  consumer,
  openNode,
  type PodWishes,
  untilRunning,
  untilScheduled,
  withPriority,
  withResource,
} from "./nodes.ts";

function isPreempted(pod: corev1.Pod | undefined): boolean {
  return pod === undefined || pod.metadata.deletionTimestamp !== undefined;
}

/** Two thirds of what the node has are taken by a pod of low priority and, elsewhere, one of medium priority. */
async function occupied(given: Given) {
  const all = given.kube.resource(pods, given.namespace);
  const node = await openNode(given);
  const resource = await withResource(given, node, 5);
  const low = await withPriority(given, 1);
  const medium = await withPriority(given, 100);
  const run = async (wishes: Omit<PodWishes, "resource">) => {
    await all.create(consumer(given.image, { resource, ...wishes }));
    await untilRunning(given, wishes.name);
  };
  await run({ name: "low", amount: 2, priorityClassName: low });
  await run({ name: "medium", amount: 2, priorityClassName: medium });
  return { all, node, resource };
}

conformance(
  "scheduling-02f410",
  "A pod of high priority takes the place of one of low priority",
  async (given) => {
    const { all, node, resource } = await occupied(given);
    const high = await withPriority(given, 1_000);
    await all.create(consumer(given.image, { name: "high", resource, amount: 2, priorityClassName: high }));
    expect((await untilScheduled(given, "high")).spec.nodeName).toBe(node.metadata.name);
    await untilRunning(given, "high");
    expect(isPreempted(await all.find("low"))).toBe(true);
    expect(isPreempted(await all.find("medium"))).toBe(false);
  },
);

conformance("scheduling-b3bdb8", "A critical pod takes the place of one of low priority", async (given) => {
  const { all, resource } = await occupied(given);
  const name = given.unique("critical");
  const system = given.kube.resource(pods, "kube-system");
  const wishes = { name, resource, amount: 2, priorityClassName: "system-cluster-critical" };
  await system.create(consumer(given.image, wishes));
  given.afterwards(() => system.delete(name, { gracePeriodSeconds: 0 }));
  await system.until(name, ({ status }) => status?.phase === "Running");
  expect(isPreempted(await all.find("low"))).toBe(true);
  expect(isPreempted(await all.find("medium"))).toBe(false);
});

conformance("scheduling-ed63b1", "A pod that must make room says so in its conditions", async (given) => {
  const all = given.kube.resource(pods, given.namespace);
  const node = await openNode(given);
  const resource = await withResource(given, node, 1);
  const [low, high] = [await withPriority(given, 1), await withPriority(given, 1_000)];
  const finalizers = ["example.com/test-finalizer"];
  const victim = { name: "victim", resource, amount: 1, priorityClassName: low, finalizers };
  await all.create(consumer(given.image, victim));
  given.afterwards(async () => {
    if (await all.find("victim")) await all.patch("victim", "merge", { metadata: { finalizers: null } });
  });
  await untilRunning(given, "victim");
  await all.create(
    consumer(given.image, { name: "preemptor", resource, amount: 1, priorityClassName: high }),
  );
  const going = await all.until("victim", (pod) => isPreempted(pod));
  const condition = going.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
  expect(condition).toMatchObject({ status: "True", reason: "PreemptionByScheduler" });
  await all.patch("victim", "merge", { metadata: { finalizers: null } });
  await all.untilGone("victim");
});

conformance(
  "scheduling-cc830e",
  "Pods of ReplicaSets make room once each, and no more of them than must",
  async (given) => {
    const { kube, namespace, image } = given;
    const all = kube.resource(pods, namespace);
    const resource = await withResource(given, await openNode(given), 1_000);
    using watched = await all.watch();
    const sets = kube.resource(replicaSets, namespace);
    for (const [index, amount] of [200, 300, 450].entries()) {
      const name = `rs-pod${index + 1}`;
      const labels = { name };
      const template = podTemplate(image, labels);
      template.spec!.priorityClassName = await withPriority(given, index + 1);
      const quantities = { [resource]: String(amount) };
      template.spec!.containers![0]!.resources = { requests: quantities, limits: quantities };
      await sets.create({
        metadata: { name },
        spec: { replicas: 1, selector: { matchLabels: labels }, template },
      });
      await sets.until(name, ({ status }) => status?.availableReplicas === 1);
    }
    const priorityClassName = await withPriority(given, 4);
    await all.create(consumer(image, { name: "pod4", resource, amount: 500, priorityClassName }));
    await untilScheduled(given, "pod4");

    const seen = () =>
      ["rs-pod1", "rs-pod2", "rs-pod3"].map(
        (name) =>
          watched.events.filter(
            ({ type, object }) => type === "ADDED" && object.metadata.name?.startsWith(name),
          ).length,
      );
    // The first two have been put out once, and their ReplicaSets have made others.
    await eventually("the pods that were put out, again", async () =>
      JSON.stringify(seen()) === "[2,2,1]" ? true : undefined,
    );
    await never(
      "another pod put out",
      async () => (JSON.stringify(seen()) === "[2,2,1]" ? undefined : true),
      3_000,
    );
  },
);
