import fc from "fast-check";
import { expect, test } from "vitest";
import type { corev1, policyv1 } from "#api";
import { seededRandom } from "#base";
import { SchedulingCycle } from "./cycle.ts";
import { podInfoOf } from "./pod-info.ts";
import { type Budget, type Preemption, type PreemptionResult, Preemptor } from "./preemption.ts";
import { defaultProfile } from "./profile.ts";
import { cacheOf, nodeOf, noKin, podOf } from "./scheduler.fixture.ts";

function setUp(nodes: readonly corev1.Node[], pods: readonly corev1.Pod[], budgets: readonly Budget[] = []) {
  const cache = cacheOf(nodes, pods);
  const random = seededRandom(1);
  const cycle = new SchedulingCycle({ cache, profile: defaultProfile, world: noKin, random });
  const settings = defaultProfile.preemption;
  const preemptor = new Preemptor({ cache, cycle, settings, random, budgets: () => budgets });
  const preempt = (pod: corev1.Pod): Preemption | string => {
    const result = cycle.schedule(podInfoOf(pod));
    if (result.kind === "node") throw new Error(`it fits on ${result.name}`);
    const answer = preemptor.preempt(podInfoOf(pod), result);
    return answer.kind === "preempt" ? answer.choice : answer.message;
  };
  const victimsFor = (pod: corev1.Pod) => {
    const choice = preempt(pod);
    if (typeof choice === "string") return choice;
    return [choice.nodeName, ...choice.victims.map(({ pod: victim }) => victim.metadata.name)];
  };
  return { cache, cycle, preempt, victimsFor };
}

const on = (nodeName: string, name: string, priority: number, cpu = "2", labels = {}) =>
  podOf(name, { nodeName, priority, cpu, labels });
const important = (more = {}) => podOf("p", { priority: 10, cpu: "2", ...more });

test("the less important make room, and no more of them than must", () => {
  const nodes = [nodeOf("a"), nodeOf("b")];
  const pods = [on("a", "a1", 5), on("a", "a2", 1), on("b", "b1", 5), on("b", "b2", 6)];
  expect(setUp(nodes, pods).victimsFor(important())).toEqual(["a", "a2"]);
  expect(setUp(nodes, pods).victimsFor(important({ cpu: "4" }))).toEqual(["a", "a1", "a2"]);
});

test("budgets are kept where that can be", () => {
  const nodes = [nodeOf("a"), nodeOf("b")];
  const pods = [on("a", "a1", 1, "4", { app: "w" }), on("b", "b1", 5, "4")];
  const budget = {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { namespace: "default", name: "w", uid: "w", resourceVersion: "1", creationTimestamp: "" },
    spec: { selector: { matchLabels: { app: "w" } } },
    status: { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
  } satisfies policyv1.PodDisruptionBudget;
  expect(setUp(nodes, pods, [budget]).victimsFor(important())).toEqual(["b", "b1"]);
  const one = { ...budget, status: { ...budget.status, disruptionsAllowed: 1 } };
  expect(setUp(nodes, pods, [one]).victimsFor(important())).toEqual(["a", "a1"]);
  expect(setUp(nodes.slice(0, 1), pods, [budget]).victimsFor(important())).toEqual(["a", "a1"]);
});

test("why preemption does not help, as upstream words it", () => {
  const tainted = nodeOf("t", { taints: [{ key: "k", effect: "NoSchedule" }] });
  const { victimsFor } = setUp([nodeOf("a"), tainted], [on("a", "a1", 10, "4")]);
  expect(victimsFor(important())).toBe(
    "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, " +
      "1 Preemption is not helpful for scheduling.",
  );
  expect(victimsFor(important({ preemptionPolicy: "Never" }))).toBe(
    "preemption: not eligible due to preemptionPolicy=Never.",
  );
});

test("room that is being made for one pod is not given to another of the same importance", () => {
  const { cache, cycle, victimsFor } = setUp([nodeOf("a")], [on("a", "a1", 1, "4")]);
  const first = podInfoOf(important());
  expect(victimsFor(first.pod)).toEqual(["a", "a1"]);
  cache.nominate(first, "a");
  cache.removePod("default/a1");
  expect(cycle.schedule(podInfoOf(podOf("q", { priority: 10, cpu: "3" })))).toMatchObject({ kind: "none" });
  expect(cycle.schedule(podInfoOf(podOf("r", { priority: 10, cpu: "2" })))).toMatchObject({ name: "a" });
  expect(cycle.schedule(podInfoOf(podOf("s", { priority: 11, cpu: "3" })))).toMatchObject({ name: "a" });
  expect(cycle.schedule(first)).toMatchObject({ name: "a" });
});

test("those that keep others away make room, too", () => {
  const term = { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "x" } } };
  const affinity = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
  const loner = podOf("loner", { nodeName: "a", priority: 1, affinity });
  const { cache, victimsFor } = setUp([nodeOf("a")], [loner, on("a", "other", 1, "1")]);
  expect(victimsFor(important({ labels: { app: "x" }, cpu: "1" }))).toEqual(["a", "loner"]);
  // It was only imagined.
  expect(cache.node("a")?.pods.size).toBe(2);
});

