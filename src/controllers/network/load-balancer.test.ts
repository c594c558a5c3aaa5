/** Addresses of Services of type LoadBalancer: who gets which, and what people are told. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { configMaps, type corev1, type Draft, endpointSlices, events, nodes, services } from "#api";
import { testWorld } from "../kit/world.fixture.ts";
import { addressToNumber, freeAddress, numberToAddress, parsePool, poolHas } from "./address-pool.ts";
import { decideLoadBalancers, loadBalancerController } from "./load-balancer.ts";

const readyNode = {
  metadata: { name: "a" },
  status: {
    addresses: [{ type: "InternalIP", address: "192.0.2.1" }],
    conditions: [{ type: "Ready", status: "True" }],
  },
} as unknown as corev1.Node;

const service = (name: string, port: number, ips: string[]): corev1.Service =>
  ({
    metadata: { namespace: "default", name, uid: name, creationTimestamp: name },
    spec: { type: "LoadBalancer", ports: [{ port, protocol: "TCP" }] },
    status: { loadBalancer: { ingress: ips.map((ip) => ({ ip, ipMode: "VIP" })) } },
  }) as unknown as corev1.Service;

async function worldWith(...nodeNames: string[]) {
  const world = testWorld();
  for (const [i, name] of nodeNames.entries()) {
    await world.create(nodes, {
      metadata: { name },
      spec: {},
      status: {
        addresses: [{ type: "InternalIP", address: `192.0.2.${i + 1}` }],
        conditions: [{ type: "Ready", status: "True" }],
      },
    });
  }
  const running = await world.run(loadBalancerController.name);
  const settle = () => world.clock.advance(1_000);
  const balanced = (name: string, port: number, spec: Draft<corev1.ServiceSpec> = {}) =>
    world.create(services, {
      metadata: { namespace: "default", name },
      spec: { type: "LoadBalancer", ports: [{ port, protocol: "TCP" }], ...spec },
    });
  const addresses = async (name: string) => {
    await settle();
    const { status } = await world.client.get(services, { namespace: "default", name });
    return (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip);
  };
  const pool = (data: Record<string, string>) =>
    world.create(configMaps, {
      metadata: { namespace: "kube-system", name: "knarr-load-balancer" },
      data,
    });
  return { ...world, settle, balanced, addresses, pool, end: () => running.stop() };
}

test("a Service gets the nodes' addresses, and people are told", async () => {
  const world = await worldWith("a", "b");
  await world.balanced("web", 80);
  expect(await world.addresses("web")).toEqual(["192.0.2.1", "192.0.2.2"]);
  await world.settle();
  const told = (await world.client.list(events, { namespace: "default" })).items;
  expect(told.map(({ reason, message }) => [reason, message])).toEqual([
    ["EnsuringLoadBalancer", "Ensuring load balancer"],
    ["EnsuredLoadBalancer", "Ensured load balancer"],
  ]);
  await world.end();
});

test("whose ports another has on the nodes, or the nodes' own programs, gets an address of its own", async () => {
  const world = await worldWith("a");
  await world.balanced("first", 443);
  await world.settle();
  await world.balanced("second", 443);
  await world.balanced("ssh", 22);
  await world.balanced("mail", 25);
  expect(await world.addresses("first")).toEqual(["192.0.2.1"]);
  expect(await world.addresses("second")).toEqual(["198.18.0.1"]);
  expect(await world.addresses("ssh")).toEqual(["198.18.0.2"]);
  expect(await world.addresses("mail")).toEqual(["192.0.2.1"]);
  await world.client.delete(services, { namespace: "default", name: "first" });
  // Nobody's address changes because another one has gone.
  expect(await world.addresses("second")).toEqual(["198.18.0.1"]);
  await world.end();
});

test("from the first Ingress on its ports are not given to Services that come later", () => {
  const options = { reservedPorts: [], ingressPorts: [80], fallback: "198.18.0.0/24" };
  const before = service("before", 80, ["192.0.2.1"]);
  const state = { nodes: [readyNode], localNodes: new Map(), config: undefined, hasIngresses: true, options };
  // One that was there before keeps its place, and it is said who is in whose way.
  const kept = decideLoadBalancers({ ...state, services: [before] });
  expect(kept?.changes).toEqual([]);
  expect(kept?.troubles.map(({ subject, reason }) => [subject, reason])).toEqual([
    [before, "IngressPortTaken"],
  ]);
  expect(kept?.troubles[0]?.message).toContain("port 80 of the nodes before the first Ingress");
  expect(decideLoadBalancers({ ...state, hasIngresses: false, services: [before] })).toBeUndefined();
  const later = decideLoadBalancers({ ...state, services: [service("later", 80, [])] });
  expect(later?.changes.map(({ ingress }) => ingress)).toEqual([[{ ip: "198.18.0.1", ipMode: "VIP" }]]);
});

test("a node that is not Ready, is excluded or holds no endpoint of a Service that keeps local is left out", async () => {
  const world = await worldWith("a", "b", "c");
  await world.balanced("web", 80);
  await world.balanced("near", 81, { externalTrafficPolicy: "Local" });
  await world.create(endpointSlices, {
    metadata: {
      namespace: "default",
      name: "near-1",
      labels: { "kubernetes.io/service-name": "near" },
    },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.244.1.5"], nodeName: "c", conditions: { ready: true } }],
  });
  expect(await world.addresses("near")).toEqual(["192.0.2.3"]);
  const conditions = [{ type: "Ready", status: "Unknown" }];
  await world.client.patch(
    nodes,
    { name: "a" },
    "merge",
    { status: { conditions } },
    { subresource: "status" },
  );
  const labels = { "node.kubernetes.io/exclude-from-external-load-balancers": "" };
  await world.client.patch(nodes, { name: "b" }, "merge", { metadata: { labels } });
  expect(await world.addresses("web")).toEqual(["192.0.2.3"]);
  await world.end();
});

test("a pool gives each Service one of its addresses, the one asked for where it is free", async () => {
  const world = await worldWith("a");
  await world.pool({ addresses: "203.0.113.8-203.0.113.9" });
  await world.balanced("asked", 80, { loadBalancerIP: "203.0.113.9" });
  await world.settle();
  await world.balanced("any", 80);
  await world.settle();
  await world.balanced("none", 80);
  expect(await world.addresses("asked")).toEqual(["203.0.113.9"]);
  expect(await world.addresses("any")).toEqual(["203.0.113.8"]);
  expect(await world.addresses("none")).toEqual([]);
  await world.settle();
  const told = (await world.client.list(events, { namespace: "default" })).items;
  expect(told.filter(({ type }) => type === "Warning")).toMatchObject([
    { reason: "SyncLoadBalancerFailed", involvedObject: { name: "none" } },
  ]);
  await world.end();
});

test("another class, and a cluster that has its own, are left alone; another type loses its addresses", async () => {
  const world = await worldWith("a");
  await world.balanced("foreign", 80, { loadBalancerClass: "example.com/other" });
  await world.balanced("ours", 80, { loadBalancerClass: "knarr.dev/load-balancer" });
  expect(await world.addresses("foreign")).toEqual([]);
  expect(await world.addresses("ours")).toEqual(["192.0.2.1"]);
  await world.client.patch(services, { namespace: "default", name: "ours" }, "merge", {
    spec: { type: "ClusterIP", loadBalancerClass: null as never },
  });
  expect(await world.addresses("ours")).toEqual([]);
  await world.pool({ enabled: "false" });
  await world.settle();
  await world.balanced("late", 80);
  expect(await world.addresses("late")).toEqual([]);
  await world.end();
});

test("property: no two Services answer at one address and port, and a second look changes nothing", () => {
  const status = fc.subarray(["192.0.2.1", "198.18.0.1", "198.18.0.2"], { maxLength: 1 });
  const any = fc.array(fc.tuple(fc.constantFrom(22, 80, 443), status), { maxLength: 6 });
  fc.assert(
    fc.property(any, (list) => {
      let all = list.map(([port, ips], i) => service(`s${i}`, port, ips));
      const look = () =>
        decideLoadBalancers({
          services: all,
          nodes: [readyNode],
          localNodes: new Map(),
          config: undefined,
          hasIngresses: false,
          options: { reservedPorts: [22], ingressPorts: [], fallback: "198.18.0.0/24" },
        });
      const plan = look();
      all = all.map((each) => {
        const change = plan?.changes.find((c) => c.service === each);
        return change ? { ...each, status: { loadBalancer: { ingress: change.ingress } } } : each;
      });
      const fronts = all.flatMap(({ spec, status: now }) =>
        (now?.loadBalancer?.ingress ?? []).map(({ ip }) => `${ip}:${spec.ports?.[0]?.port}`),
      );
      expect(new Set(fronts).size).toBe(fronts.length);
      expect(fronts).toHaveLength(all.length);
      expect(look()).toBeUndefined();
    }),
  );
});

test("pools as people write them", () => {
  const { ranges, errors } = parsePool("192.0.2.0/30, 203.0.113.5\nfd00::10-fd00::11 10.0.0.9-10.0.0.1 x");
  expect(errors).toHaveLength(2);
  expect(poolHas(ranges, "192.0.2.0")).toBe(false);
  expect(poolHas(ranges, "192.0.2.2")).toBe(true);
  const taken = new Set(["192.0.2.1", "192.0.2.2"]);
  expect(freeAddress(ranges, false, (address) => taken.has(address))).toBe("203.0.113.5");
  expect(freeAddress(ranges, true, () => false)).toBe("fd00::10");
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const value = addressToNumber(text);
      if (value === undefined) return;
      expect(addressToNumber(numberToAddress(value, true))).toBe(value);
    }),
  );
});
