import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { createWorld, silentLogger } from "#base";
import { parseCpuList } from "../node-info.ts";
import { makeContainer, makePod } from "../testing/pods.ts";
import { createCpuManager, exclusiveCount } from "./manager.ts";
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
