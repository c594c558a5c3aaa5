/** Deployment: how the old pods give way to the new ones, however often and whenever the template or the size changes. */
import { expect } from "vitest";
import { type appsv1, type Draft, deployments, pods, replicaSets } from "#api";
import { eventually } from "../../eventually.ts";
import type { Kube } from "../kube.ts";
import { podSpec, podTemplate, sleeper } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import { isOwnedBy, missingImage, podsOf } from "./workloads.ts";

const labels = { app: "sample" };
const selector = { matchLabels: labels };
const revisionAnnotation = "deployment.kubernetes.io/revision";

function create(
  { kube, namespace, image }: Given,
  spec: Draft<appsv1.DeploymentSpec>,
): Promise<appsv1.Deployment> {
  return kube.resource(deployments, namespace).create({
    metadata: { name: "sample" },
    spec: { selector, template: podTemplate(image, labels), ...spec },
  });
}

/** The rollout of what was asked for last is over. */
function untilComplete({ kube, namespace }: Given): Promise<appsv1.Deployment> {
  return kube.resource(deployments, namespace).until("sample", ({ metadata, spec, status }) => {
    const counts = [status?.replicas, status?.updatedReplicas, status?.availableReplicas];
    return (
      status?.observedGeneration === metadata.generation && counts.every((count) => count === spec.replicas)
    );
  });
}

async function setsOf(kube: Kube, owner: appsv1.Deployment): Promise<appsv1.ReplicaSet[]> {
  const { items } = await kube.resource(replicaSets, owner.metadata.namespace).list();
  return items.filter((set) => isOwnedBy(set, owner));
}

function changeImage({ kube, namespace }: Given, image: string): Promise<appsv1.Deployment> {
  return kube.resource(deployments, namespace).update("sample", ({ spec }) => {
    spec.template.spec!.containers[0]!.image = image;
  });
}

/** Another template that runs just as well. */
function changeEnvironment({ kube, namespace }: Given, value: string): Promise<appsv1.Deployment> {
  return kube.resource(deployments, namespace).update("sample", ({ spec }) => {
    spec.template.spec!.containers[0]!.env = [{ name: "VERSION", value }];
  });
}

conformance(
  "apps-ac2e40",
  "A Deployment with strategy Recreate ends all old pods before it makes new ones",
  async (given) => {
    const { kube, namespace } = given;
    const deployment = await create(given, { replicas: 1, strategy: { type: "Recreate" } });
    await untilComplete(given);
    const [before] = await setsOf(kube, deployment);
    const old = before?.metadata.labels?.["pod-template-hash"];
    expect(before?.metadata.annotations?.[revisionAnnotation]).toBe("1");
    const podResource = kube.resource(pods, namespace);
    const { metadata } = await podResource.list();
    using watched = await podResource.watch({ resourceVersion: metadata.resourceVersion ?? "" });
    await changeEnvironment(given, "2");
    await untilComplete(given);
    const isOld = (object: { metadata: { labels?: Record<string, string> } }) =>
      object.metadata.labels?.["pod-template-hash"] === old;
    await watched.next("DELETED", isOld);
    const running = (type: string, wanted: boolean) =>
      watched.events.findIndex(
        ({ type: seen, object }) =>
          seen === type && isOld(object) === wanted && (wanted || object.status?.phase === "Running"),
      );
    expect(running("MODIFIED", false)).toBeGreaterThan(running("DELETED", true));
    const newest = (await setsOf(kube, deployment)).find((set) => !isOld(set));
    expect(newest?.metadata.annotations?.[revisionAnnotation]).toBe("2");
  },
);

