import fc from "fast-check";
import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { defaultConfig } from "../config/settings.ts";
import { isCritical } from "../critical.ts";
import type { NodeUsage, PodUsage } from "../stats/observation.ts";
import { makeContainer, makePod } from "../testing/pods.ts";
import { excessOf, isLimited } from "./local-storage.ts";
import { evictionMessage, rank } from "./ranking.ts";
import { judge, metBy, nothingSeen, type Observations, type Threshold, thresholdsOf } from "./signals.ts";

const mi = 1024 * 1024;

interface Use {
  name: string;
  memory?: number;
  request?: string;
  priority?: number;
  disk?: number;
  spec?: Partial<corev1.PodSpec>;
}

function podUsage({ name, memory = 0, request, priority, disk = 0, spec = {} }: Use): PodUsage {
  const resources = request ? { resources: { requests: { memory: request } } } : {};
  const containers = [makeContainer("main", resources)];
  const pod = makePod({ containers, ...(priority === undefined ? {} : { priority }), ...spec });
  const group = {
    memory: { workingSetBytes: memory },
    processes: 1,
  } as PodUsage["containers"][number]["group"];
  const folder = { usedBytes: disk, inodesUsed: 1 };
  return {
    pod: { ...pod, metadata: { ...pod.metadata, name } },
    group,
    containers: [{ name: "main", group, rootfs: folder, logs: { usedBytes: 0, inodesUsed: 0 } }],
    volumes: (pod.spec.volumes ?? []).map((each) => ({ name: each.name, folder, isEphemeral: true })),
  } as unknown as PodUsage;
}

const names = (usages: readonly PodUsage[]) => usages.map(({ pod }) => pod.metadata.name);
const ranked = (...pods: PodUsage[]) => names(rank({ pods } as unknown as NodeUsage, "memory.available"));

test("who uses more than it asked for goes first, then the lower priority, then the larger use", () => {
  const modest = podUsage({ name: "modest", memory: 900 * mi, request: "1Gi" });
  const greedy = podUsage({ name: "greedy", memory: 200 * mi, request: "100Mi" });
  const greedier = podUsage({ name: "greedier", memory: 300 * mi, request: "100Mi" });
  const dear = podUsage({ name: "dear", memory: 900 * mi, request: "1Mi", priority: 10 });
  expect(ranked(modest, greedy, dear, greedier)).toEqual(["greedier", "greedy", "dear", "modest"]);
});

test("what the node lives on is critical", () => {
  expect(isCritical(makePod())).toBe(false);
  expect(isCritical(makePod({ priority: 2_000_000_000 }))).toBe(true);
  const pod = makePod();
  const annotations = { "kubernetes.io/config.source": "file" };
  expect(isCritical({ ...pod, metadata: { ...pod.metadata, annotations } })).toBe(true);
});

const memoryThreshold: Threshold = {
  signal: "memory.available",
  amount: "100Mi",
  reclaim: "50Mi",
  graceMs: 0,
  isHard: true,
};
const left = (available: number): Observations => ({
  "memory.available": { available, capacity: 1024 * mi },
});

test("the message has upstream's words", () => {
  const usage = podUsage({ name: "greedy", memory: 300 * mi, request: "100Mi" });
  expect(evictionMessage(memoryThreshold, left(80 * mi), usage)).toBe(
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. Container main was using 300Mi, request is 100Mi, has larger consumption of memory. ",
  );
});

test("thresholds are amounts or shares; softer ones have to last", () => {
  const thresholds = thresholdsOf({
    ...defaultConfig,
    evictionHard: { "memory.available": "10%" },
    evictionSoft: { "memory.available": "20%" },
    evictionSoftGracePeriodMs: { "memory.available": 60_000 },
  });
  expect(metBy(thresholds, left(150 * mi), false).map(({ isHard }) => isHard)).toEqual([false]);
  const at = (memory: typeof nothingSeen, available: number, nowMs: number) =>
    judge(memory, thresholds, left(available), { nowMs, transitionMs: 300_000 });
  const first = at(nothingSeen, 150 * mi, 0);
  expect([[...first.pressures], first.due.length]).toEqual([["memory"], 0]);
  const later = at(first.memory, 150 * mi, 60_000);
  expect(later.due.map(({ isHard }) => isHard)).toEqual([false]);
  const over = at(later.memory, 900 * mi, 70_000);
  expect([[...over.pressures], over.due.length]).toEqual([["memory"], 0]);
  expect(at(over.memory, 900 * mi, 400_000).pressures.size).toBe(0);
});

test("what was short stays so until more than the threshold is free", () => {
  const step = (memory: typeof nothingSeen, available: number) =>
    judge(memory, [memoryThreshold], left(available), { nowMs: 0, transitionMs: 0 });
  const short = step(nothingSeen, 90 * mi);
  expect(step(short.memory, 120 * mi).due).toHaveLength(1);
  expect(step(short.memory, 160 * mi).due).toHaveLength(0);
  expect(step(nothingSeen, 120 * mi).due).toHaveLength(0);
});

test("nothing is due while every signal is above its threshold, whatever came before", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(300)), (amounts) => {
      let memory = nothingSeen;
      amounts.forEach((amount, i) => {
        const times = { nowMs: i * 1000, transitionMs: 5000 };
        const judgement = judge(memory, [memoryThreshold], left(amount * mi), times);
        memory = judgement.memory;
        if (amount >= 150) expect(judgement.due).toEqual([]);
        if (amount < 100) expect([...judgement.pressures]).toEqual(["memory"]);
      });
    }),
  );
});

test("limits of volumes, pods and containers are kept", () => {
  const volumes = [{ name: "data", emptyDir: { sizeLimit: "1Mi" } }];
  expect(excessOf(podUsage({ name: "p", disk: 2 * mi, spec: { volumes } }))).toBe(
    'Usage of EmptyDir volume "data" exceeds the limit "1Mi". ',
  );
  const limited = makeContainer("main", { resources: { limits: { "ephemeral-storage": "1Mi" } } });
  const spec = { containers: [limited] };
  expect(excessOf(podUsage({ name: "p", disk: 2 * mi, spec }))).toBe(
    "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
  );
  const two = { containers: [limited, { ...limited, name: "other" }] };
  expect(excessOf(podUsage({ name: "p", disk: 1.5 * mi, spec: two }))).toBe(
    'Container main exceeded its local ephemeral storage limit "1Mi". ',
  );
  expect(excessOf(podUsage({ name: "p", disk: mi, spec }))).toBeUndefined();
  expect([isLimited(makePod(spec)), isLimited(makePod({ volumes })), isLimited(makePod())]).toEqual([
    true,
    true,
    false,
  ]);
});
