import { afterAll, beforeAll, expect, it } from "vitest";
import { namespaces, persistentVolumeClaims, storageClasses } from "#api";
import { startTestServer, type TestServer } from "../testing/start.ts";

let server: TestServer;
const claims = "/api/v1/namespaces/default/persistentvolumeclaims";

beforeAll(async () => {
  server = await startTestServer();
  await server.client.create(namespaces, { metadata: { name: "default" } }).catch(() => {});
  for (const [name, allowVolumeExpansion] of [
    ["grows", true],
    ["stays", false],
  ] as const)
    await server.client.create(storageClasses, {
      metadata: { name },
      provisioner: "x.io/y",
      allowVolumeExpansion,
    });
});
afterAll(() => server.stop());

async function claim(name: string, storageClassName: string, phase: "Bound" | "Pending") {
  const spec = {
    accessModes: ["ReadWriteOnce"],
    storageClassName,
    resources: { requests: { storage: "1Gi" } },
  };
  const made = await server.send("POST", claims, { metadata: { name }, spec });
  const ref = { namespace: "default", name };
  await server.client.patch(
    persistentVolumeClaims,
    ref,
    "merge",
    { status: { phase } },
    { subresource: "status" },
  );
  return made;
}

const resize = (name: string, storage: string) =>
  server.client.patch(persistentVolumeClaims, { namespace: "default", name }, "merge", {
    spec: { resources: { requests: { storage } } },
  });

it("protects claims, volumes and attributes classes from the first moment on", async () => {
  const finalizers = async (path: string, body: object) =>
    (await server.send("POST", path, body)).body.metadata?.finalizers;
  expect((await claim("fresh", "grows", "Pending")).body.metadata?.finalizers).toEqual([
    "kubernetes.io/pvc-protection",
  ]);
  expect(
    await finalizers("/api/v1/persistentvolumes", {
      metadata: { name: "v", finalizers: ["x.io/mine"] },
      spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, hostPath: { path: "/v" } },
    }),
  ).toEqual(["x.io/mine", "kubernetes.io/pv-protection"]);
  expect(
    await finalizers("/apis/storage.k8s.io/v1/volumeattributesclasses", {
      metadata: { name: "gold" },
      driverName: "x.io",
      parameters: { iops: "1" },
    }),
  ).toEqual(["kubernetes.io/vac-protection"]);
});

it("lets a bound claim grow where its class allows it", async () => {
  await claim("a", "grows", "Bound");
  expect((await resize("a", "2Gi")).spec.resources?.requests?.storage).toBe("2Gi");
  await claim("b", "stays", "Bound");
  await expect(resize("b", "2Gi")).rejects.toThrow(
    'persistentvolumeclaims "b" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
  );
  await expect(resize("fresh", "2Gi")).rejects.toThrow("spec is immutable after creation");
});
