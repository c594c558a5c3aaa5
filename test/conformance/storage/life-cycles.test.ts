/** The kinds of storage.k8s.io and volumes as objects of the API: created, read, changed, deleted alone and together. */
import { expect } from "vitest";
import { type Draft, pods, storageClasses, type storagev1 } from "#api";
import { livesThroughEveryVerb, resourceType, statusIsItsOwn } from "../life-cycle.ts";
import { podSpec } from "../objects.ts";
import { conformance } from "../suite.ts";

const csiDrivers = resourceType<storagev1.CSIDriver>(
  "storage.k8s.io/v1",
  "CSIDriver",
  "csidrivers",
  "Cluster",
);
const csiNodes = resourceType<storagev1.CSINode>("storage.k8s.io/v1", "CSINode", "csinodes", "Cluster");
const csiStorageCapacities = resourceType<storagev1.CSIStorageCapacity>(
  "storage.k8s.io/v1",
  "CSIStorageCapacity",
  "csistoragecapacities",
  "Namespaced",
);
const volumeAttachments = resourceType<storagev1.VolumeAttachment>(
  "storage.k8s.io/v1",
  "VolumeAttachment",
  "volumeattachments",
  "Cluster",
);
const volumeAttributesClasses = resourceType<storagev1.VolumeAttributesClass>(
  "storage.k8s.io/v1",
  "VolumeAttributesClass",
  "volumeattributesclasses",
  "Cluster",
);

conformance("storage-d4b77f", "CSIDrivers support every operation of the API", ({ kube, unique }) =>
  livesThroughEveryVerb(kube, {
    type: csiDrivers,
    name: (index) => unique(`driver-${index}`),
    make: () => ({
      spec: { attachRequired: false, podInfoOnMount: true, volumeLifecycleModes: ["Ephemeral"] },
    }),
  }),
);

conformance("storage-e4fb1a", "CSINodes support every operation of the API", ({ kube, unique }) =>
  livesThroughEveryVerb(kube, {
    type: csiNodes,
    name: (index) => unique(`node-${index}`),
    make: () => ({
      spec: { drivers: [{ name: "driver.example.com", nodeID: "node-id", topologyKeys: ["a"] }] },
    }),
  }),
);

conformance(
  "storage-fc8639",
  "CSIStorageCapacities support every operation of the API",
  ({ kube, namespace }) =>
    livesThroughEveryVerb(kube, {
      type: csiStorageCapacities,
      namespace,
      make: () => ({ storageClassName: "example", nodeTopology: {}, capacity: "5Gi" }),
    }),
);

conformance("storage-29135e", "StorageClasses support every operation of the API", ({ kube, unique }) =>
  livesThroughEveryVerb(kube, {
    type: storageClasses,
    name: (index) => unique(`class-${index}`),
    make: () => ({ provisioner: "driver.example.com", volumeBindingMode: "WaitForFirstConsumer" as const }),
  }),
);

conformance(
  "storage-cf3f67",
  "VolumeAttributesClasses support every operation of the API",
  ({ kube, unique }) =>
    livesThroughEveryVerb(kube, {
      type: volumeAttributesClasses,
      name: (index) => unique(`class-${index}`),
      make: () => ({ driverName: "driver.example.com", parameters: { iops: "100" } }),
    }),
);

function attachment(): Draft<storagev1.VolumeAttachment> {
  const source = { persistentVolumeName: "no-such-volume" };
  return { spec: { attacher: "driver.example.com", nodeName: "no-such-node", source } };
}

conformance("storage-3643f1", "VolumeAttachments support every operation of the API", ({ kube, unique }) =>
  livesThroughEveryVerb(kube, {
    type: volumeAttachments,
    name: (index) => unique(`attachment-${index}`),
    make: attachment,
    subresources: ["volumeattachments/status"],
  }),
);

conformance("storage-fafa7d", "The status of a VolumeAttachment is written by itself", async (given) => {
  const { kube, unique, afterwards } = given;
  const all = kube.resource(volumeAttachments);
  const name = unique("attachment");
  await all.create({ metadata: { name }, ...attachment() });
  afterwards(async () => (await all.find(name)) && all.delete(name));
  const labelled = await all.patch(name, "merge", { metadata: { labels: { [name]: "patched" } } });
  expect(labelled.metadata.labels).toEqual({ [name]: "patched" });
  expect((await all.get(name, "status")).status?.attached ?? false).toBe(false);
  await statusIsItsOwn(
    all,
    name,
    { attached: true },
    (status) => {
      status.attached = false;
    },
    { takesMetadata: false },
  );
  await all.delete(name);
  await all.untilGone(name);
});

conformance(
  "storage-8c86a4",
  "Pods may have volumes of a CSI driver inline",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(pods, namespace);
    const csi = { driver: "e2e.example.com", readOnly: true, volumeAttributes: { foo: "bar" } };
    const spec = podSpec(image, { volumes: [{ name: "inline", csi }] });
    spec.containers![0]!.volumeMounts = [{ name: "inline", mountPath: "/inline" }];
    const created = await all.create({ metadata: { name: "inline", labels: { inline: "yes" } }, spec });
    expect(created.spec.volumes?.find((each) => each.name === "inline")?.csi).toEqual(csi);
    const { items } = await all.list({ labelSelector: "inline=yes" });
    expect(items.map(({ metadata }) => metadata.uid)).toEqual([created.metadata.uid]);
    const patched = await all.patch("inline", "merge", { metadata: { labels: { patched: "yes" } } });
    expect(patched.metadata.labels).toEqual({ inline: "yes", patched: "yes" });
    await all.delete("inline", { gracePeriodSeconds: 0 });
    await all.untilGone("inline");
  },
);
