import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { configMaps, endpoints, services } from "#api";
import { createWorld, silentLogger } from "#base";
import { openEmbeddedStore } from "#store";
import { startTestServer } from "./testing/start.ts";

const folder = mkdtempSync(join(tmpdir(), "knarr-restart-"));
afterAll(() => rmSync(folder, { recursive: true }));

const world = createWorld({ log: silentLogger });
const start = async () =>
  startTestServer({ store: await openEmbeddedStore({ world, path: join(folder, "state.db") }) });

it("comes back with everything: objects, versions, addresses in use, watches that go on", async () => {
  const first = await start();
  const service = await first.client.create(services, {
    metadata: { name: "web", namespace: "default" },
    spec: { ports: [{ port: 80 }] },
  });
  const before = await first.client.create(configMaps, { metadata: { name: "a", namespace: "default" } });
  await first.client.create(configMaps, { metadata: { name: "b", namespace: "default" } });
  const revision = first.store.revision;
  await first.stop();

  const second = await start();
  // Starting changes nothing that is as it should be.
  expect(second.store.revision).toBe(revision);
  expect(await second.client.get(services, { namespace: "default", name: "web" })).toEqual(service);
  const wish = {
    metadata: { name: "thief", namespace: "default" },
    spec: { clusterIP: service.spec.clusterIP!, ports: [{ port: 80 }] },
  };
  await expect(second.client.create(services, wish)).rejects.toThrow(/already allocated/);
  const stopping = new AbortController();
  const options = { resourceVersion: before.metadata.resourceVersion, signal: stopping.signal };
  for await (const event of second.client.watch(configMaps, options)) {
    expect(event).toMatchObject({ type: "ADDED", object: { metadata: { name: "b" } } });
    stopping.abort();
  }
  await expect(
    second.client.get(endpoints, { namespace: "default", name: "kubernetes" }),
  ).rejects.toMatchObject({ code: 404 });
  await second.stop();
});
