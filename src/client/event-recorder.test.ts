import { expect, test } from "vitest";
import type { corev1, ResourceType } from "#api";
import { createWorld, Rate, seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient } from "./client.ts";
import { createEventRecorder } from "./event-recorder.ts";
import { FakeApi } from "./testing/fake-api.ts";

const events: ResourceType<corev1.Event> = {
  group: "",
  version: "v1",
  resource: "events",
  kind: "Event",
  namespaced: true,
};

const pod = { apiVersion: "v1", kind: "Pod", namespace: "default", name: "web", uid: "u1" };

function setUp(rate?: { perSecond: number; burst: number }) {
  const clock = new VirtualClock();
  const world = createWorld({ clock, random: seededRandom(1), log: silentLogger });
  const api = new FakeApi(clock);
  const client = createClient(api);
  const limit = rate ? { rate: new Rate(clock, rate.perSecond, rate.burst) } : {};
  const recorder = createEventRecorder({ client, world, component: "tester", host: "node-1", ...limit });
  const written = async () => (await client.list(events, { namespace: "default" })).items;
  return { clock, api, recorder, written };
}

test("equal events become one with a count", async () => {
  const { recorder, written } = setUp();
  for (let i = 0; i < 3; i++) recorder.record(pod, "Normal", "Pulled", "image is there");
  await recorder.flush();
  const [event, ...others] = await written();
  expect(others).toEqual([]);
  expect(event).toMatchObject({
    involvedObject: pod,
    reason: "Pulled",
    type: "Normal",
    count: 3,
    source: { component: "tester", host: "node-1" },
  });
});

test("many similar events are shown as one", async () => {
  const { recorder, written } = setUp();
  for (let i = 0; i < 20; i++) recorder.record(pod, "Warning", "Failed", `try ${i}`);
  await recorder.flush();
  const all = await written();
  expect(all).toHaveLength(10);
  expect(all.at(-1)).toMatchObject({ count: 11, message: "(combined from similar events): try 19" });
});

test("an object that causes too many events is cut short", async () => {
  const { clock, api, recorder } = setUp();
  for (let i = 0; i < 200; i++) recorder.record(pod, "Normal", `Reason${i}`, "…");
  await recorder.flush();
  expect(api.writes).toHaveLength(25);
  await clock.advance(10 * 60 * 1000);
  for (let i = 0; i < 200; i++) recorder.record(pod, "Normal", `Later${i}`, "…");
  await recorder.flush();
  expect(api.writes).toHaveLength(27);
});

test("events are written no more often than they may, and all of them in the end", async () => {
  const { clock, api, recorder } = setUp({ perSecond: 1, burst: 3 });
  for (let i = 0; i < 10; i++) recorder.record(pod, "Normal", `Reason${i}`, "…");
  await clock.advance(1);
  expect(api.writes).toHaveLength(3);
  await clock.advance(2000);
  expect(api.writes).toHaveLength(5);
  await recorder.stop();
  expect(api.writes).toHaveLength(10);
});

test("a server that fails loses the event and nothing else", async () => {
  const { api, recorder, written } = setUp();
  api.fault = () => new Error("connection refused");
  recorder.record(pod, "Normal", "Lost", "…");
  await recorder.flush();
  api.fault = undefined;
  recorder.record(pod, "Normal", "Kept", "…");
  await recorder.stop();
  expect((await written()).map((event) => event.reason)).toEqual(["Kept"]);
});
