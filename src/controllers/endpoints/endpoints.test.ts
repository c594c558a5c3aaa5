import { expect, test } from "vitest";
import { endpointSlices, endpoints, pods, services } from "#api";
import { testWorld } from "../kit/world.fixture.ts";

const names = ["endpointslice-controller", "endpoint-controller", "endpointslice-mirroring-controller"];

async function withPods(count: number, service: object = {}) {
  const world = testWorld();
  await world.create(services, {
    metadata: { namespace: "default", name: "web" },
    spec: {
      selector: { app: "web" },
      ports: [{ name: "http", port: 80, targetPort: "http", protocol: "TCP" }],
      ...service,
    },
  });
  for (let i = 0; i < count; i++) {
    await world.create(pods, {
      metadata: { namespace: "default", name: `web-${i}`, labels: { app: "web" } },
      spec: { containers: [{ name: "c", image: "x", ports: [{ name: "http", containerPort: 8080 }] }] },
    });
  }
  const running = await world.run(...names);
  const slices = async () => (await world.client.list(endpointSlices, { namespace: "default" })).items;
  return { world, running, slices };
}

test("a Service without pods has one empty slice", async () => {
  const { world, running, slices } = await withPods(0);
  await world.clock.advance(100);
  expect(await slices()).toMatchObject([{ addressType: "IPv4", endpoints: [], ports: [] }]);
  await running.stop();
});

test("ready pods appear with the port their name means; deleted ones end", async () => {
  const { world, running, slices } = await withPods(2);
  await world.clock.advance(100);
  await world.startPods();
  await world.clock.advance(100);
  const [slice, ...others] = await slices();
  expect(others).toEqual([]);
  expect(slice?.ports).toEqual([{ name: "http", port: 8080, protocol: "TCP" }]);
  expect(slice?.endpoints?.map((e) => [e.targetRef?.name, e.conditions, e.nodeName])).toEqual([
    ["web-0", { ready: true, serving: true, terminating: false }, "node-1"],
    ["web-1", { ready: true, serving: true, terminating: false }, "node-1"],
  ]);
  expect(slice?.metadata.labels).toMatchObject({
    "kubernetes.io/service-name": "web",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
  });
  await world.client.delete(pods, { namespace: "default", name: "web-0" });
  await world.clock.advance(100);
  expect((await slices())[0]?.endpoints?.[0]?.conditions).toEqual({
    ready: false,
    serving: true,
    terminating: true,
  });
  const old = await world.client.get(endpoints, { namespace: "default", name: "web" });
  expect(old.subsets).toMatchObject([
    { addresses: [{ targetRef: { name: "web-1" } }], ports: [{ name: "http", port: 8080 }] },
  ]);
  await running.stop();
});

test("more than a hundred pods fill several slices, and one that leaves changes one slice", async () => {
  const { world, running, slices } = await withPods(230);
  await world.startPods();
  await world.clock.advance(100);
  expect((await slices()).map((slice) => slice.endpoints?.length ?? 0).sort()).toEqual([100, 100, 30]);
  world.api.writes.length = 0;
  await world.client.delete(pods, { namespace: "default", name: "web-5" }, { gracePeriodSeconds: 0 });
  await world.clock.advance(100);
  expect(world.api.writes.filter((write) => write === "PUT endpointslices")).toHaveLength(1);
  const total = (await slices()).reduce((sum, slice) => sum + (slice.endpoints?.length ?? 0), 0);
  expect(total).toBe(229);
  await running.stop();
});

test("the Endpoints object goes with its Service; one of somebody else stays", async () => {
  const { world, running } = await withPods(1);
  await world.create(endpoints, { metadata: { namespace: "default", name: "manual" } });
  await world.clock.advance(100);
  await world.client.delete(services, { namespace: "default", name: "web" });
  await world.clock.advance(100);
  const left = (await world.client.list(endpoints, { namespace: "default" })).items;
  expect(left.map((each) => each.metadata.name)).toEqual(["manual"]);
  await running.stop();
});

test("Endpoints that people write are mirrored, changed and unmirrored; with a selector they are not", async () => {
  const { world, running, slices } = await withPods(0);
  const manual = { namespace: "default", name: "manual" };
  await world.create(services, { metadata: manual, spec: { ports: [{ port: 80, protocol: "TCP" }] } });
  const subsets = [
    {
      addresses: [{ ip: "192.0.2.1" }, { ip: "192.0.2.2" }],
      ports: [{ port: 8080, protocol: "TCP" as const }],
    },
  ];
  await world.create(endpoints, { metadata: manual, subsets });
  await world.clock.advance(200);
  const mirrored = async () =>
    (await slices()).filter((slice) => slice.metadata.labels?.["kubernetes.io/service-name"] === "manual");
  expect(await mirrored()).toMatchObject([
    {
      addressType: "IPv4",
      ports: [{ name: "", port: 8080, protocol: "TCP" }],
      endpoints: [{ addresses: ["192.0.2.1"], conditions: { ready: true } }, { addresses: ["192.0.2.2"] }],
      metadata: { ownerReferences: [{ kind: "Endpoints", name: "manual" }] },
    },
  ]);
  await world.client.patch(endpoints, manual, "merge", {
    subsets: [{ ...subsets[0], addresses: [{ ip: "192.0.2.9" }] }],
  });
  await world.clock.advance(200);
  expect((await mirrored()).map((slice) => slice.endpoints?.map((e) => e.addresses[0]))).toEqual([
    ["192.0.2.9"],
  ]);
  world.api.writes.length = 0;
  await world.clock.advance(5_000);
  expect(world.api.writes).toEqual([]);
  await world.client.delete(services, manual);
  await world.clock.advance(200);
  expect(await mirrored()).toEqual([]);
  expect(await slices()).toHaveLength(1);
  await running.stop();
});
