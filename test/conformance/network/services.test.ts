/** Services as objects of the API, and the one that every cluster has. */
import { expect } from "vitest";
import { endpointSlices, endpoints, services } from "#api";
import { statusIsItsOwn } from "../life-cycle.ts";
import { conformance } from "../suite.ts";

conformance("network-a7220b", "Every cluster has the Service kubernetes", async ({ kube }) => {
  const service = await kube.resource(services, "default").get("kubernetes");
  expect(service.spec?.ports).toMatchObject([{ name: "https", port: 443, protocol: "TCP" }]);
});

conformance("network-d070f9", "The Service kubernetes leads to the API server", async ({ kube }) => {
  const { subsets = [] } = await kube.resource(endpoints, "default").get("kubernetes");
  const addresses = subsets.flatMap((subset) => (subset.addresses ?? []).map(({ ip }) => ip));
  const ports = subsets.flatMap((subset) => (subset.ports ?? []).map(({ port }) => port));
  expect(addresses.length).toBeGreaterThan(0);
  const { items } = await kube
    .resource(endpointSlices, "default")
    .list({ labelSelector: "kubernetes.io/service-name=kubernetes" });
  expect(items.length).toBeGreaterThan(0);
  const sliced = items.flatMap((slice) => (slice.endpoints ?? []).flatMap((each) => each.addresses));
  expect([...new Set(sliced)].sort()).toEqual([...new Set(addresses)].sort());
  expect(items.flatMap((slice) => (slice.ports ?? []).map(({ port }) => port))).toEqual(ports);
});

conformance(
  "network-21ce24",
  "The Service kubernetes is found among those of all namespaces",
  async ({ kube }) => {
    const { items } = await kube.resource(services).list();
    const found = items.filter(
      ({ metadata }) => metadata.name === "kubernetes" && metadata.namespace === "default",
    );
    expect(found).toHaveLength(1);
  },
);

conformance("network-0ec26a", "Services are deleted as a collection", async ({ kube, namespace }) => {
  const all = kube.resource(services, namespace);
  for (const [index, set] of ["first", "second", "second"].entries())
    await all.create({
      metadata: { name: `service-${index}`, labels: { "e2e-set": set } },
      spec: { ports: [{ port: 80 }] },
    });
  expect((await all.list()).items).toHaveLength(3);
  await all.deleteCollection({ labelSelector: "e2e-set=second" });
  await all.untilGone("service-1");
  await all.untilGone("service-2");
  expect((await all.list()).items.map(({ metadata }) => metadata.name)).toEqual(["service-0"]);
});

conformance(
  "network-5c1834",
  "The status of a Service is read, patched and replaced",
  async ({ kube, namespace }) => {
    const all = kube.resource(services, namespace);
    const name = "status";
    const labelSelector = `e2e-status=${namespace}`;
    using watched = await all.watch({ labelSelector });
    await all.create({
      metadata: { name, labels: { "e2e-status": namespace } },
      spec: {
        type: "LoadBalancer",
        loadBalancerClass: "example.com/nobody-s",
        ports: [{ name: "http", port: 80 }],
      },
    });
    await watched.next("ADDED");
    expect((await kube.resource(services).list({ labelSelector })).items).toHaveLength(1);
    const loadBalancer = { ingress: [{ ip: "203.0.113.1" }] };
    const time = "2026-01-01T00:00:00Z";
    await statusIsItsOwn(all, name, { loadBalancer }, (status) => {
      status.conditions = [
        {
          type: "StatusUpdate",
          status: "True",
          reason: "E2E",
          message: "Set from e2e test",
          lastTransitionTime: time,
        },
      ];
    });
    await watched.next("MODIFIED", ({ status }) => status?.conditions?.[0]?.type === "StatusUpdate");
    const patched = await all.patch(name, "merge", { metadata: { labels: { "test-service": "patched" } } });
    expect(patched.metadata.labels?.["test-service"]).toBe("patched");
    expect(patched.status?.loadBalancer?.ingress?.[0]?.ip).toBe("203.0.113.1");
    await watched.next("MODIFIED", ({ metadata }) => metadata.labels?.["test-service"] === "patched");
    await all.delete(name);
    await watched.next("DELETED");
  },
);
