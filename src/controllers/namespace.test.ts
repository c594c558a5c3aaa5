import { expect, test } from "vitest";
import { configMaps, type corev1, namespaces, serviceAccounts } from "#api";
import { testWorld } from "./kit/world.fixture.ts";
import { deletionConditions, type Remains } from "./namespace.ts";

test("every namespace gets its service account and its authority, and gets them back", async () => {
  const world = testWorld();
  await world.create(namespaces, { metadata: { name: "team" }, spec: {} });
  const running = await world.run("serviceaccount-controller", "root-ca-certificate-publisher");
  await world.clock.advance(100);
  const map = { namespace: "team", name: "kube-root-ca.crt" };
  expect((await world.client.get(configMaps, map)).data).toEqual({ "ca.crt": "-----PEM-----" });
  await world.client.patch(configMaps, map, "merge", { data: { "ca.crt": "wrong" } });
  await world.client.delete(serviceAccounts, { namespace: "team", name: "default" });
  await world.clock.advance(100);
  expect((await world.client.get(configMaps, map)).data).toEqual({ "ca.crt": "-----PEM-----" });
  await expect(
    world.client.get(serviceAccounts, { namespace: "team", name: "default" }),
  ).resolves.toBeDefined();
  await running.stop();
});

test("what a namespace waits for stands in its conditions", () => {
  const remains: Remains[] = [
    { resource: "pods", count: 2, finalizers: { "example.com/hold": 2 } },
    { resource: "secrets", count: 0, finalizers: {} },
  ];
  const conditions = deletionConditions(undefined, remains, 0);
  const told = (list: corev1.NamespaceCondition[]) =>
    Object.fromEntries(list.map((c) => [c.type, c.message]));
  expect(told(conditions)).toMatchObject({
    NamespaceContentRemaining: "Some resources are remaining: pods has 2 resource instances",
    NamespaceFinalizersRemaining:
      "Some content in the namespace has finalizers remaining: example.com/hold in 2 resource instances",
  });
  const later = deletionConditions(conditions, [], 1000);
  expect(later.every((condition) => condition.status === "False")).toBe(true);
});
