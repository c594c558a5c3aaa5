/** PriorityClasses and LimitRanges as objects of the API, and what a LimitRange makes of a pod. */
import { expect } from "vitest";
import { type corev1, type Draft, limitRanges, pods, priorityClasses } from "#api";
import { podSpec } from "../objects.ts";
import { conformance } from "../suite.ts";

conformance(
  "scheduling-ce7d85",
  "The value of a PriorityClass is immutable, the rest is not",
  async (given) => {
    const { kube, unique, afterwards } = given;
    const all = kube.resource(priorityClasses);
    const names = [unique("p1"), unique("p2")];
    afterwards(async () => {
      for (const name of names) if (await all.find(name)) await all.delete(name);
    });
    for (const [index, name] of names.entries()) await all.create({ metadata: { name }, value: index + 1 });
    const listed = (await all.list()).items.map(({ metadata }) => metadata.name);
    expect(listed).toEqual(expect.arrayContaining(names));
    for (const name of names) {
      const value = (await all.get(name)).value ?? 0;
      await expect(
        all.patch(name, "json", [{ op: "replace", path: "/value", value: value * 10 }]),
      ).rejects.toMatchObject({ code: 422 });
      const replaced = { ...(await all.get(name)), value: value * 10 };
      await expect(all.replace(replaced)).rejects.toMatchObject({ code: 422 });
      await expect(all.patch(name, "merge", { preemptionPolicy: "Never" })).rejects.toMatchObject({
        code: 422,
      });
      const described = await all.patch(name, "json", [
        { op: "add", path: "/description", value: "patched" },
      ]);
      expect(described.description).toBe("patched");
      const updated = await all.update(name, (priority) => {
        priority.description = "updated";
      });
      expect(updated).toMatchObject({ description: "updated", value });
    }
  },
);

const amounts = (cpu: string, memory: string, storage: string) => ({
  cpu,
  memory,
  "ephemeral-storage": storage,
});

function limits(): Draft<corev1.LimitRange> {
  const item = {
    type: "Container",
    min: amounts("50m", "100Mi", "100Gi"),
    max: amounts("500m", "500Mi", "500Gi"),
    default: amounts("500m", "500Mi", "500Gi"),
    defaultRequest: amounts("100m", "200Mi", "200Gi"),
  };
  return { metadata: { name: "limits" }, spec: { limits: [item] } };
}

conformance("scheduling-148cb4", "A LimitRange gives pods their defaults and bounds", async (given) => {
  const { kube, namespace, image } = given;
  const ranges = kube.resource(limitRanges, namespace);
  const all = kube.resource(pods, namespace);
  using watched = await ranges.watch();
  const created = await ranges.create(limits());
  await watched.next("ADDED");
  expect((await ranges.get("limits")).spec).toEqual(created.spec);
  const pod = (name: string, resources?: corev1.ResourceRequirements) => {
    const spec = podSpec(image);
    if (resources) spec.containers![0]!.resources = resources;
    // Nobody runs it: what is asked here is what the API makes of it.
    return { metadata: { name }, spec: { ...spec, nodeSelector: { "example.com/no-such": "node" } } };
  };
  const plain = await all.create(pod("plain"));
  expect(plain.spec.containers[0]?.resources).toEqual({
    requests: amounts("100m", "200Mi", "200Gi"),
    limits: amounts("500m", "500Mi", "500Gi"),
  });
  const partial = await all.create(
    pod("partial", { requests: { cpu: "300m", memory: "150Mi" }, limits: { memory: "300Mi" } }),
  );
  expect(partial.spec.containers[0]?.resources).toEqual({
    requests: amounts("300m", "150Mi", "200Gi"),
    limits: amounts("500m", "300Mi", "500Gi"),
  });
  const refused = (name: string, resources: corev1.ResourceRequirements) =>
    expect(all.create(pod(name, resources))).rejects.toMatchObject({ code: 403 });
  await refused("too-little", { requests: amounts("10m", "50Mi", "50Gi") });
  await refused("too-much", {
    requests: amounts("600m", "600Mi", "600Gi"),
    limits: amounts("600m", "600Mi", "600Gi"),
  });

  const min = amounts("9m", "49Mi", "49Gi");
  await ranges.update("limits", ({ spec }) => {
    spec!.limits[0]!.min = min;
  });
  await watched.next("MODIFIED", ({ spec }) => JSON.stringify(spec?.limits[0]?.min) === JSON.stringify(min));
  await all.create(pod("little", { requests: amounts("10m", "50Mi", "50Gi") }));
  await refused("still-too-much", { limits: amounts("600m", "600Mi", "600Gi") });
  await ranges.delete("limits");
  await ranges.untilGone("limits");
  await all.create(pod("free", { requests: amounts("600m", "600Mi", "600Gi") }));
});

conformance(
  "scheduling-f1e1cd",
  "LimitRanges are listed, patched and deleted as a collection",
  async (given) => {
    const { kube, namespace } = given;
    const label = `e2e-limitrange=${namespace}`;
    const ranges = kube.resource(limitRanges, namespace);
    await ranges.create({ ...limits(), metadata: { name: "one", labels: { "e2e-limitrange": namespace } } });
    await ranges.create({ ...limits(), metadata: { name: "other" } });
    const everywhere = kube.resource(limitRanges);
    expect((await everywhere.list({ labelSelector: label })).items).toHaveLength(1);
    const patched = await ranges.patch("one", "strategic", {
      metadata: { labels: { patched: "yes" } },
      spec: { limits: [{ type: "Container", min: { cpu: "40m" } }] },
    });
    expect(patched.metadata.labels?.patched).toBe("yes");
    expect(patched.spec?.limits[0]?.min?.cpu).toBe("40m");
    await ranges.deleteCollection({ labelSelector: "patched=yes" });
    await ranges.untilGone("one");
    expect((await everywhere.list({ labelSelector: label })).items).toHaveLength(0);
    expect((await ranges.list()).items.map(({ metadata }) => metadata.name)).toEqual(["other"]);
  },
);
