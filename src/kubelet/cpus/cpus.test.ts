import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { createWorld, silentLogger } from "#base";
import { parseCpuList } from "../node-info.ts";
import { makeContainer, makePod } from "../testing/pods.ts";
import { createCpuManager, exclusiveCount } from "./manager.ts";
import { cpuOptionsOf } from "./options.ts";
import { type Cpu, formatCpus, takeCpus } from "./topology.ts";

/** Two nodes of two cores of two threads. */
const topology: Cpu[] = Array.from({ length: 8 }, (_, id) => ({
  id,
  core: String(Math.floor(id / 2)),
  socket: Math.floor(id / 4),
  numaNode: Math.floor(id / 4),
}));
const take = (free: number[], count: number) => takeCpus(topology, new Set(free), count);

test("whole nodes and cores come first, broken cores are used up before whole ones", () => {
  const all = topology.map(({ id }) => id);
  expect(take(all, 4)).toEqual([0, 1, 2, 3]);
  expect(take([1, 2, 3, 4, 5, 6, 7], 4)).toEqual([4, 5, 6, 7]);
  expect(take([1, 2, 3], 2)).toEqual([2, 3]);
  expect(take([1, 2, 3], 1)).toEqual([1]);
  expect(take([1, 2], 3)).toBeUndefined();
});

test("as many as asked for, all of them free, none twice", () => {
  fc.assert(
    fc.property(fc.subarray(topology.map(({ id }) => id)), fc.integer({ min: 1, max: 8 }), (free, count) => {
      const cpus = take(free, count);
      if (count > free.length) expect(cpus).toBeUndefined();
      else {
        expect(new Set(cpus).size).toBe(count);
        for (const cpu of cpus!) expect(free).toContain(cpu);
      }
    }),
  );
});

test("a list of processors that is written is read as it was", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(300)), (ids) => {
      expect(parseCpuList(formatCpus(ids))).toEqual(ids.toSorted((a, b) => a - b));
    }),
  );
});

