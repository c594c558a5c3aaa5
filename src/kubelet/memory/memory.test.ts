import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import type { corev1 } from "#api";
import { createWorld, silentLogger } from "#base";
import { makeContainer, makePod } from "../testing/pods.ts";
import { maskOf, nodesIn } from "../topology/numa.ts";
import { createMemoryManager } from "./manager.ts";
import { type Block, memoryHints, placeMemory, stateOf } from "./state.ts";

const gi = 2 ** 30;
const nodes = [0, 1].map((id) => ({
  id,
  memoryBytes: 8 * gi,
  hugePages: new Map([[2 * 2 ** 20, gi]]),
  distances: [10, 20],
}));
const reserved = new Map([[0, { memory: gi }]]);
const demand = (gigabytes: number) => ({ wanted: { memory: gigabytes * gi }, reusable: () => 0 });
const states = (...blocks: Block[]) => stateOf(nodes, reserved, blocks);
const block = (gigabytes: number, ...ids: number[]): Block => ({
  resource: "memory",
  bytes: gigabytes * gi,
  mask: maskOf(ids),
});

test("huge pages and what is reserved are not memory for pods", () => {
  expect([...states().values()].map(({ allocatable }) => allocatable)).toEqual([
    { memory: 6 * gi, "hugepages-2Mi": gi },
    { memory: 7 * gi, "hugepages-2Mi": gi },
  ]);
});

test("one node where one is enough, both where not", () => {
  expect(placeMemory(states(), demand(6), undefined)).toBe(maskOf([0]));
  expect(placeMemory(states(), demand(7), undefined)).toBe(maskOf([1]));
  expect(placeMemory(states(), demand(9), undefined)).toBe(maskOf([0, 1]));
  expect(placeMemory(states(block(5, 0)), demand(4), undefined)).toBe(maskOf([1]));
});

test("a node that gives memory alone gives none together with another", () => {
  expect(memoryHints(states(block(1, 0)), demand(9))).toEqual([]);
  expect(() => placeMemory(states(block(1, 0)), demand(9), undefined)).toThrow(
    "no NUMA nodes with enough memory is available",
  );
  expect(memoryHints(states(block(9, 0, 1)), demand(1)).map(({ mask }) => mask)).toEqual([maskOf([0, 1])]);
});

test("what was decided is kept where it is enough, and widened where not", () => {
  expect(placeMemory(states(), demand(6), maskOf([1]))).toBe(maskOf([1]));
  expect(placeMemory(states(), demand(9), maskOf([1]))).toBe(maskOf([0, 1]));
  expect(() => placeMemory(states(block(1, 0), block(1, 1)), demand(9), maskOf([1]))).toThrow(
    "failed to find NUMA nodes to extend the current topology hint",
  );
});

test("nobody is promised what a node does not have", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 8 }), (wishes) => {
      const blocks: Block[] = [];
      for (const gigabytes of wishes) {
        try {
          const mask = placeMemory(states(...blocks), demand(gigabytes), undefined);
          blocks.push(block(gigabytes, ...nodesIn(mask)));
        } catch {}
      }
      const total = blocks.reduce((sum, { bytes }) => sum + bytes, 0);
      const free = [...states(...blocks).values()].reduce((sum, node) => sum + node.free.memory!, 0);
      expect(total + free).toBe(13 * gi);
      for (const node of states(...blocks).values()) expect(node.free.memory).toBeGreaterThanOrEqual(0);
    }),
  );
});

const dir = mkdtempSync(join(tmpdir(), "knarr-memory-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function guaranteed(name: string, memory: string, init?: string): corev1.Pod {
  const of = (amount: string) => ({
    limits: { cpu: "1", memory: amount },
    requests: { cpu: "1", memory: amount },
  });
  const pod = makePod({
    containers: [makeContainer("main", { resources: of(memory) })],
    ...(init ? { initContainers: [makeContainer("init", { resources: of(init) })] } : {}),
  });
  return { ...pod, metadata: { ...pod.metadata, uid: name } };
}

test("containers of guaranteed pods have their memory from nodes of their own, also after a restart", async () => {
  const options = {
    policy: "Static",
    nodes,
    reserved,
    file: join(dir, "memory.json"),
    world: createWorld({ log: silentLogger }),
    isActive: () => true,
  };
  const manager = createMemoryManager(options);
  const one = guaranteed("one", "5Gi", "4Gi");
  await manager.allocate(one, one.spec.initContainers![0]!, undefined);
  await manager.allocate(one, one.spec.containers[0]!, undefined);
  expect(manager.memsetFor("one", "main")).toBe("0");
  const two = guaranteed("two", "6Gi");
  await manager.allocate(two, two.spec.containers[0]!, undefined);
  expect(manager.memsetFor("two", "main")).toBe("1");
  await manager.allocate(makePod(), makePod().spec.containers[0]!, undefined);
  expect(manager.memsetFor("uid-1", "main")).toBe("");
  const again = createMemoryManager(options);
  await again.load();
  expect(again.blocks("two", "main")).toEqual([block(6, 1)]);
  const three = guaranteed("three", "2Gi");
  await expect(again.allocate(three, three.spec.containers[0]!, undefined)).rejects.toThrow(
    "no NUMA nodes with enough memory is available",
  );
  again.release("one");
  await again.allocate(three, three.spec.containers[0]!, undefined);
  expect(again.memsetFor("three", "main")).toBe("0");
  expect([...again.hints(guaranteed("four", "1Gi"), undefined).keys()]).toEqual(["memory"]);
});
