/** The contract every registered plugin keeps. A new one is covered by its line in the profile. */
import { expect, test } from "vitest";
import { deepFreeze } from "#client";
import { podInfoOf } from "./pod-info.ts";
import { defaultProfile } from "./profile.ts";
import { cacheOf, nodeOf, noKin, podOf } from "./scheduler.fixture.ts";

const nodes = [
  nodeOf("a", { labels: { zone: "1" } }),
  nodeOf("b", { labels: { zone: "2" }, taints: [{ key: "k", effect: "PreferNoSchedule" }] }),
  nodeOf("c", { cpu: "1", images: [{ names: ["x:latest"], sizeBytes: 5e8 }] }),
];
const pods = [
  podOf("plain"),
  podOf("greedy", { cpu: "2", memory: "1Gi", hostPort: 80 }),
  podOf("choosy", {
    labels: { app: "w" },
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          { weight: 5, preference: { matchExpressions: [{ key: "zone", operator: "Exists" }] } },
        ],
      },
      podAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          {
            weight: 3,
            podAffinityTerm: { topologyKey: "zone", labelSelector: { matchLabels: { app: "w" } } },
          },
        ],
      },
    },
    topologySpreadConstraints: [
      {
        topologyKey: "zone",
        maxSkew: 1,
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: { app: "w" } },
      },
    ],
  }),
].map(deepFreeze);

test("names are unique", () => {
  const names = defaultProfile.plugins.map(({ plugin }) => plugin.name);
  expect(new Set(names).size).toBe(names.length);
});

for (const { plugin } of defaultProfile.plugins.filter((entry) => entry.plugin.local)) {
  test(`${plugin.name}: is local: other nodes and the pods on them change nothing`, () => {
    const crowded = cacheOf(nodes, [podOf("w", { nodeName: "b", hostPort: 80, labels: { app: "w" } })]);
    for (const node of nodes) {
      if (node.metadata.name === "b") continue;
      const alone = cacheOf([node]);
      for (const pod of pods) {
        const info = podInfoOf(pod);
        const verdicts = [crowded, alone].map((cache) => {
          const prepared = plugin.prepare?.(info, cache, noKin);
          return prepared === undefined
            ? undefined
            : plugin.filter?.(info, cache.node(node.metadata.name)!, prepared);
        });
        expect(verdicts[0]).toEqual(verdicts[1]);
      }
    }
  });
}

for (const { plugin, weight } of defaultProfile.plugins) {
  test(`${plugin.name}: has what its weight and its kind promise`, () => {
    expect(weight > 0).toBe(plugin.score !== undefined);
    expect(plugin.score !== undefined).toBe(plugin.prepareScore !== undefined);
    if (plugin.filter) {
      expect(plugin.prepare).toBeDefined();
      expect(plugin.wakes.length).toBeGreaterThan(0);
    }
  });

  test(`${plugin.name}: scores are whole numbers from 0 to 100, and pods stay as they are`, () => {
    const cache = cacheOf(nodes, [podOf("w", { nodeName: "a", labels: { app: "w" } })]);
    for (const pod of pods) {
      const info = podInfoOf(pod);
      const filter = plugin.prepare?.(info, cache, noKin);
      if (filter !== undefined) for (const node of cache.nodes) plugin.filter?.(info, node, filter);
      const prepared = plugin.prepareScore?.(info, { nodes: cache.nodes }, cache, noKin);
      if (prepared === undefined || !plugin.score) continue;
      const scores = cache.nodes.map((node) => plugin.score!(info, node, prepared));
      plugin.normalize?.(scores);
      for (const score of scores) {
        expect(Number.isInteger(score)).toBe(true);
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(100);
      }
    }
  });
}
