/** PersistentVolumes and their claims as objects of the API. */
import { expect } from "vitest";
import { type corev1, type Draft, persistentVolumeClaims, persistentVolumes } from "#api";
import { statusIsItsOwn } from "../life-cycle.ts";
import { conformance, type Given } from "../suite.ts";

/** They may find each other, by the class that nobody else names; whether they do is another test's matter. */
function pair(given: Given, labels: Record<string, string>) {
  const storageClassName = given.unique("class");
  const accessModes = ["ReadWriteOnce" as const];
  const volume: Draft<corev1.PersistentVolume> = {
    metadata: { generateName: "pv-", labels },
    spec: {
      accessModes,
      capacity: { storage: "1Gi" },
      persistentVolumeReclaimPolicy: "Retain",
      storageClassName,
      csi: { driver: "e2e.example.com", volumeHandle: given.unique("handle") },
    },
  };
  const claim: Draft<corev1.PersistentVolumeClaim> = {
    metadata: { generateName: "pvc-", labels },
    spec: { accessModes, storageClassName, resources: { requests: { storage: "1Gi" } } },
  };
  return { volume, claim };
}

function both(given: Given) {
  const labels = { "e2e-pair": given.namespace };
  const labelSelector = `e2e-pair=${given.namespace}`;
  const volumes = given.kube.resource(persistentVolumes);
  const claims = given.kube.resource(persistentVolumeClaims, given.namespace);
  given.afterwards(async () => {
    await claims.deleteCollection();
    await volumes.deleteCollection({ labelSelector });
  });
  const create = async () => {
    const { volume, claim } = pair(given, labels);
    const pv = (await volumes.create(volume)).metadata.name ?? "";
    const pvc = (await claims.create(claim)).metadata.name ?? "";
    return { pv, pvc };
  };
  return { volumes, claims, create, labelSelector };
}

conformance("storage-e53d72", "A volume and its claim are created, changed and deleted", async (given) => {
  const { volumes, claims, create, labelSelector } = both(given);
  const { pv, pvc } = await create();
  expect((await volumes.list({ labelSelector })).items).toHaveLength(1);
  expect((await claims.list()).items).toHaveLength(1);
  const label = { metadata: { labels: { patched: "yes" } } };
  const patchedVolume = await volumes.patch(pv, "strategic", label);
  expect(patchedVolume.metadata.labels?.patched).toBe("yes");
  const patchedClaim = await claims.patch(pvc, "strategic", label);
  expect(patchedClaim.metadata.labels?.patched).toBe("yes");
  expect((await volumes.get(pv)).metadata.uid).toBe(patchedVolume.metadata.uid);
  expect((await claims.get(pvc)).metadata.uid).toBe(patchedClaim.metadata.uid);
  await claims.delete(pvc);
  await claims.untilGone(pvc);
  await volumes.delete(pv);
  await volumes.untilGone(pv);

  const next = await create();
  for (const [all, name] of [
    [volumes, next.pv],
    [claims, next.pvc],
  ] as const) {
    const updated = await all.update(
      name,
      ({ metadata }: { metadata: { labels?: Record<string, string> } }) => {
        metadata.labels = { ...metadata.labels, updated: "yes" };
      },
    );
    expect(updated.metadata.labels?.updated).toBe("yes");
  }
  await claims.deleteCollection({ labelSelector });
  await claims.untilGone(next.pvc);
  await volumes.deleteCollection({ labelSelector });
  await volumes.untilGone(next.pv);
});

conformance(
  "storage-905c86",
  "The statuses of a volume and of a claim are written by themselves",
  async (given) => {
    const { volumes, claims, create, labelSelector } = both(given);
    const { pv, pvc } = await create();
    expect((await volumes.list({ labelSelector })).items).toHaveLength(1);
    expect((await claims.list()).items).toHaveLength(1);
    expect(["Pending", "Bound"]).toContain((await claims.get(pvc, "status")).status?.phase);
    expect(["Pending", "Available", "Bound"]).toContain((await volumes.get(pv, "status")).status?.phase);
    const condition = { status: "True", reason: "Set from an e2e test", message: "Set from an e2e test" };
    await statusIsItsOwn(claims, pvc, { conditions: [{ type: "StatusPatched", ...condition }] }, (status) => {
      status.conditions = [{ type: "StatusUpdated", ...condition }];
    });
    const said = { reason: "StatusPatched", message: "Set from an e2e test" };
    await statusIsItsOwn(volumes, pv, said, (status) => {
      status.reason = "StatusUpdated";
    });
  },
);