conformance(
  "apps-00b8bc",
  "A Deployment takes over a ReplicaSet that matches, and rolls its pods",
  async (given) => {
    const { kube, namespace, image } = given;
    const sets = kube.resource(replicaSets, namespace);
    const template = { metadata: { labels: { ...labels, pod: "old" } }, spec: podSpec(image) };
    const matchLabels = { ...labels, pod: "old" };
    const metadata = {
      name: "earlier",
      labels: matchLabels,
      annotations: { [revisionAnnotation]: "3546342" },
    };
    await sets.create({ metadata, spec: { replicas: 1, selector: { matchLabels }, template } });
    await sets.until("earlier", ({ status }) => status?.readyReplicas === 1);
    const deployment = await create(given, { replicas: 1 });
    const complete = await untilComplete(given);
    expect(complete.metadata.annotations?.[revisionAnnotation]).toBe("3546343");
    const all = await setsOf(kube, deployment);
    expect(all).toHaveLength(2);
    const earlier = all.find((set) => set.metadata.name === "earlier");
    expect(earlier?.spec.replicas).toBe(0);
    await eventually("the end of the old pod", async () => {
      const left = await podsOf(kube, earlier!);
      return left.length === 0 ? true : undefined;
    });
  },
);

conformance(
  "apps-571e21",
  "A Deployment with revisionHistoryLimit 0 keeps no old ReplicaSet",
  async (given) => {
    const { kube, namespace, image } = given;
    const sets = kube.resource(replicaSets, namespace);
    const template = podTemplate(image, labels);
    template.spec!.containers = [sleeper(image, { env: [{ name: "VERSION", value: "0" }] })];
    await sets.create({ metadata: { name: "earlier", labels }, spec: { replicas: 1, selector, template } });
    await sets.until("earlier", ({ status }) => status?.readyReplicas === 1);
    const deployment = await create(given, { replicas: 1, revisionHistoryLimit: 0 });
    await untilComplete(given);
    await sets.untilGone("earlier");
    await eventually("one ReplicaSet", async () =>
      (await setsOf(kube, deployment)).length === 1 ? true : undefined,
    );
  },
);

conformance("apps-90eb0f", "A Deployment rolls over from a rollout that does not end", async (given) => {
  const { kube, namespace, image } = given;
  const sets = kube.resource(replicaSets, namespace);
  const template = podTemplate(image, labels);
  template.spec!.containers = [sleeper(image, { env: [{ name: "VERSION", value: "0" }] })];
  await sets.create({ metadata: { name: "earlier", labels }, spec: { replicas: 1, selector, template } });
  await sets.until("earlier", ({ status }) => status?.readyReplicas === 1);
  const broken = podTemplate(missingImage, labels);
  const deployment = await create(given, {
    replicas: 1,
    minReadySeconds: 2,
    template: broken,
    strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
  });
  const stuck = await eventually("the ReplicaSet of the broken template", async () =>
    (await setsOf(kube, deployment)).find(
      (set) => set.spec.template?.spec?.containers[0]?.image === missingImage && set.spec.replicas === 1,
    ),
  );
  expect((await sets.get("earlier")).spec.replicas).toBe(1);
  await changeImage(given, image);
  await untilComplete(given);
  for (const name of ["earlier", stuck.metadata.name])
    await sets.until(name, ({ spec, status }) => spec.replicas === 0 && status?.replicas === 0);
});

conformance(
  "apps-032d11",
  "A Deployment that is scaled amid a rollout shares the new pods among its ReplicaSets",
  async (given) => {
    const { kube, namespace } = given;
    const rollingUpdate = { maxSurge: 3, maxUnavailable: 2 };
    const deployment = await create(given, {
      replicas: 10,
      strategy: { type: "RollingUpdate", rollingUpdate },
    });
    await untilComplete(given);
    const [first] = await setsOf(kube, deployment);
    await changeImage(given, missingImage);
    const sizes = (old: number, young: number) =>
      eventually(`${old} old and ${young} new pods wanted`, async () => {
        const all = await setsOf(kube, deployment);
        const sizeOf = (isOld: boolean) =>
          all.find((set) => (set.metadata.uid === first?.metadata.uid) === isOld)?.spec.replicas;
        if (sizeOf(true) === old && sizeOf(false) === young) return true;
        throw new Error(`${sizeOf(true)} old, ${sizeOf(false)} new`);
      });
    await sizes(8, 5);
    const sets = kube.resource(replicaSets, namespace);
    await sets.until(first?.metadata.name ?? "", ({ status }) => status?.availableReplicas === 8);
    const all = kube.resource(deployments, namespace);
    await all.until("sample", ({ status }) => status?.availableReplicas === 8 && status.replicas === 13);
    await all.update("sample", ({ spec }) => {
      spec.replicas = 30;
    });
    await sizes(20, 13);
  },
);
