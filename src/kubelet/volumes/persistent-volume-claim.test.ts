import { expect, test } from "vitest";
import { type corev1, type Draft, persistentVolumeClaims, persistentVolumes } from "#api";
import { createClient, FakeApi } from "#client";
import { makePod } from "../testing/pods.ts";
import { behindClaim } from "./persistent-volume-claim.ts";

const pod = makePod();
const data: corev1.Volume = { name: "data", persistentVolumeClaim: { claimName: "claim" } };

async function worldWith(spec: Draft<corev1.PersistentVolumeSpec>, phase: "Bound" | "Pending" = "Bound") {
  const client = createClient(new FakeApi());
  const claim = await client.create(persistentVolumeClaims, {
    metadata: { namespace: "default", name: "claim", finalizers: ["kubernetes.io/pvc-protection"] },
    spec: { volumeName: "v" },
    status: { phase },
  });
  const claimRef = { uid: claim.metadata.uid };
  await client.create(persistentVolumes, { metadata: { name: "v" }, spec: { claimRef, ...spec } });
  const ask = (volume: corev1.Volume, isMounted?: boolean) => behindClaim(client, pod, volume, isMounted);
  return Object.assign(ask, { client });
}

test("a bound claim is the source of its volume; any other volume is itself", async () => {
  const ask = await worldWith({ hostPath: { path: "/data" }, capacity: { storage: "1Gi" } });
  const found = await ask(data);
  expect(found).toMatchObject({ name: "data", hostPath: { path: "/data" }, persistent: { name: "v" } });
  expect(Object.keys(found)).toEqual(["name", "hostPath", "persistent"]);
  const other = { name: "x", emptyDir: {} };
  expect(await ask(other)).toBe(other);
  const local = await worldWith({ local: { path: "/disk" } });
  const readOnly = { name: "data", persistentVolumeClaim: { claimName: "claim", readOnly: true } };
  expect(await local(readOnly)).toMatchObject({ local: { path: "/disk" }, persistent: { readOnly: true } });
});

test("what is not bound, not there, or somebody else's is not used", async () => {
  const pending = await worldWith({ hostPath: { path: "/data" } }, "Pending");
  await expect(pending(data)).rejects.toThrow("error processing PVC default/claim: PVC is not bound");
  const stolen = await worldWith({ hostPath: { path: "/data" }, claimRef: { uid: "another" } });
  await expect(stolen(data)).rejects.toThrow(
    "found PV object v but its pv.Spec.ClaimRef.UID another does not",
  );
  const missing = { name: "data", persistentVolumeClaim: { claimName: "none" } };
  await expect(stolen(missing)).rejects.toThrow(
    /^error processing PVC default\/none: failed to fetch PVC from API server: .*not found/,
  );
  const foreign = await worldWith({ hostPath: { path: "/data" } });
  await foreign.client.create(persistentVolumeClaims, {
    metadata: { namespace: "default", name: "web-scratch" },
    spec: {},
  });
  const own = { name: "scratch", ephemeral: {} } as corev1.Volume;
  await expect(foreign(own)).rejects.toThrow(
    "PVC default/web-scratch was not created for pod default/web (pod is not owner)",
  );
});

test("a claim that is being deleted starts no pod, and is not taken from one that has it", async () => {
  const ask = await worldWith({ hostPath: { path: "/data" } });
  await ask.client.delete(persistentVolumeClaims, { namespace: "default", name: "claim" });
  await expect(ask(data)).rejects.toThrow("error processing PVC default/claim: PVC is being deleted");
  expect(await ask(data, true)).toMatchObject({ hostPath: { path: "/data" } });
});
