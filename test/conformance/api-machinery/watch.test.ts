/** Watching ConfigMaps: who sees what, and from where a watch may begin again. */
import { expect } from "vitest";
import { configMaps } from "#api";
import { never } from "../../eventually.ts";
import { conformance } from "../suite.ts";

const label = "watch-this-configmap";
type ConfigMap = { metadata: { name?: string }; data?: Record<string, string> };
const named = (name: string) => (object: ConfigMap) => object.metadata.name === name;
const mutation = (value: string) => (object: ConfigMap) => object.data?.mutation === value;

conformance(
  "api-machinery-7efb51",
  "Several watchers each see the changes they asked for",
  async ({ kube, namespace }) => {
    const maps = kube.resource(configMaps, namespace);
    using a = await maps.watch({ labelSelector: `${label}=a` });
    using b = await maps.watch({ labelSelector: `${label}=b` });
    using both = await maps.watch({ labelSelector: `${label} in (a,b)` });

    await maps.create({ metadata: { name: "map-a", labels: { [label]: "a" } } });
    await a.next("ADDED", named("map-a"));
    await both.next("ADDED", named("map-a"));
    for (const value of ["1", "2"]) {
      await maps.update("map-a", (map) => {
        map.data = { mutation: value };
      });
      await a.next("MODIFIED", mutation(value));
      await both.next("MODIFIED", mutation(value));
    }
    await maps.delete("map-a");
    await a.next("DELETED", named("map-a"));
    await both.next("DELETED", named("map-a"));
    expect(b.events).toEqual([]);

    await maps.create({ metadata: { name: "map-b", labels: { [label]: "b" } } });
    await b.next("ADDED", named("map-b"));
    await both.next("ADDED", named("map-b"));
    await maps.delete("map-b");
    await b.next("DELETED", named("map-b"));
    await both.next("DELETED", named("map-b"));
    expect(a.events.map((event) => event.type)).toEqual(["ADDED", "MODIFIED", "MODIFIED", "DELETED"]);
  },
);

conformance(
  "api-machinery-e67aa0",
  "A watch from a revision sees everything after it",
  async ({ kube, namespace }) => {
    const maps = kube.resource(configMaps, namespace);
    const created = await maps.create({ metadata: { name: "map", labels: { [label]: "from-revision" } } });
    expect(created.metadata.resourceVersion).toBeTruthy();
    const first = await maps.update("map", (map) => {
      map.data = { mutation: "1" };
    });
    await maps.update("map", (map) => {
      map.data = { mutation: "2" };
    });
    await maps.delete("map");
    using watched = await maps.watch({ resourceVersion: first.metadata.resourceVersion ?? "" });
    await watched.next("MODIFIED", mutation("2"));
    await watched.next("DELETED", mutation("2"));
    const own = watched.events.filter((event) => named("map")(event.object));
    expect(own.map((event) => event.type)).toEqual(["MODIFIED", "DELETED"]);
  },
);

conformance(
  "api-machinery-31bae4",
  "A watch that was closed goes on where it stopped",
  async ({ kube, namespace }) => {
    const maps = kube.resource(configMaps, namespace);
    const labelSelector = `${label}=closed`;
    const first = await maps.watch({ labelSelector });
    await maps.create({ metadata: { name: "map", labels: { [label]: "closed" } } });
    await first.next("ADDED", named("map"));
    await maps.update("map", (map) => {
      map.data = { mutation: "1" };
    });
    const last = await first.next("MODIFIED", mutation("1"));
    first.close();
    await maps.update("map", (map) => {
      map.data = { mutation: "2" };
    });
    using second = await maps.watch({
      labelSelector,
      resourceVersion: last.object.metadata.resourceVersion ?? "",
    });
    await second.next("MODIFIED", mutation("2"));
    await maps.delete("map");
    await second.next("DELETED", named("map"));
    expect(second.events.map((event) => event.type)).toEqual(["MODIFIED", "DELETED"]);
  },
);

conformance(
  "api-machinery-4fe69b",
  "An object that leaves or enters the selection is deleted or added for its watcher",
  async ({ kube, namespace }) => {
    const maps = kube.resource(configMaps, namespace);
    using watched = await maps.watch({ labelSelector: `${label}=changed` });
    const relabel = (value: string) =>
      maps.update("map", (map) => {
        map.metadata.labels = { [label]: value };
      });
    const mutate = (value: string) =>
      maps.update("map", (map) => {
        map.data = { mutation: value };
      });
    await maps.create({ metadata: { name: "map", labels: { [label]: "changed" } } });
    await watched.next("ADDED", named("map"));
    await mutate("1");
    await watched.next("MODIFIED", mutation("1"));
    await relabel("other");
    await watched.next("DELETED", named("map"));
    await mutate("2");
    await never("an event of what is not selected", async () => watched.events[3], 1_000);
    await relabel("changed");
    await mutate("3");
    await watched.next("MODIFIED", mutation("3"));
    await maps.delete("map");
    await watched.next("DELETED", mutation("3"));
    expect(watched.events.map((event) => event.type)).toEqual([
      "ADDED",
      "MODIFIED",
      "DELETED",
      "ADDED",
      "MODIFIED",
      "DELETED",
    ]);
  },
);

conformance(
  "api-machinery-4baa9a",
  "All watchers see the same changes in the same order",
  async ({ kube, namespace }) => {
    const maps = kube.resource(configMaps, namespace);
    const { metadata } = await maps.list();
    const versions: string[] = [];
    for (let i = 0; i < 40; i++) {
      const object = { metadata: { name: `map-${i % 8}` }, data: { round: String(i) } };
      if (i < 8) versions.push((await maps.create(object)).metadata.resourceVersion ?? "");
      else
        versions.push(
          (
            await maps.update(`map-${i % 8}`, (map) => {
              map.data = object.data;
            })
          ).metadata.resourceVersion ?? "",
        );
    }
    const starts = [metadata.resourceVersion ?? "", ...versions.slice(0, 19)];
    for (const [index, resourceVersion] of starts.entries()) {
      using watched = await maps.watch({ resourceVersion });
      await watched.next("MODIFIED", (map) => map.metadata.resourceVersion === versions.at(-1));
      const seen = watched.events
        .filter((event) => event.object.metadata.name?.startsWith("map-"))
        .map((event) => event.object.metadata.resourceVersion);
      expect(seen).toEqual(versions.slice(index));
    }
  },
);
