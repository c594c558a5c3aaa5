import { expect, onTestFinished, test } from "vitest";
import { nodes } from "#api";
import { createWorld, seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient, FakeApi } from "#client";
import { startControllers } from "#controllers";
import { secondFamilyOf } from "./families.ts";
import { nodeRangesOf } from "./node-ranges.ts";

test("nodes that come without a range get one of their own, those that join at the same time another", async () => {
  const clock = new VirtualClock();
  const world = createWorld({ clock, random: seededRandom(1), log: silentLogger });
  const client = createClient(new FakeApi(clock));
  const config = { clusterCidr: "10.244.0.0/16", ipv6: secondFamilyOf(0) };
  const nodeRanges = nodeRangesOf({ config, client: () => client });
  const only = ["node-ipam-controller"];
  const controllers = await startControllers({ client, world, only, nodeRanges });
  onTestFinished(() => controllers.stop());
  const create = (name: string, spec = {}) => client.create(nodes, { metadata: { name }, spec });
  await create("own", { podCIDR: "10.244.0.0/24", podCIDRs: ["10.244.0.0/24"] });
  await Promise.all(["a", "b", "c"].map((name) => create(name)));
  const joined = nodeRanges.give("joining", (spec) => create("joining", spec));
  await clock.advance(1_000);
  expect(await joined).toMatch(/^10\.244\.\d\.0\/24$/);
  const { items } = await client.list(nodes);
  const ranges = items.map(({ spec }) => spec.podCIDR).sort();
  expect(ranges).toEqual([0, 1, 2, 3, 4].map((i) => `10.244.${i}.0/24`));
  const a = items.find(({ metadata }) => metadata.name === "a")!;
  const number = a.spec.podCIDR!.split(".")[2];
  expect(a.spec.podCIDRs).toEqual([a.spec.podCIDR, `fd00:10:244:${number}::/64`]);
  expect(await nodeRanges.give("a", () => Promise.reject(new Error("written twice")))).toBe(a.spec.podCIDR);
});

test("when all ranges are taken the node hears of it, and gets the first that is free again", async () => {
  const clock = new VirtualClock();
  const world = createWorld({ clock, random: seededRandom(1), log: silentLogger });
  const client = createClient(new FakeApi(clock));
  const nodeRanges = nodeRangesOf({ config: { clusterCidr: "10.244.0.0/16" }, client: () => client });
  const spec = (i: number) => ({ podCIDR: `10.244.${i}.0/24`, podCIDRs: [`10.244.${i}.0/24`] });
  for (let i = 0; i < 256; i++) await client.create(nodes, { metadata: { name: `n${i}` }, spec: spec(i) });
  const controllers = await startControllers({ client, world, only: ["node-ipam-controller"], nodeRanges });
  onTestFinished(() => controllers.stop());
  await client.create(nodes, { metadata: { name: "late" }, spec: {} });
  const late = () => client.get(nodes, { name: "late" });
  await clock.advance(10_000);
  expect((await late()).spec.podCIDR).toBeUndefined();
  await client.delete(nodes, { name: "n7" });
  await clock.advance(60_000);
  expect((await late()).spec.podCIDR).toBe("10.244.7.0/24");
});