test("without its victims the pod fits, and with any of them it does not", () => {
  const resident = fc.record({ node: fc.nat(2), priority: fc.nat(9), cpu: fc.integer({ min: 1, max: 3 }) });
  fc.assert(
    fc.property(fc.array(resident, { maxLength: 9 }), fc.integer({ min: 1, max: 4 }), (residents, cpu) => {
      const used = [0, 0, 0];
      const pods = residents.flatMap(({ node, priority, cpu: wanted }, i) => {
        if (used[node]! + wanted > 4) return [];
        used[node]! += wanted;
        return [on(`n${node}`, `r${i}`, priority, String(wanted))];
      });
      const { cache, cycle, preempt } = setUp([nodeOf("n0"), nodeOf("n1"), nodeOf("n2")], pods);
      const pod = podOf("p", { priority: 5, cpu: String(cpu) });
      if (used.some((each) => each + cpu <= 4)) return;
      const choice = preempt(pod);
      if (typeof choice === "string") return;
      const fits = () => cycle.judge(podInfoOf(pod))(cache.node(choice.nodeName)!) === undefined;
      for (const { key } of choice.victims) cache.removePod(key);
      expect(fits()).toBe(true);
      for (const victim of choice.victims) {
        expect(victim.shape.priority).toBeLessThan(5);
        cache.setPod(victim.pod);
        expect(fits()).toBe(false);
        cache.removePod(victim.key);
      }
    }),
  );
});

test("what is remembered of nodes is what a fresh look finds, whatever happens in between", () => {
  const node = fc.integer({ min: 0, max: 4 }).map((i) => `n${i}`);
  const change = fc.oneof(
    fc.record({ kind: fc.constant("add" as const), node, priority: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ kind: fc.constant("remove" as const), which: fc.nat() }),
    fc.record({ kind: fc.constant("nominate" as const), node }),
    fc.record({ kind: fc.constant("cordon" as const), node, unschedulable: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
      const nodes = Array.from({ length: 5 }, (_, i) => nodeOf(`n${i}`, { cpu: "2" }));
      const cache = cacheOf(nodes);
      const random = seededRandom(1);
      const cycle = new SchedulingCycle({ cache, profile: defaultProfile, world: noKin, random });
      const fresh = () =>
        new Preemptor({ cache, cycle, settings: defaultProfile.preemption, random, budgets: () => [] });
      const lasting = fresh();
      const there: string[] = [];
      changes.forEach((each, i) => {
        if (each.kind === "add") {
          cache.setPod(on(each.node, `v${i}`, each.priority, "1"));
          there.push(`default/v${i}`);
        } else if (each.kind === "remove") {
          for (const key of there.splice(each.which % (there.length + 1), 1)) cache.removePod(key);
        } else if (each.kind === "nominate") {
          cache.nominate(podInfoOf(podOf(`m${i}`, { priority: 20, cpu: "1" })), each.node);
        } else {
          cache.setNode(nodeOf(each.node, { cpu: "2", unschedulable: each.unschedulable }));
        }
        const info = podInfoOf(important());
        const failure = cycle.schedule(info);
        if (failure.kind === "node") return;
        const [kept, found] = [lasting, fresh()].map((preemptor) => preemptor.preempt(info, failure));
        expect(harmBy(kept!)).toEqual(harmBy(found!));
      });
    }),
  );
});

function harmBy(result: PreemptionResult): unknown {
  if (result.kind === "no") return result.message;
  return result.choice.victims.map(({ shape }) => shape.priority).sort();
}
