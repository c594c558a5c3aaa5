import fc from "fast-check";
import { expect, test } from "vitest";
import { endpointSlices, endpoints, events, nodes, pods, services } from "#api";
import { testWorld } from "../kit/world.fixture.ts";
import { shareOut } from "./zone-shares.ts";

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

test("each family of a Service has slices of its own, which go with it", async () => {
  const { world, running, slices } = await withPods(2, { ipFamilies: ["IPv6", "IPv4"] });
  await world.startPods();
  for (const name of ["web-0", "web-1"]) {
    const podIPs = [{ ip: `10.0.0.${name.at(-1)}` }, { ip: `fd00::${name.at(-1)}` }];
    const status = { podIP: podIPs[0]!.ip, podIPs };
    await world.client.patch(
      pods,
      { namespace: "default", name },
      "merge",
      { status },
      { subresource: "status" },
    );
  }
  await world.clock.advance(100);
  const addresses = async () =>
    Object.fromEntries(
      (await slices()).map((slice) => [
        slice.addressType,
        slice.endpoints?.flatMap((each) => each.addresses),
      ]),
    );
  expect(await addresses()).toEqual({ IPv4: ["10.0.0.0", "10.0.0.1"], IPv6: ["fd00::0", "fd00::1"] });
  const old = await world.client.get(endpoints, { namespace: "default", name: "web" });
  expect(old.subsets?.[0]?.addresses?.map(({ ip }) => ip)).toEqual(["fd00::0", "fd00::1"]);
  const spec = { ipFamilies: ["IPv6"] };
  await world.client.patch(services, { namespace: "default", name: "web" }, "merge", { spec });
  await world.clock.advance(100);
  expect(await addresses()).toEqual({ IPv6: ["fd00::0", "fd00::1"] });
  await running.stop();
});

test("where traffic should stay near, ready endpoints say for whom they are", async () => {
  const { world, running, slices } = await withPods(1);
  const patch = (spec: object) =>
    world.client.patch(services, { namespace: "default", name: "web" }, "merge", { spec });
  const labels = { "topology.kubernetes.io/zone": "z1" };
  await world.create(nodes, { metadata: { name: "node-1", labels } });
  await world.startPods();
  const hints = async () => {
    await world.clock.advance(100);
    return (await slices())[0]?.endpoints?.[0]?.hints;
  };
  expect(await hints()).toBeUndefined();
  const forZones = [{ name: "z1" }];
  for (const trafficDistribution of ["PreferClose", "PreferSameZone"]) {
    await patch({ trafficDistribution });
    expect(await hints()).toEqual({ forZones });
  }
  await patch({ trafficDistribution: "PreferSameNode" });
  expect(await hints()).toEqual({ forZones, forNodes: [{ name: "node-1" }] });
  await patch({ trafficDistribution: null });
  expect(await hints()).toBeUndefined();
  await running.stop();
});

test("endpoints are shared out by the CPUs of each zone, most to their own", () => {
  const zone = fc.constantFrom("a", "b", "c");
  const cpus = fc.record({
    a: fc.integer({ min: 1, max: 8 }),
    b: fc.integer({ min: 1, max: 8 }),
    c: fc.nat(8),
  });
  fc.assert(
    fc.property(fc.array(zone, { maxLength: 20 }), cpus, (zones, sizes) => {
      const total = sizes.a + sizes.b + sizes.c;
      const shares = new Map(
        Object.entries(sizes)
          .filter(([, cpu]) => cpu > 0)
          .map(([name, cpu]) => [name, cpu / total]),
      );
      const shared = shareOut(zones, shares);
      if (typeof shared === "string") return;
      expect(shared).toHaveLength(zones.length);
      for (const [name, share] of shares) {
        const before = zones.filter((each) => each === name).length;
        const after = shared.filter((each) => each === name).length;
        const exact = share * zones.length;
        // Nobody is further from its share than before, but for what cannot be halved.
        expect(Math.abs(after - exact)).toBeLessThanOrEqual(Math.abs(before - exact) + 1);
        expect(after).toBeGreaterThanOrEqual(Math.min(before, Math.ceil(exact / 1.2) - 1));
      }
    }),
  );
  expect(
    shareOut(
      ["a", "a", "a", "b"],
      new Map([
        ["a", 0.5],
        ["b", 0.5],
      ]),
    ),
  ).toEqual(["b", "a", "a", "b"]);
  expect(
    shareOut(
      ["a"],
      new Map([
        ["a", 0.5],
        ["b", 0.5],
      ]),
    ),
  ).toBe("Insufficient number of endpoints (1 endpoints, 2 zones)");
});

test("a Service in topology mode tells when its endpoints are shared out, and when they no longer can be", async () => {
  const { world, running, slices } = await withPods(4);
  const readiness = (status: string) => ({ status: { conditions: [{ type: "Ready", status }] } });
  for (const zone of ["a", "b"]) {
    const labels = { "topology.kubernetes.io/zone": zone };
    const status = { ...readiness("True").status, allocatable: { cpu: "2" } };
    await world.create(nodes, { metadata: { name: zone === "a" ? "node-1" : "node-2", labels }, status });
  }
  await world.startPods();
  const annotations = { "service.kubernetes.io/topology-mode": "Auto" };
  await world.client.patch(services, { namespace: "default", name: "web" }, "merge", {
    metadata: { annotations },
  });
  const zones = async () => {
    await world.clock.advance(100);
    return (await slices())[0]?.endpoints?.map(({ hints }) => hints?.forZones?.[0]?.name);
  };
  expect((await zones())?.sort()).toEqual(["a", "a", "b", "b"]);
  await world.client.patch(nodes, { name: "node-2" }, "merge", readiness("False"), { subresource: "status" });
  expect(await zones()).toEqual([undefined, undefined, undefined, undefined]);
  await running.stop();
  const told = (await world.client.list(events, { namespace: "default" })).items.map((e) => [
    e.reason,
    e.message,
  ]);
  expect(told).toContainEqual([
    "TopologyAwareHintsEnabled",
    "Topology Aware Hints has been enabled, addressType: IPv4",
  ]);
  expect(told.map(([reason]) => reason)).toContain("TopologyAwareHintsDisabled");
});
