/** From Services, slices and pods to elements and transactions. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { corev1, Draft, discoveryv1 } from "#api";
import { type Change, ElementStore } from "./element-store.ts";
import { targetsOf } from "./endpoints.ts";
import {
  type Fragment,
  hostPortFragment,
  type ProxyPlace,
  type SetName,
  serviceFragment,
} from "./fragments.ts";
import { healthAnswer } from "./health.ts";
import { linkOf } from "./loopback.ts";
import { capacityWith, leastCapacity, skeleton, transaction } from "./ruleset.ts";
import { goneTargets, parseAffinities, stickyOf } from "./stale.ts";

function service(name: string, spec: Draft<corev1.ServiceSpec>, status = {}): corev1.Service {
  return { metadata: { name, namespace: "default" }, spec, status } as unknown as corev1.Service;
}

function slice(port: number, endpoints: Draft<discoveryv1.Endpoint>[]): discoveryv1.EndpointSlice {
  return {
    addressType: "IPv4",
    metadata: { name: "web-x", namespace: "default" },
    ports: [{ name: "http", port, protocol: "TCP" }],
    endpoints,
  } as unknown as discoveryv1.EndpointSlice;
}

const place: ProxyPlace = { nodeName: "a", zone: "z1", family: "ip", nodeAddresses: ["192.0.2.2"] };
const spec: Draft<corev1.ServiceSpec> = {
  type: "NodePort",
  clusterIP: "10.96.0.7",
  ports: [{ name: "http", port: 80, protocol: "TCP", nodePort: 30080 }],
};
const web = service("web", spec);
const elementsOf = (fragment: Fragment | undefined, set: SetName) =>
  Object.fromEntries(fragment?.elements.get(set) ?? []);
const cluster = "10.96.0.7 . tcp . 80";
const node = "192.0.2.2 . tcp . 30080";

test("a Service becomes one front per address and one element per endpoint", () => {
  const slices = [slice(8080, [{ addresses: ["10.244.0.5"] }, { addresses: ["10.244.0.4"] }])];
  const fragment = serviceFragment(web, slices, place);
  expect(elementsOf(fragment, "services")).toEqual({ [cluster]: "goto n2", [node]: "goto n2" });
  expect(elementsOf(fragment, "endpoints")).toMatchObject({
    [`${cluster} . 0`]: "10.244.0.4 . 8080",
    [`${cluster} . 1`]: "10.244.0.5 . 8080",
  });
  expect(fragment?.largest).toEqual({ n: 2 });
});

test("without a ready endpoint the front refuses", () => {
  const slices = [slice(8080, [{ addresses: ["10.244.0.5"], conditions: { ready: false } }])];
  const fragment = serviceFragment(web, slices, place);
  expect(fragment?.elements.has("services")).toBe(false);
  expect(elementsOf(fragment, "refused")).toEqual({ [cluster]: "goto rejection", [node]: "goto rejection" });
});

test("terminating endpoints serve only when nothing else does", () => {
  const dying = { addresses: ["10.244.0.5"], conditions: { ready: false, serving: true, terminating: true } };
  const alone = serviceFragment(web, [slice(80, [dying])], place);
  expect(elementsOf(alone, "endpoints")[`${cluster} . 0`]).toBe("10.244.0.5 . 80");
  const both = serviceFragment(web, [slice(80, [dying, { addresses: ["10.244.0.6"] }])], place);
  expect(elementsOf(both, "endpoints")[`${cluster} . 0`]).toBe("10.244.0.6 . 80");
  expect(both?.largest).toEqual({ n: 1 });
});

test("external traffic that stays local keeps its source; to the cluster's own the front is a shortcut", () => {
  const local = service("web", { ...spec, externalTrafficPolicy: "Local", sessionAffinity: "ClientIP" });
  const near = { addresses: ["10.244.0.5"], nodeName: "a" };
  const far = { addresses: ["10.244.1.5"], nodeName: "b" };
  const both = serviceFragment(local, [slice(80, [near, far])], place);
  expect(elementsOf(both, "services")).toEqual({ [cluster]: "goto h2", [node]: "goto s1" });
  expect(elementsOf(both, "inner")).toEqual({ [node]: "goto i2" });
  expect(elementsOf(both, "sticky")).toEqual({ [cluster]: "jump t10800", [node]: "jump t10800" });
  // Other nodes could serve: balancers outside are to try them, so nothing is answered here.
  const elsewhere = serviceFragment(local, [slice(80, [far])], place);
  expect(elementsOf(elsewhere, "refused")).toEqual({ [node]: "drop" });
});

test("a balancer's address: source ranges hold, `Proxy` is left to the balancer", () => {
  const ingress = [
    { ip: "203.0.113.1", ipMode: "VIP" },
    { ip: "203.0.113.2", ipMode: "Proxy" },
  ];
  const ranges = ["10.0.0.0/8", "0.0.0.0/0", "fd00::/8"];
  const balanced = service(
    "web",
    { ...spec, type: "LoadBalancer", loadBalancerSourceRanges: ranges },
    { loadBalancer: { ingress } },
  );
  const fragment = serviceFragment(balanced, [slice(80, [{ addresses: ["10.244.0.5"] }])], place);
  const front = "203.0.113.1 . tcp . 80";
  expect(Object.keys(elementsOf(fragment, "services"))).toEqual([cluster, front, node]);
  expect(Object.keys(elementsOf(fragment, "restricted"))).toEqual([front]);
  expect(Object.keys(elementsOf(fragment, "allowed"))).toEqual([
    `${front} . 10.0.0.0/8`,
    `${front} . 0.0.0.0/0`,
  ]);
});

test("hints: the node's endpoints before the zone's, and all of them where one has none", () => {
  const at = (address: string, zone?: string, nodeName?: string): Draft<discoveryv1.Endpoint> => ({
    addresses: [address],
    hints: {
      ...(zone ? { forZones: [{ name: zone }] } : {}),
      ...(nodeName ? { forNodes: [{ name: nodeName }] } : {}),
    },
  });
  const addresses = (...endpoints: Draft<discoveryv1.Endpoint>[]) =>
    targetsOf([slice(80, endpoints)], "http", place).cluster.map(({ address }) => address);
  expect(addresses(at("1", "z1", "a"), at("2", "z1", "b"), at("3", "z2", "c"))).toEqual(["1"]);
  expect(addresses(at("1", "z1"), at("2", "z1", "b"), at("3", "z2", "c"))).toEqual(["1", "2"]);
  expect(addresses(at("1", "z1", "b"), at("2"))).toEqual(["1", "2"]);
  expect(addresses(at("1", "z2", "b"), at("2", "z3", "b"))).toEqual(["1", "2"]);
});

test("headless and ExternalName Services have no front; host ports do, on 127.0.0.1 too", () => {
  expect(
    serviceFragment(service("db", { clusterIP: "None", ports: [{ port: 5432 }] }), [], place),
  ).toBeUndefined();
  const outside = service("ext", { type: "ExternalName", externalName: "example.org" });
  expect(serviceFragment(outside, [], place)).toBeUndefined();
  const pod = (hostIP?: string) =>
    ({
      spec: {
        containers: [{ ports: [{ containerPort: 53, hostPort: 5300, protocol: "UDP", hostIP }] }],
      },
      status: { podIP: "10.244.0.9", phase: "Running" },
    }) as unknown as corev1.Pod;
  const fronts = (hostIP?: string) =>
    Object.keys(elementsOf(hostPortFragment(pod(hostIP), place), "services"));
  expect(fronts()).toEqual(["192.0.2.2 . udp . 5300", "127.0.0.1 . udp . 5300"]);
  expect(fronts("127.0.0.1")).toEqual(["127.0.0.1 . udp . 5300"]);
  expect(linkOf("10.244.0.9 dev veth7 src 10.244.0.1 uid 0")).toBe("veth7");
});

const someFragment = fc
  .dictionary(fc.constantFrom("1", "2", "3", "4"), fc.constantFrom("x", "y"))
  .map((all): Fragment => ({ elements: new Map([["services", new Map(Object.entries(all))]]), largest: {} }));

test("property: the changes lead from what was to what is, whoever claims an element", () => {
  const steps = fc.array(
    fc.tuple(fc.constantFrom("a", "b", "c"), fc.option(someFragment, { nil: undefined })),
  );
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 3 }), (list, each) => {
      const store = new ElementStore();
      const kernel = new Map<string, string>();
      const last = new Map<string, Fragment | undefined>();
      list.forEach(([owner, fragment], i) => {
        store.set(owner, fragment);
        last.set(owner, fragment);
        if (i % each !== 0) return;
        for (const { element, before, after } of store.take()) apply(kernel, element, before, after);
      });
      for (const { element, before, after } of store.take()) apply(kernel, element, before, after);
      const wanted = new Map<string, string>();
      for (const owner of [...last.keys()].sort())
        for (const [element, value] of last.get(owner)?.elements.get("services") ?? [])
          if (!wanted.has(element)) wanted.set(element, value);
      expect(new Map([...kernel].sort())).toEqual(new Map([...wanted].sort()));
    }),
  );
});

function apply(kernel: Map<string, string>, element: string, before?: string, after?: string): void {
  // As the kernel: what is deleted has to be there.
  expect(kernel.get(element)).toBe(before);
  if (after === undefined) kernel.delete(element);
  else kernel.set(element, after);
}

test("a change of value removes before it adds; the same state needs no transaction", () => {
  const options = {
    table: "t",
    family: "ip",
    clusterCidr: "10.244.0.0/16",
    podCidr: "10.244.0.0/24",
  } as const;
  const change: Change = { set: "services", element: cluster, before: "goto n1", after: "goto n2" };
  expect(transaction(options, [change])).toBe(
    `delete element ip t services { ${cluster} : goto n1 }\nadd element ip t services { ${cluster} : goto n2 }\n`,
  );
  expect(transaction(options, [])).toBe("");
  const larger = capacityWith(leastCapacity, { elements: new Map(), largest: { n: 33 }, timeoutSeconds: 5 });
  expect([larger.counts.n, larger.timeouts]).toEqual([64, [10_800, 5]]);
  expect(capacityWith(larger, { elements: new Map(), largest: { n: 64 } })).toBe(larger);
  expect(skeleton(options, larger)).toContain("chain n64 {");
});

test("what has gone: endpoints that are behind the front no more, and the front itself where it had none", () => {
  const store = new ElementStore();
  const with_ = (...addresses: string[]) =>
    serviceFragment(
      web,
      [
        slice(
          80,
          addresses.map((address) => ({ addresses: [address] })),
        ),
      ],
      place,
    );
  store.set("web", with_());
  store.take();
  store.set("web", with_("10.244.0.1", "10.244.0.2"));
  expect(goneTargets(store.take(), store)).toContainEqual({ front: cluster, target: "10.96.0.7 . 80" });
  store.set("web", with_("10.244.0.2"));
  expect(goneTargets(store.take(), store).filter(({ front }) => front === cluster)).toEqual([
    { front: cluster, target: "10.244.0.1 . 80" },
  ]);
});

test("a Service that goes takes what is known of its clients along", () => {
  const sticky = service("web", { ...spec, sessionAffinity: "ClientIP" });
  const store = new ElementStore();
  store.set("web", serviceFragment(sticky, [slice(80, [{ addresses: ["10.244.0.1"] }])], place));
  store.take();
  store.set("web", undefined);
  const changes = store.take();
  const front = "10.96.0.7 . tcp . 80";
  expect(stickyOf(goneTargets(changes, store), changes, store)).toContainEqual({
    front,
    target: "10.244.0.1 . 80",
  });
  const other = new ElementStore();
  other.set(
    "web",
    serviceFragment(service("web", spec), [slice(80, [{ addresses: ["10.244.0.1"] }])], place),
  );
  other.take();
  other.set("web", undefined);
  const none = other.take();
  expect(stickyOf(goneTargets(none, other), none, other)).toEqual([]);
});

test("the kernel's memory of clients, as nft lists it", () => {
  const elem = [
    [
      { elem: { val: { concat: ["10.244.0.9", "10.96.0.7", 6, 80] }, timeout: 10800, expires: 9 } },
      { concat: ["10.244.0.1", 8080] },
    ],
  ];
  expect(parseAffinities(JSON.stringify({ nftables: [{ metainfo: {} }, { map: { elem } }] }))).toEqual([
    { client: "10.244.0.9", front: "10.96.0.7 . 6 . 80", target: "10.244.0.1 . 8080" },
  ]);
});

test("a health check answers as kube-proxy does", () => {
  const answer = healthAnswer({ namespace: "default", name: "web", localEndpoints: 2 }, true);
  expect(JSON.parse(answer)).toEqual({
    service: { namespace: "default", name: "web" },
    localEndpoints: 2,
    serviceProxyHealthy: true,
  });
});
