import { expect, test } from "vitest";
import { pods } from "#api";
import { createWorld, silentLogger, VirtualClock } from "#base";
import { createClient, createEventRecorder, FakeApi } from "#client";
import { PodStatusWriter } from "./pod-status.ts";
import { podOf } from "./scheduler.fixture.ts";

async function setUp(names: readonly string[]) {
  const clock = new VirtualClock();
  const world = createWorld({ clock, log: silentLogger });
  const api = new FakeApi(clock);
  const client = createClient(api);
  const created = await Promise.all(names.map((name) => client.create(pods, podOf(name))));
  const status = new PodStatusWriter({
    client,
    world,
    events: createEventRecorder({ client, world, component: "tester" }),
  });
  const told = async (name: string) => {
    const { status: now } = await client.get(pods, { namespace: "default", name });
    const condition = now.conditions?.find(({ type }) => type === "PodScheduled");
    return [condition?.message, now.nominatedNodeName];
  };
  return { clock, status, told, pod: (name: string) => created[names.indexOf(name)]! };
}

const names = Array.from({ length: 20 }, (_, i) => `p${i}`);

test("a pod that gets its node is not told any more why it waited; others are", async () => {
  const s = await setUp(names);
  for (const name of names) s.status.unschedulable(s.pod(name), "no room", "n");
  s.status.superseded("default/p19");
  await s.clock.advance(100);
  expect(await s.told("p0")).toEqual(["no room", "n"]);
  expect(await s.told("p18")).toEqual(["no room", "n"]);
  expect(await s.told("p19")).toEqual([undefined, undefined]);
});

test("of what has not been sent the last holds, and its place stays unless it is taken away", async () => {
  const s = await setUp(names);
  for (const name of names) s.status.unschedulable(s.pod(name), "no room", "n");
  s.status.failed(s.pod("p17"), "broken");
  s.status.unschedulable(s.pod("p18"), "still no room", "");
  s.status.clearNomination(s.pod("p19"));
  await s.clock.advance(100);
  expect(await s.told("p17")).toEqual(["broken", "n"]);
  expect(await s.told("p18")).toEqual(["still no room", undefined]);
  expect(await s.told("p19")).toEqual(["no room", undefined]);
});

test("once stopped, nothing more is sent", async () => {
  const s = await setUp(names);
  for (const name of names) s.status.unschedulable(s.pod(name), "no room", undefined);
  const stopped = s.status.stop();
  await s.clock.advance(100);
  await stopped;
  expect(await s.told("p19")).toEqual([undefined, undefined]);
});
