import fc from "fast-check";
import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { seededRandom } from "#base";
import { type CycleResult, SchedulingCycle } from "./cycle.ts";
import { podInfoOf } from "./pod-info.ts";
import { defaultProfile } from "./profile.ts";
import { nodesThatFit } from "./reference.fixture.ts";
import { cacheOf, nodeOf, noKin, type PodOptions, podOf } from "./scheduler.fixture.ts";

const selector = (app: string) => ({ matchLabels: { app } });
const required = (topologyKey: string, app: string) => ({
  requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey, labelSelector: selector(app) }],
});
const spread = (topologyKey: string, app: string) => ({
  topologyKey,
  maxSkew: 1,
  whenUnsatisfiable: "DoNotSchedule" as const,
  labelSelector: selector(app),
});
const hostname = "kubernetes.io/hostname";

/** Few shapes, so that the same come again and meet what the last of them left behind. */
const shapes: PodOptions[] = [
  {},
  { cpu: "1" },
  { cpu: "2", labels: { app: "a" } },
  { hostPort: 80 },
  { nodeSelector: { zone: "x" }, cpu: "1" },
  { labels: { app: "a" }, topologySpreadConstraints: [spread("zone", "a")] },
  { labels: { app: "b" }, topologySpreadConstraints: [spread(hostname, "b"), spread("zone", "b")] },
  { labels: { app: "b" }, nodeSelector: { zone: "y" }, topologySpreadConstraints: [spread(hostname, "b")] },
  { labels: { app: "a" }, affinity: { podAffinity: required("zone", "a") } },
  { labels: { app: "c" }, affinity: { podAntiAffinity: required(hostname, "c") } },
  { labels: { app: "b" }, affinity: { podAntiAffinity: required("zone", "a") } },
  { tolerations: [{ key: "k", operator: "Exists" }] },
];

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("create" as const), shape: fc.nat(shapes.length - 1) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete" as const), pod: fc.nat(30) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("relabel" as const),
      node: fc.nat(4),
      zone: fc.constantFrom("x", "y", undefined),
      tainted: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), node: fc.nat(4) }) },
);

function nodeIn(index: number, zone: string | undefined, tainted: boolean): corev1.Node {
  const taints = tainted ? [{ key: "k", value: "v", effect: "NoSchedule" as const }] : [];
  return nodeOf(`n${index}`, { cpu: "4", pods: "4", taints, labels: zone ? { zone } : {} });
}

function nameOf(result: CycleResult): string | undefined {
  return result.kind === "node" ? result.name : undefined;
}

test("what is remembered, counted ahead and indexed comes to what the slow and obvious scheduler says", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const nodes = new Map<string, corev1.Node>();
      const pods = new Map<string, corev1.Pod>();
      for (const [i, zone] of ["x", "x", "y", undefined].entries()) {
        const node = nodeIn(i, zone, false);
        nodes.set(node.metadata.name, node);
      }
      const cache = cacheOf([...nodes.values()]);
      const cycle = new SchedulingCycle({
        cache,
        profile: defaultProfile,
        world: noKin,
        random: seededRandom(1),
      });
      steps.forEach((next, i) => {
        if (next.kind === "create") {
          const pod = podOf(`p${i}`, shapes[next.shape]);
          const fitting = nodesThatFit(pod, [...nodes.values()], [...pods.values()]);
          const chosen = nameOf(cycle.schedule(podInfoOf(pod)));
          const judge = cycle.judge(podInfoOf(pod));
          const judged = cache.nodes.filter((node) => !judge(node)).map(({ name }) => name);
          expect(judged.sort()).toEqual(fitting.sort());
          if (fitting.length === 0) expect(chosen).toBeUndefined();
          else expect(fitting).toContain(chosen);
          if (chosen === undefined) return;
          const placed = { ...pod, spec: { ...pod.spec, nodeName: chosen } };
          if (i % 2) cache.assume(podInfoOf(pod), chosen);
          cache.setPod(placed);
          pods.set(pod.metadata.name, placed);
        } else if (next.kind === "delete") {
          pods.delete(`p${next.pod}`);
          cache.removePod(`default/p${next.pod}`);
        } else if (next.kind === "relabel") {
          const node = nodeIn(next.node, next.zone, next.tainted);
          nodes.set(node.metadata.name, node);
          cache.setNode(node);
        } else {
          nodes.delete(`n${next.node}`);
          cache.removeNode(`n${next.node}`);
        }
      });
    }),
    { numRuns: 300 },
  );
});
