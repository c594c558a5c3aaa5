import { expect, it } from "vitest";
import { events } from "#api";
import { startTestServer } from "./testing/start.ts";

it("Events go an hour after their last change", async () => {
  const server = await startTestServer();
  const event = (name: string) => ({
    metadata: { name, namespace: "default" },
    involvedObject: { namespace: "default", name: "x", kind: "Pod" },
    reason: "Tested",
  });
  const names = async () =>
    (await server.client.list(events, { namespace: "default" })).items.map((e) => e.metadata.name);
  await server.client.create(events, event("old"));
  await server.client.create(events, event("busy"));
  await server.clock.advance(50 * 60_000);
  await server.client.patch(events, { namespace: "default", name: "busy" }, "merge", { count: 2 });
  expect(await names()).toEqual(["busy", "old"]);
  await server.clock.advance(15 * 60_000);
  expect(await names()).toEqual(["busy"]);
  await server.clock.advance(60 * 60_000);
  expect(await names()).toEqual([]);
  await server.stop();
});