const dir = mkdtempSync(join(tmpdir(), "knarr-cpus-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const guaranteed = (name: string, cpu: string) => {
  const resources = { limits: { cpu, memory: "1Mi" }, requests: { cpu, memory: "1Mi" } };
  const pod = makePod({ containers: [makeContainer("main", { resources })] });
  return { ...pod, metadata: { ...pod.metadata, uid: name } };
};

test("whole processors of a guaranteed pod are its own; the others share the rest", async () => {
  const options = {
    policy: "static",
    options: cpuOptionsOf({}),
    topology,
    reserved: [0, 1],
    file: join(dir, "state"),
    world: createWorld({ log: silentLogger }),
    isActive: () => true,
  };
  const manager = createCpuManager(options);
  const [one, half, other] = [guaranteed("one", "4"), guaranteed("half", "500m"), makePod()];
  const main = one.spec.containers[0]!;
  expect(exclusiveCount(half, half.spec.containers[0]!)).toBe(0);
  expect(await manager.cpusetFor(one, main)).toBe("4-7");
  expect(await manager.cpusetFor(one, main)).toBe("4-7");
  expect(await manager.cpusetFor(other, other.spec.containers[0]!)).toBe("0-3");
  const again = createCpuManager(options);
  await again.load();
  expect(again.current("one", "main")).toBe("4-7");
  const three = guaranteed("three", "3");
  await expect(again.cpusetFor(three, three.spec.containers[0]!)).rejects.toThrow(
    "not enough cpus available to satisfy request: requested=3, available=2",
  );
  again.release("one");
  expect(again.current("other", "main")).toBe("0-7");
});

const managerOf = (given: Record<string, string>, name: string) =>
  createCpuManager({
    policy: "static",
    options: cpuOptionsOf(given),
    topology,
    reserved: [0, 1],
    file: join(dir, name),
    world: createWorld({ log: silentLogger }),
    isActive: () => true,
  });

test("options of the policy are upstream's, and those of its alpha stage are refused", () => {
  expect(cpuOptionsOf({ "full-pcpus-only": "true" })).toMatchObject({ fullCores: true, byCache: false });
  expect(() => cpuOptionsOf({ "align-by-socket": "true" })).toThrow(
    'CPU Manager Policy Alpha-level Options not enabled, but option "align-by-socket" provided',
  );
  expect(() => cpuOptionsOf({ quick: "true" })).toThrow('unknown CPU Manager Policy option: "quick"');
});

test("whole cores or nothing", async () => {
  const manager = managerOf({ "full-pcpus-only": "true" }, "cores");
  const three = guaranteed("three", "3");
  await expect(manager.allocate(three, three.spec.containers[0]!, undefined)).rejects.toMatchObject({
    reason: "SMTAlignmentError",
    message: "SMT Alignment Error: requested 3 cpus not multiple cpus per core = 2",
  });
  const four = guaranteed("four", "4");
  await manager.allocate(four, four.spec.containers[0]!, undefined);
  expect(manager.exclusive("four", "main")).toEqual([4, 5, 6, 7]);
});

test("nobody runs on reserved processors where that is asked for", () => {
  expect(managerOf({ "strict-cpu-reservation": "true" }, "strict").current("any", "main")).toBe("2-7");
  expect(managerOf({}, "loose").current("any", "main")).toBe("0-7");
});

test("what one node cannot hold lies evenly on two", () => {
  const all = new Set(topology.map(({ id }) => id));
  expect(takeCpus(topology, all, 6, { distribute: true })).toEqual([0, 1, 2, 4, 5, 6]);
  expect(takeCpus(topology, all, 6, { distribute: true, fullCores: true })).toEqual([0, 1, 2, 3, 4, 5]);
  expect(takeCpus(topology, all, 4, { distribute: true })).toEqual([0, 1, 2, 3]);
});

test("processors that share a cache come first", () => {
  const cached = topology.map((cpu) => ({
    ...cpu,
    numaNode: 0,
    socket: 0,
    cache: String(Math.floor(cpu.id / 4)),
  }));
  expect(takeCpus(cached, new Set([2, 3, 4, 5, 6]), 3, { byCache: true })).toEqual([4, 5, 6]);
});

test("however they are taken: as many as asked for, free, and none twice", () => {
  const options = fc.record({ distribute: fc.boolean(), fullCores: fc.boolean(), byCache: fc.boolean() });
  fc.assert(
    fc.property(
      fc.subarray(topology.map(({ id }) => id)),
      fc.integer({ min: 1, max: 8 }),
      options,
      (free, count, how) => {
        const cpus = takeCpus(topology, new Set(free), count, how);
        expect(cpus === undefined).toBe(count > free.length);
        expect(new Set(cpus).size).toBe(cpus?.length ?? 0);
        if (cpus) expect(cpus).toHaveLength(count);
        for (const cpu of cpus ?? []) expect(free).toContain(cpu);
      },
    ),
  );
});

test("hints say which nodes have enough, and what is decided is taken there", async () => {
  const manager = managerOf({}, "hints");
  const two = guaranteed("two", "2");
  expect(manager.hints(two, undefined).get("cpu")).toEqual([
    { mask: 1, preferred: true },
    { mask: 2, preferred: true },
    { mask: 3, preferred: false },
  ]);
  await manager.allocate(two, two.spec.containers[0]!, 2);
  expect(manager.exclusive("two", "main")).toEqual([4, 5]);
  expect(manager.hints(two, two.spec.containers[0]!).get("cpu")).toEqual([{ mask: 2, preferred: true }]);
  const three = guaranteed("three", "3");
  expect(manager.hints(three, undefined).get("cpu")).toEqual([{ mask: 3, preferred: false }]);
});

test("what init containers had goes on to the others, and stays theirs while they run", async () => {
  const manager = managerOf({}, "inits");
  const resources = { limits: { cpu: "2", memory: "1Mi" }, requests: { cpu: "2", memory: "1Mi" } };
  const pod = makePod({
    initContainers: [makeContainer("init", { resources })],
    containers: [makeContainer("a", { resources }), makeContainer("b", { resources })],
  });
  for (const each of [...pod.spec.initContainers!, ...pod.spec.containers])
    await manager.allocate(pod, each, undefined);
  expect(manager.exclusive("uid-1", "init")).toEqual([2, 3]);
  expect(manager.exclusive("uid-1", "a")).toEqual([2, 3]);
  expect(manager.exclusive("uid-1", "b")).toEqual([4, 5]);
});
