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
    metadata: { namespace: "default", name: "claim" },
    spec: { volumeName: "v" },
    status: { phase },
  });
  const claimRef = { uid: claim.metadata.uid };
  await client.create(persistentVolumes, { metadata: { name: "v" }, spec: { claimRef, ...spec } });
  return (volume: corev1.Volume) => behindClaim(client, pod, volume);
}

test("a bound claim is the path of its volume; any other volume is itself", async () => {
  const ask = await worldWith({ hostPath: { path: "/data" } });
  expect(await ask(data)).toEqual({ name: "data", hostPath: { path: "/data" } });
  const other = { name: "x", emptyDir: {} };
  expect(await ask(other)).toBe(other);
  const local = await worldWith({ local: { path: "/disk" } });
  expect(await local(data)).toEqual({ name: "data", hostPath: { path: "/disk", type: "Directory" } });
});

test("what is not bound, not there, or somebody else's is not used", async () => {
  const pending = await worldWith({ hostPath: { path: "/data" } }, "Pending");
  await expect(pending(data)).rejects.toThrow("PVC default/claim has no volume bound to it");
  const stolen = await worldWith({ hostPath: { path: "/data" }, claimRef: { uid: "another" } });
  await expect(stolen(data)).rejects.toThrow("volume v is bound to another claim");
  const missing = { name: "data", persistentVolumeClaim: { claimName: "none" } };
  await expect(stolen(missing)).rejects.toThrow("claim default/none is not there");
  const csi = await worldWith({ csi: { driver: "d", volumeHandle: "h" } });
  await expect(csi(data)).rejects.toThrow("no plugin for this kind of volume");
});
