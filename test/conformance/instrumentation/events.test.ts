/** Events, as core/v1 and as events.k8s.io/v1 have them. */
import { expect } from "vitest";
import { type corev1, type Draft, events, eventsV1 } from "#api";
import { conformance } from "../suite.ts";

const time = "2026-01-01T00:00:00.000000Z";

function coreEvent(namespace: string, name: string, label: string): Draft<corev1.Event> {
  return {
    metadata: { name, labels: { "testevent-set": label } },
    message: "This is a test event",
    reason: "Test",
    type: "Normal",
    count: 1,
    involvedObject: { kind: "Pod", name: "a-pod", namespace },
    source: { component: "e2e-test" },
  };
}

function newEvent(namespace: string, name: string) {
  return {
    metadata: { name, labels: { "testevent-constant": "true" } },
    regarding: { kind: "Pod", name: "a-pod", namespace },
    reportingController: "test-controller",
    reportingInstance: "test-node",
    action: "Do",
    reason: "Test",
    type: "Normal",
    note: "This is a test event",
    eventTime: time,
  };
}

conformance("instrumentation-1626da", "Events are deleted as a collection", async ({ kube, namespace }) => {
  const all = kube.resource(events, namespace);
  for (const name of ["event-1", "event-2", "event-3"]) await all.create(coreEvent(namespace, name, "true"));
  const labelSelector = "testevent-set=true";
  expect((await all.list({ labelSelector })).items).toHaveLength(3);
  await all.deleteCollection({ labelSelector });
  expect((await all.list({ labelSelector })).items).toHaveLength(0);
});

conformance(
  "instrumentation-4bad2f",
  "An event is created, patched, counted and deleted",
  async ({ kube, namespace }) => {
    const all = kube.resource(events, namespace);
    const labelSelector = `testevent-set=${namespace}`;
    const everywhere = async () => (await kube.resource(events).list({ labelSelector })).items;
    await all.create(coreEvent(namespace, "lived", namespace));
    expect(await everywhere()).toHaveLength(1);
    await all.patch("lived", "strategic", { message: "patched: this is a test event" });
    expect((await all.get("lived")).message).toBe("patched: this is a test event");
    const series = { count: 100, lastObservedTime: time };
    await all.update("lived", (event) => {
      event.series = series;
    });
    expect((await all.get("lived")).series).toEqual(series);
    await all.delete("lived");
    expect(await everywhere()).toHaveLength(0);
  },
);

conformance(
  "instrumentation-67017e",
  "An event of events.k8s.io is fetched, patched, listed and deleted",
  async (given) => {
    const { kube, namespace } = given;
    const all = kube.resource(eventsV1, namespace);
    const names = async (of: typeof all) =>
      (await of.list({ labelSelector: "testevent-constant=true" })).items
        .filter(({ metadata }) => metadata.namespace === namespace)
        .map(({ metadata }) => metadata.name);
    await all.create(newEvent(namespace, "event-test"));
    expect(await names(kube.resource(eventsV1))).toEqual(["event-test"]);
    expect(await names(all)).toEqual(["event-test"]);
    const fieldSelector = "reportingController=test-controller";
    expect((await all.list({ fieldSelector })).items).toHaveLength(1);
    const created = await all.get("event-test");
    expect(created).toMatchObject(newEvent(namespace, "event-test"));
    const series = { count: 2, lastObservedTime: time };
    await all.patch("event-test", "strategic", { series });
    expect((await all.get("event-test")).series).toEqual(series);
    await all.update("event-test", (event) => {
      event.series = { count: 100, lastObservedTime: time };
    });
    expect((await all.get("event-test")).series?.count).toBe(100);
    await all.delete("event-test");
    expect(await names(kube.resource(eventsV1))).toEqual([]);
    expect(await names(all)).toEqual([]);
  },
);

conformance(
  "instrumentation-6c4d91",
  "Events of events.k8s.io are deleted as a collection",
  async ({ kube, namespace }) => {
    const all = kube.resource(eventsV1, namespace);
    for (const name of ["event-1", "event-2", "event-3"]) await all.create(newEvent(namespace, name));
    const labelSelector = "testevent-constant=true";
    expect((await all.list({ labelSelector })).items).toHaveLength(3);
    await all.deleteCollection({ labelSelector });
    expect((await all.list({ labelSelector })).items).toHaveLength(0);
  },
);
