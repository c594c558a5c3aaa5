/** What goes with its owner, what stays, and in which order. */
import { expect } from "vitest";
import { deployments, type metav1, pods, replicaSets, replicationControllers } from "#api";
import { eventually, never } from "../../eventually.ts";
import { podSpec, podTemplate } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";

const count = 4;

async function controller({ kube, namespace, image }: Given, name: string, replicas: number) {
  const all = kube.resource(replicationControllers, namespace);
  const labels = { controller: name };
  await all.create({
    metadata: { name },
    spec: { replicas, selector: labels, template: podTemplate(image, labels) },
  });
  await all.until(name, ({ status }) => status?.replicas === replicas);
  return all;
}

const remove = (propagationPolicy: string): metav1.DeleteOptions => ({ propagationPolicy });

const podsOf = async ({ kube, namespace }: Given, name: string) =>
  (await kube.resource(pods, namespace).list({ labelSelector: `controller=${name}` })).items;

const noPods = (given: Given, name: string) =>
  eventually("the end of the pods", async () =>
    (await podsOf(given, name)).length === 0 ? true : undefined,
  );

conformance(
  "api-machinery-7867d4",
  "Deleted in the background, a ReplicationController takes its pods along",
  async (given) => {
    const all = await controller(given, "background", 2);
    await all.delete("background", remove("Background"));
    await all.untilGone("background");
    await noPods(given, "background");
  },
);

conformance("api-machinery-a76025", "Orphaned, the pods of a ReplicationController stay", async (given) => {
  const all = await controller(given, "orphaned", count);
  await all.delete("orphaned", remove("Orphan"));
  await all.untilGone("orphaned");
  await never(
    "the end of a pod",
    async () => ((await podsOf(given, "orphaned")).length < count ? true : undefined),
    3_000,
  );
  for (const pod of await podsOf(given, "orphaned")) expect(pod.metadata.ownerReferences ?? []).toEqual([]);
});

conformance(
  "api-machinery-3a627b",
  "Deleted in the foreground, a ReplicationController waits for its pods",
  async (given) => {
    const all = await controller(given, "foreground", count);
    await all.delete("foreground", remove("Foreground"));
    await eventually("the end of the owner", async () => {
      const owner = await all.find("foreground");
      if (owner) {
        expect(owner.metadata.finalizers).toContain("foregroundDeletion");
        return undefined;
      }
      expect(await podsOf(given, "foreground")).toEqual([]);
      return true;
    });
  },
);

conformance("api-machinery-424ae8", "Pods that somebody else owns too are spared", async (given) => {
  const { kube, namespace } = given;
  const going = await controller(given, "going", count);
  const staying = await controller(given, "staying", 0);
  const owner = await staying.get("staying");
  const spared = (await podsOf(given, "going")).slice(0, count / 2);
  const reference = {
    apiVersion: "v1",
    kind: "ReplicationController",
    name: "staying",
    uid: owner.metadata.uid,
  };
  for (const { metadata } of spared) {
    const patch = [{ op: "add", path: "/metadata/ownerReferences/-", value: reference }];
    await kube.resource(pods, namespace).patch(metadata.name ?? "", "json", patch);
  }
  await going.delete("going", remove("Foreground"));
  await going.untilGone("going");
  const left = await podsOf(given, "going");
  expect(left.map(({ metadata }) => metadata.name).sort()).toEqual(
    spared.map(({ metadata }) => metadata.name).sort(),
  );
  for (const { metadata } of left) {
    expect(metadata.deletionTimestamp).toBeUndefined();
    expect(metadata.ownerReferences?.map((each) => each.name)).toEqual(["staying"]);
  }
});

conformance(
  "api-machinery-c67f40",
  "A circle of owners does not hold itself",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(pods, namespace);
    const names = ["pod1", "pod2", "pod3"];
    const uids = new Map<string, string>();
    for (const name of names)
      uids.set(name, (await all.create({ metadata: { name }, spec: podSpec(image) })).metadata.uid ?? "");
    for (const [i, name] of names.entries()) {
      const owner = names[(i + 2) % 3]!;
      const reference = {
        apiVersion: "v1",
        kind: "Pod",
        name: owner,
        uid: uids.get(owner),
        controller: true,
        blockOwnerDeletion: true,
      };
      await all.patch(name, "merge", { metadata: { ownerReferences: [reference] } });
    }
    await all.delete("pod1", remove("Foreground"));
    await eventually("the end of all three", async () =>
      (await all.list()).items.length === 0 ? true : undefined,
    );
  },
);

async function deployment({ kube, namespace, image }: Given) {
  const all = kube.resource(deployments, namespace);
  const labels = { controller: "deployed" };
  const spec = { replicas: 2, selector: { matchLabels: labels }, template: podTemplate(image, labels) };
  await all.create({ metadata: { name: "deployed" }, spec });
  await eventually("its pods", async () =>
    (await podsOf({ kube, namespace } as Given, "deployed")).length === 2 ? true : undefined,
  );
  return all;
}

conformance(
  "api-machinery-e46512",
  "Deleted in the background, a Deployment takes its ReplicaSet and pods along",
  async (given) => {
    const all = await deployment(given);
    await all.delete("deployed", remove("Background"));
    const sets = given.kube.resource(replicaSets, given.namespace);
    await eventually("the end of the ReplicaSet", async () =>
      (await sets.list()).items.length === 0 ? true : undefined,
    );
    await noPods(given, "deployed");
  },
);

conformance(
  "api-machinery-f3a750",
  "Orphaned, the ReplicaSet of a Deployment stays with its pods",
  async (given) => {
    const all = await deployment(given);
    await all.delete("deployed", remove("Orphan"));
    await all.untilGone("deployed");
    const sets = given.kube.resource(replicaSets, given.namespace);
    await never(
      "the end of the ReplicaSet",
      async () => ((await sets.list()).items.length === 0 ? true : undefined),
      3_000,
    );
    const [left] = (await sets.list()).items;
    expect(left?.metadata.ownerReferences ?? []).toEqual([]);
    expect(await podsOf(given, "deployed")).toHaveLength(2);
  },
);
