import { expect, test } from "vitest";
import { events, pods, resourceClaims, resourceClaimTemplates } from "#api";
import { testWorld } from "./kit/world.fixture.ts";
import { resourceClaimController } from "./resource-claims.ts";

const spec = { devices: { requests: [{ name: "gpu" }] } };

async function worldWithPod() {
  const world = testWorld();
  const running = await world.run(resourceClaimController.name);
  await world.create(pods, {
    metadata: { namespace: "default", name: "user" },
    spec: { containers: [], resourceClaims: [{ name: "gpu", resourceClaimTemplateName: "one-gpu" }] },
  });
  const settle = () => world.clock.advance(2_000);
  await settle();
  const template = () =>
    world.create(resourceClaimTemplates, {
      metadata: { namespace: "default", name: "one-gpu" },
      spec: { metadata: { labels: { a: "b" } }, spec },
    });
  const claims = async () => (await world.client.list(resourceClaims, { namespace: "default" })).items;
  return { world, running, settle, template, claims };
}

test("a pod gets a claim of its template once there is one, and its status names it", async () => {
  const { world, running, settle, template, claims } = await worldWithPod();
  const told = (await world.client.list(events, { namespace: "default" })).items;
  expect(told[0]?.message).toBe(
    'PodResourceClaim gpu: resource claim template "one-gpu": resourceclaimtemplate.resource.k8s.io "one-gpu" not found',
  );
  await template();
  await settle();
  const [claim, ...more] = await claims();
  expect(more).toEqual([]);
  expect(claim?.spec).toEqual(spec);
  expect(claim?.metadata).toMatchObject({
    labels: { a: "b" },
    annotations: { "resource.kubernetes.io/pod-claim-name": "gpu" },
    ownerReferences: [{ kind: "Pod", name: "user", controller: true }],
  });
  const [pod] = await world.podsOf();
  expect(pod?.status?.resourceClaimStatuses).toEqual([
    { name: "gpu", resourceClaimName: claim?.metadata.name },
  ]);
  expect(await world.metrics()).toContain(
    'dynamic_resource_allocation_resourceclaim_creates_total{status="success",admin_access="false"} 1',
  );
  await running.stop();
});

test("a pod that has ended gives back what it had reserved, and its own claim goes", async () => {
  const { world, running, settle, template, claims } = await worldWithPod();
  await template();
  await settle();
  const [claim] = await claims();
  const [pod] = await world.podsOf();
  const { name, uid } = pod!.metadata;
  const shared = await world.create(resourceClaims, {
    metadata: {
      namespace: "default",
      name: "shared",
      finalizers: ["resource.kubernetes.io/delete-protection"],
    },
    spec,
    status: { allocation: {}, reservedFor: [{ resource: "pods", name, uid }] },
  });
  await settle();
  const kept = await world.client.get(resourceClaims, shared.metadata);
  expect(kept.status?.reservedFor).toHaveLength(1);
  const status = { phase: "Succeeded" };
  await world.client.patch(pods, pod!.metadata, "merge", { status }, { subresource: "status" });
  await settle();
  const left = await world.client.get(resourceClaims, shared.metadata);
  expect([left.status?.allocation, left.status?.reservedFor, left.metadata.finalizers]).toEqual([
    undefined,
    undefined,
    [],
  ]);
  await expect(world.client.get(resourceClaims, claim!.metadata)).rejects.toThrow("not found");
  await running.stop();
});
