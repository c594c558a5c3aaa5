/** The kinds of the network as objects of the API: created, read, changed, deleted alone and together. */
import { expect } from "vitest";
import {
  endpointSlices,
  endpoints,
  ingressClasses,
  ingresses,
  type networkingv1,
  serviceCidrs,
  services,
} from "#api";
import { eventually } from "../../eventually.ts";
import { expectDiscovered, livesThroughEveryVerb, resourceType, statusIsItsOwn } from "../life-cycle.ts";
import { conformance } from "../suite.ts";

const rules = [
  {
    host: "foo.bar.com",
    http: {
      paths: [
        {
          path: "/",
          pathType: "ImplementationSpecific" as const,
          backend: { service: { name: "test-backend", port: { number: 8080 } } },
        },
      ],
    },
  },
];

conformance("network-3603e7", "Ingresses support every operation of the API", async ({ kube, namespace }) => {
  await livesThroughEveryVerb(kube, {
    type: ingresses,
    namespace,
    make: () => ({ spec: { rules } }),
    subresources: ["ingresses/status"],
  });
  const all = kube.resource(ingresses, namespace);
  await all.create({ metadata: { name: "status" }, spec: { ingressClassName: "nobody-s", rules } });
  const loadBalancer = { ingress: [{ ip: "169.1.1.1" }] };
  await statusIsItsOwn(all, "status", { loadBalancer }, (status) => {
    status.loadBalancer = { ingress: [{ ip: "169.1.1.2" }] };
  });
});

conformance("network-257a8b", "IngressClasses support every operation of the API", ({ kube, unique }) =>
  livesThroughEveryVerb(kube, {
    type: ingressClasses,
    name: (index) => unique(`class-${index}`),
    make: () => ({ spec: { controller: "example.com/controller" } }),
  }),
);

const ipAddresses = resourceType<networkingv1.IPAddress>(
  "networking.k8s.io/v1",
  "IPAddress",
  "ipaddresses",
  "Cluster",
);

conformance("network-322586", "IPAddresses support every operation of the API", ({ kube, namespace }) =>
  livesThroughEveryVerb(kube, {
    type: ipAddresses,
    name: (index) => `198.51.100.${index + 10}`,
    make: () => ({ spec: { parentRef: { resource: "services", name: "nobody-s", namespace } } }),
  }),
);

conformance(
  "network-2a6521",
  "ServiceCIDRs support every operation of the API",
  async ({ kube, unique, afterwards }) => {
    let index = 0;
    await livesThroughEveryVerb(kube, {
      type: serviceCidrs,
      name: (of) => unique(`cidr-${of}`),
      // Ranges from which no Service of a test gets its address: they are created and gone at once, one after the other.
      make: () => ({ spec: { cidrs: [`203.0.113.${16 * index++}/28`] } }),
      subresources: ["servicecidrs/status"],
    });
    const all = kube.resource(serviceCidrs);
    const name = unique("status");
    afterwards(async () => (await all.find(name)) && all.delete(name));
    await all.create({ metadata: { name }, spec: { cidrs: ["203.0.113.128/28"] } });
    const time = "2026-01-01T00:00:00Z";
    const condition = {
      status: "True" as const,
      reason: "Test",
      message: "of a test",
      lastTransitionTime: time,
    };
    await statusIsItsOwn(
      all,
      name,
      { conditions: [{ type: "Patched", ...condition }] },
      (status) => {
        status.conditions = [{ type: "Updated", ...condition }];
      },
      { takesMetadata: false },
    );
  },
);

conformance(
  "network-c953f1",
  "Endpoints are created, updated, patched and deleted together",
  async ({ kube, namespace }) => {
    const all = kube.resource(endpoints, namespace);
    const everywhere = kube.resource(endpoints);
    const labelSelector = `e2e-endpoints=${namespace}`;
    using watched = await all.watch({ labelSelector });
    await all.create({
      metadata: { name: "custom", labels: { "e2e-endpoints": namespace } },
      subsets: [{ addresses: [{ ip: "10.0.0.24" }], ports: [{ name: "http", port: 80, protocol: "TCP" }] }],
    });
    await watched.next("ADDED");
    expect((await everywhere.list({ labelSelector })).items.map(({ metadata }) => metadata.name)).toEqual([
      "custom",
    ]);
    await all.update("custom", ({ metadata }) => {
      metadata.labels = { ...metadata.labels, updated: "yes" };
    });
    await watched.next("MODIFIED", ({ metadata }) => metadata.labels?.updated === "yes");
    const subsets = [
      { addresses: [{ ip: "10.0.0.25" }], ports: [{ name: "http-test", port: 8080, protocol: "TCP" }] },
    ];
    await all.patch("custom", "strategic", { metadata: { labels: { patched: "yes" } }, subsets });
    await watched.next("MODIFIED", ({ metadata }) => metadata.labels?.patched === "yes");
    expect((await all.get("custom")).subsets).toEqual(subsets);
    await all.deleteCollection({ labelSelector });
    await watched.next("DELETED");
    expect(await all.find("custom")).toBeUndefined();
  },
);

conformance(
  "network-b11d38",
  "Endpoints that somebody writes are mirrored to EndpointSlices",
  async ({ kube, namespace }) => {
    await expectDiscovered(kube, endpointSlices, ["endpointslices"]);
    const name = "custom";
    await kube.resource(services, namespace).create({
      metadata: { name },
      spec: { ports: [{ name: "example", port: 80, protocol: "TCP" }] },
    });
    const ports = [{ name: "example", port: 80, protocol: "TCP" as const }];
    const all = kube.resource(endpoints, namespace);
    await all.create({ metadata: { name }, subsets: [{ ports, addresses: [{ ip: "10.1.2.3" }] }] });
    const mirrored = (what: string, wanted: (addresses: string[]) => boolean) =>
      eventually(what, async () => {
        const { items } = await kube.resource(endpointSlices, namespace).list({
          labelSelector: `kubernetes.io/service-name=${name}`,
        });
        const addresses = items.flatMap((slice) => (slice.endpoints ?? []).flatMap((each) => each.addresses));
        return wanted(addresses) ? items : undefined;
      });
    const [slice] = await mirrored("the mirror of Endpoints", (found) => found.length === 1);
    expect(slice?.ports).toEqual(ports);
    expect(slice?.endpoints?.[0]?.addresses).toEqual(["10.1.2.3"]);
    expect(slice?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"]).toBe(
      "endpointslicemirroring-controller.k8s.io",
    );
    await all.update(name, (object) => {
      object.subsets![0]!.addresses = [{ ip: "10.2.3.4" }];
    });
    await mirrored("the mirror of changed Endpoints", (found) => found.join() === "10.2.3.4");
    await all.delete(name);
    await mirrored("the end of the mirror", (found) => found.length === 0);
  },
);
