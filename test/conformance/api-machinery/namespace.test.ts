/** Namespaces: their life, their finalizers, and the end of what is in them. */
import { expect } from "vitest";
import { configMaps, type corev1, namespaces, pods, services } from "#api";
import { eventually } from "../../eventually.ts";
import { podSpec } from "../objects.ts";
import { conformance } from "../suite.ts";

conformance("api-machinery-4e5b75", "A namespace is patched", async ({ kube, unique }) => {
  const all = kube.resource(namespaces);
  const name = unique("patched");
  await all.create({ metadata: { name } });
  await all.patch(name, "strategic", { metadata: { labels: { testLabel: "testValue" } } });
  expect((await all.get(name)).metadata.labels?.testLabel).toBe("testValue");
  await all.delete(name);
});

conformance("api-machinery-42a798", "A namespace is updated", async ({ kube, namespace }) => {
  const all = kube.resource(namespaces);
  const updated = await all.update(namespace, (object) => {
    object.metadata.labels = { ...object.metadata.labels, "e2e-namespace": "updated" };
  });
  expect(updated.metadata.labels?.["e2e-namespace"]).toBe("updated");
});

conformance(
  "api-machinery-882301",
  "The status of a namespace is patched and updated",
  async ({ kube, namespace }) => {
    const all = kube.resource(namespaces);
    expect((await all.get(namespace, "status")).status?.phase).toBe("Active");
    const condition = { type: "StatusPatch", status: "True", reason: "E2E", message: "Patched by a test" };
    const patched = await all.patch(
      namespace,
      "merge",
      { metadata: { annotations: { patched: "true" } }, status: { conditions: [condition] } },
      "status",
    );
    expect(patched.metadata.annotations?.patched).toBe("true");
    expect(patched.status?.conditions).toEqual([expect.objectContaining(condition)]);
    const updated = await all.update(
      namespace,
      ({ status }) => {
        status!.conditions = [
          ...(status!.conditions ?? []),
          { ...condition, type: "StatusUpdate", lastTransitionTime: "2026-01-01T00:00:00Z" },
        ];
      },
      "status",
    );
    expect(updated.status?.conditions?.map(({ type }) => type)).toEqual(["StatusPatch", "StatusUpdate"]);
  },
);

conformance(
  "api-machinery-08bf40",
  "A namespace takes a finalizer and gives it up again",
  async ({ kube, unique }) => {
    const all = kube.resource(namespaces);
    const name = unique("finalized");
    const fake = "e2e.example.com/fakeFinalizer";
    await all.create({ metadata: { name } });
    const finalize = (change: (object: corev1.Namespace) => void) => all.update(name, change, "finalize");
    const held = await finalize((object) => object.spec?.finalizers?.push(fake));
    expect(held.spec?.finalizers).toContain(fake);
    const released = await finalize((object) => {
      object.spec = { finalizers: (object.spec?.finalizers ?? []).filter((each) => each !== fake) };
    });
    expect(released.spec?.finalizers).not.toContain(fake);
    await all.delete(name);
    await all.untilGone(name);
  },
);

conformance("api-machinery-c923e7", "With a namespace go its pods", async ({ kube, image, unique }) => {
  const all = kube.resource(namespaces);
  const name = unique("pods");
  await all.create({ metadata: { name } });
  await eventually("a service account", () =>
    kube.ask("GET", `/api/v1/namespaces/${name}/serviceaccounts/default`),
  );
  const inside = kube.resource(pods, name);
  await inside.create({ metadata: { name: "test-pod" }, spec: podSpec(image) });
  await inside.until("test-pod", (pod) => pod.status?.phase === "Running");
  await all.delete(name);
  await all.untilGone(name);
  await all.create({ metadata: { name } });
  expect((await inside.list()).items).toEqual([]);
  await all.delete(name);
});

conformance("api-machinery-35be2a", "With a namespace go its services", async ({ kube, unique }) => {
  const all = kube.resource(namespaces);
  const name = unique("services");
  await all.create({ metadata: { name } });
  const inside = kube.resource(services, name);
  await inside.create({
    metadata: { name: "test-service" },
    spec: { selector: { foo: "bar" }, ports: [{ port: 80 }] },
  });
  await all.delete(name);
  await all.untilGone(name);
  await all.create({ metadata: { name } });
  expect((await inside.list()).items).toEqual([]);
  await all.delete(name);
});

conformance(
  "api-machinery-f7b7d5",
  "Pods go before everything else in a namespace",
  async ({ kube, image, unique }) => {
    const all = kube.resource(namespaces);
    const name = unique("ordered");
    await all.create({ metadata: { name } });
    await eventually("a service account", () =>
      kube.ask("GET", `/api/v1/namespaces/${name}/serviceaccounts/default`),
    );
    const held = kube.resource(pods, name);
    const maps = kube.resource(configMaps, name);
    const finalizers = ["e2e.example.com/finalizer"];
    await held.create({ metadata: { name: "held", finalizers }, spec: podSpec(image) });
    await maps.create({ metadata: { name: "waiting" } });
    await all.delete(name);
    const waiting = await all.until(name, ({ status }) =>
      Boolean(
        status?.conditions?.some(
          ({ type, status: is }) => type === "NamespaceContentRemaining" && is === "True",
        ),
      ),
    );
    expect(waiting.status?.phase).toBe("Terminating");
    expect(await held.find("held")).toBeDefined();
    expect((await maps.get("waiting")).metadata.deletionTimestamp).toBeUndefined();
    await held.patch("held", "merge", { metadata: { finalizers: null } });
    await all.untilGone(name);
  },
);
