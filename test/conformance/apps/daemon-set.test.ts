/** DaemonSet: one pod on every node that fits, and how they follow template, labels and failures. */
import { expect } from "vitest";
import { type appsv1, controllerRevisions, type corev1, type Draft, daemonSets, nodes, pods } from "#api";
import { podTemplate, sleeper } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import { isActive, isOwnedBy, isReady, missingImage, podsOf, untilPods, workerNodes } from "./workloads.ts";

const labels = { app: "sample" };

function create(given: Given, spec: Draft<appsv1.DaemonSetSpec> = {}): Promise<appsv1.DaemonSet> {
  const { kube, namespace, image } = given;
  const template = podTemplate(image, labels);
  return kube.resource(daemonSets, namespace).create({
    metadata: { name: "sample" },
    spec: { selector: { matchLabels: labels }, template, ...spec },
  });
}

/** One ready pod on each of these nodes, and none elsewhere. */
async function untilOnEach(
  { kube }: Given,
  owner: appsv1.DaemonSet,
  wanted: readonly corev1.Node[],
): Promise<corev1.Pod[]> {
  const names = wanted.map(({ metadata }) => metadata.name).sort();
  return untilPods(kube, owner, "a ready pod on each node", (all) => {
    const serving = all.filter((pod) => isActive(pod) && isReady(pod)).map(({ spec }) => spec.nodeName);
    return all.filter(isActive).length === names.length && String(serving.sort()) === String(names);
  });
}

conformance(
  "apps-7ef199",
  "A DaemonSet has a pod on every node, again after it is deleted",
  async (given) => {
    const { kube, namespace } = given;
    const workers = await workerNodes(kube);
    const owner = await create(given);
    const [victim] = await untilOnEach(given, owner, workers);
    await kube.resource(pods, namespace).delete(victim!.metadata.name);
    await kube.resource(pods, namespace).untilGone(victim!.metadata.name);
    await untilOnEach(given, owner, workers);
  },
);

conformance("apps-1ea125", "A DaemonSet replaces a pod that has failed", async (given) => {
  const { kube, namespace } = given;
  const workers = await workerNodes(kube);
  const owner = await create(given);
  const [victim] = await untilOnEach(given, owner, workers);
  const all = kube.resource(pods, namespace);
  const { name } = victim!.metadata;
  await all.patch(name, "merge", { status: { phase: "Failed" } }, "status");
  await all.untilGone(name);
  await untilOnEach(given, owner, workers);
});

conformance(
  "apps-f525aa",
  "A DaemonSet with a node selector follows the labels of nodes",
  async (given) => {
    const { kube, namespace } = given;
    const key = `conformance.example.com/${namespace}`;
    const [node] = await workerNodes(kube);
    const colour = (value: string | null) =>
      kube.resource(nodes).patch(node!.metadata.name, "merge", { metadata: { labels: { [key]: value } } });
    const template = podTemplate(given.image, labels);
    template.spec!.nodeSelector = { [key]: "blue" };
    const owner = await create(given, { template });
    const sets = kube.resource(daemonSets, namespace);
    await sets.until("sample", ({ status }) => status?.observedGeneration === 1);
    expect(await podsOf(kube, owner)).toEqual([]);
    given.afterwards(() => colour(null));
    await colour("blue");
    await untilOnEach(given, owner, [node!]);
    await colour("green");
    await untilPods(kube, owner, "no pod", (all) => all.length === 0);
    await sets.update("sample", ({ spec }) => {
      spec.template.spec!.nodeSelector = { [key]: "green" };
      spec.updateStrategy = { type: "RollingUpdate" };
    });
    await untilOnEach(given, owner, [node!]);
  },
  { serial: true },
);

conformance("apps-c9fa3f", "A DaemonSet with RollingUpdate replaces its pods", async (given) => {
  const { kube, namespace, image } = given;
  const workers = await workerNodes(kube);
  const owner = await create(given, { updateStrategy: { type: "RollingUpdate" } });
  const before = await untilOnEach(given, owner, workers);
  const sets = kube.resource(daemonSets, namespace);
  const env = [{ name: "VERSION", value: "2" }];
  const patch = { spec: { template: { spec: { containers: [{ name: "main", image, env }] } } } };
  await sets.patch("sample", "strategic", patch);
  await untilPods(kube, owner, "only new pods", (all) =>
    all.every(({ spec }) => spec.containers[0]?.env?.[0]?.value === "2"),
  );
  const after = await untilOnEach(given, owner, workers);
  const hash = (pod: corev1.Pod) => pod.metadata.labels?.["controller-revision-hash"];
  expect(hash(after[0]!)).not.toBe(hash(before[0]!));
  const { items } = await kube.resource(controllerRevisions, namespace).list();
  const revisions = items.filter((each) => isOwnedBy(each, owner)).map(({ revision }) => revision);
  expect(revisions.sort()).toEqual([1, 2]);
});

conformance(
  "apps-225839",
  "A DaemonSet that is rolled back leaves alone the pods that were not replaced yet",
  async (given) => {
    const { kube, namespace, image } = given;
    const workers = await workerNodes(kube);
    // On a single node only a surge leaves a pod in place.
    const rollingUpdate = workers.length > 1 ? { maxUnavailable: 1 } : { maxUnavailable: 0, maxSurge: 1 };
    const owner = await create(given, { updateStrategy: { type: "RollingUpdate", rollingUpdate } });
    await untilOnEach(given, owner, workers);
    const sets = kube.resource(daemonSets, namespace);
    const use = (wanted: string) =>
      sets.update("sample", ({ spec }) => {
        spec.template.spec!.containers[0] = sleeper(wanted) as corev1.Container;
      });
    await use(missingImage);
    const isBroken = ({ spec }: corev1.Pod) => spec.containers[0]?.image === missingImage;
    const amid = await untilPods(kube, owner, "a pod that cannot start", (all) => all.some(isBroken));
    const untouched = amid.filter((pod) => !isBroken(pod) && isActive(pod));
    expect(untouched.length).toBeGreaterThan(0);
    await use(image);
    await untilPods(kube, owner, "no broken pod", (all) => !all.some(isBroken));
    const after = new Map(
      (await untilOnEach(given, owner, workers)).map((pod) => [pod.metadata.uid, pod] as const),
    );
    for (const { metadata } of untouched) {
      const pod = after.get(metadata.uid);
      expect(pod?.status?.containerStatuses?.[0]?.restartCount).toBe(0);
    }
  },
);
