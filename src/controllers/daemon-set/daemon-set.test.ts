import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type appsv1,
  controllerRevisions,
  type corev1,
  daemonSets,
  events,
  formatTime,
  nodes,
  pods,
} from "#api";
import { seededRandom } from "#base";
import type { Claims } from "../kit/claims.ts";
import { controllerRef } from "../kit/pods.ts";
import { planRevisions, templateOf } from "../kit/revisions.ts";
import { daemonSetDraft, type TestWorld, testWorld } from "../kit/world.fixture.ts";
import { type DaemonSetState, decideDaemonSet } from "./decide.ts";
import { daemonPod, nodeJudge, targetNode } from "./placement.ts";

const nowMs = Date.UTC(2026, 0, 1);

function daemonSet(spec: Partial<appsv1.DaemonSetSpec> = {}): appsv1.DaemonSet {
  const draft = daemonSetDraft();
  return {
    ...draft,
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { namespace: "default", name: "daemon", uid: "set", generation: 1 },
    spec: { ...draft.spec, ...spec },
  } as appsv1.DaemonSet;
}

function node(name: string, parts: { labels?: Record<string, string>; taints?: corev1.Taint[] } = {}) {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: parts.labels ?? {} },
    spec: { taints: parts.taints ?? [] },
  } as unknown as corev1.Node;
}

const nothing = { adopt: [], release: [] };
const claims = <T>(claimed: T[]): Claims<T> => ({ claimed, ...nothing });

function state(parts: Partial<DaemonSetState> & { set: appsv1.DaemonSet }): DaemonSetState {
  return { pods: claims([]), revisions: claims([]), nodes: [], retryAtMs: () => 0, ...parts };
}

let names = 0;

function pod(set: appsv1.DaemonSet, nodeName: string, hash: string, ready: boolean): corev1.Pod {
  const draft = daemonPod(set, nodeName, hash);
  const conditions = ready ? [{ type: "Ready", status: "True", lastTransitionTime: formatTime(nowMs) }] : [];
  return {
    ...draft,
    metadata: { ...draft.metadata, name: `daemon-${names++}`, uid: `${names}` },
    spec: { ...draft.spec, nodeName },
    status: { phase: "Running", conditions },
  } as corev1.Pod;
}

test("a pod for every node that its template allows, bound to it by affinity", () => {
  const template = daemonSetDraft().spec!.template as corev1.PodTemplateSpec;
  const spec = { ...template.spec, nodeSelector: { disk: "ssd" } } as corev1.PodSpec;
  const set = daemonSet({ template: { ...template, spec } });
  const cordoned = {
    key: "node.kubernetes.io/unschedulable",
    effect: "NoSchedule",
  } as const;
  const all = [
    node("a", { labels: { disk: "ssd" } }),
    node("b"),
    node("c", { labels: { disk: "ssd" }, taints: [cordoned] }),
    node("d", { labels: { disk: "ssd" }, taints: [{ key: "mine", effect: "NoSchedule" }] }),
  ];
  const plan = decideDaemonSet(state({ set, nodes: all }), nowMs)!;
  expect(plan.create).toEqual(["a", "c"]);
  expect(plan.status).toMatchObject({ desiredNumberScheduled: 2, currentNumberScheduled: 0 });
  const made = daemonPod(set, "a", "hash") as corev1.Pod;
  expect(targetNode(made)).toBe("a");
  expect(made.metadata.labels).toMatchObject({ app: "daemon", "controller-revision-hash": "hash" });
  expect(made.spec.tolerations!.map((t) => t.key)).toContain("node.kubernetes.io/not-ready");
  expect(made.spec.tolerations!.map((t) => t.key)).not.toContain("node.kubernetes.io/network-unavailable");
});

test("a pod stays where a taint only keeps new ones away, and goes where it does not belong", () => {
  const judge = nodeJudge(daemonSet());
  expect(judge(node("a", { taints: [{ key: "k", effect: "NoSchedule" }] }))).toEqual({
    shouldRun: false,
    shouldContinue: true,
  });
  expect(judge(node("a", { taints: [{ key: "k", effect: "NoExecute" }] }))).toEqual({
    shouldRun: false,
    shouldContinue: false,
  });
  expect(judge(node("a", { taints: [{ key: "k", effect: "PreferNoSchedule" }] })).shouldRun).toBe(true);
});

test("OnDelete leaves old pods alone; RollingUpdate replaces one at a time", () => {
  const all = [node("a"), node("b"), node("c")];
  const set = daemonSet();
  const old = all.map((each) => pod(set, each.metadata.name, "old", true));
  const rolling = decideDaemonSet(state({ set, nodes: all, pods: claims(old) }), nowMs)!;
  expect(rolling.delete).toEqual([old[0]]);
  expect(rolling.status.updatedNumberScheduled).toBeUndefined();
  const patient = daemonSet({ updateStrategy: { type: "OnDelete" } });
  expect(decideDaemonSet(state({ set: patient, nodes: all, pods: claims(old) }), nowMs)!.delete).toEqual([]);
});

test("failed pods are replaced, but not at once again and again", () => {
  const set = daemonSet();
  const { hash } = planRevisions(set, [], 0);
  const failed = { ...pod(set, "a", hash, false), status: { phase: "Failed" } } as corev1.Pod;
  const parts = { set, nodes: [node("a")], pods: claims([failed]) };
  expect(decideDaemonSet(state(parts), nowMs)!.delete).toEqual([failed]);
  const waiting = decideDaemonSet(state({ ...parts, retryAtMs: () => nowMs + 500 }), nowMs)!;
  expect(waiting.delete).toEqual([]);
  expect(waiting.afterMs).toBe(500);
});

test("a revision's data brings its template back, and an older one that is wanted again becomes the newest", () => {
  const set = daemonSet();
  const first = planRevisions(set, [], 0).create as appsv1.ControllerRevision;
  expect(first.revision).toBe(1);
  expect(first.metadata.ownerReferences).toEqual([controllerRef(set)]);
  expect(templateOf(first)).toEqual(JSON.parse(JSON.stringify(set.spec.template)));
  const changed = daemonSet({ template: { ...set.spec.template, spec: { containers: [] } } });
  const second = planRevisions(changed, [first], 0).create as appsv1.ControllerRevision;
  expect(second.revision).toBe(2);
  const back = planRevisions(set, [first, second], 0);
  expect(back.create).toBeUndefined();
  expect(back.renumber).toEqual({ revision: first, to: 3 });
  expect(planRevisions(changed, [first, second], 0)).toMatchObject({
    name: second.metadata.name,
    old: [first],
  });
});

test("property: a rollout keeps its bounds whatever becomes ready when, and ends", () => {
  const run = fc.record({
    count: fc.integer({ min: 1, max: 6 }),
    bound: fc.integer({ min: 1, max: 3 }),
    surge: fc.boolean(),
    seed: fc.integer({ min: 1, max: 1_000_000 }),
  });
  fc.assert(
    fc.property(run, ({ count, bound, surge, seed }) => {
      const random = seededRandom(seed);
      const rollingUpdate = surge
        ? { maxUnavailable: 0, maxSurge: bound }
        : { maxUnavailable: bound, maxSurge: 0 };
      const set = daemonSet({ updateStrategy: { type: "RollingUpdate", rollingUpdate } });
      const all = Array.from({ length: count }, (_, i) => node(`n${i}`));
      let present = all.map((each) => pod(set, each.metadata.name, "old", true));
      const { hash } = planRevisions(set, [], 0);
      const isReady = (p: corev1.Pod) => (p.status.conditions ?? []).length > 0;
      for (let round = 0; round < 80; round++) {
        const plan = decideDaemonSet(state({ set, nodes: all, pods: claims(present) }), nowMs)!;
        const gone = new Set(plan.delete);
        present = present.filter((each) => !gone.has(each));
        present.push(...plan.create.map((name) => pod(set, name, hash, false)));
        const serving = new Set(present.filter(isReady).map((each) => each.spec.nodeName));
        expect(serving.size).toBeGreaterThanOrEqual(surge ? count : count - bound);
        expect(present.length).toBeLessThanOrEqual(surge ? count + bound : count);
        present = present.map((each) =>
          isReady(each) || random.float() < 0.5 ? each : pod(set, each.spec.nodeName!, hash, true),
        );
      }
      expect(present.map((each) => each.metadata.labels!["controller-revision-hash"])).toEqual(
        Array(count).fill(hash),
      );
    }),
    { numRuns: 40 },
  );
});

async function daemonWorld(): Promise<TestWorld> {
  const world = testWorld();
  for (const name of ["node-1", "node-2"]) await world.create(nodes, { metadata: { name }, spec: {} });
  await world.create(daemonSets, daemonSetDraft());
  return world;
}

test("nodes that come get a pod, nodes that change lose theirs, and history is kept within its limit", async () => {
  const world = await daemonWorld();
  const running = await world.run("daemonset-controller");
  await world.clock.advance(1_000);
  expect((await world.podsOf()).map(targetNode).sort()).toEqual(["node-1", "node-2"]);
  await world.create(nodes, { metadata: { name: "node-3" }, spec: {} });
  await world.clock.advance(1_000);
  expect((await world.podsOf()).map(targetNode).sort()).toEqual(["node-1", "node-2", "node-3"]);
  const ref = { namespace: "default", name: "daemon" };
  for (const image of ["daemon:2", "daemon:3"]) {
    const template = daemonSetDraft().spec!.template!;
    const spec = {
      revisionHistoryLimit: 1,
      template: { ...template, spec: { containers: [{ name: "c", image }] } },
    };
    await world.client.patch(daemonSets, ref, "merge", { spec });
    for (let i = 0; i < 6; i++) {
      await world.clock.advance(2_000);
      for (const each of await world.podsOf()) {
        if (each.status?.phase) continue;
        const conditions = [{ type: "Ready", status: "True", lastTransitionTime: formatTime(nowMs) }];
        const status = { phase: "Running" as const, conditions };
        await world.client.patch(pods, each.metadata, "merge", { status }, { subresource: "status" });
      }
    }
  }
  expect(new Set((await world.podsOf()).map((each) => each.spec.containers[0]!.image))).toEqual(
    new Set(["daemon:3"]),
  );
  const { items } = await world.client.list(controllerRevisions, { namespace: "default" });
  expect(items.map((each) => each.revision).sort()).toEqual([2, 3]);
  const { status } = await world.client.get(daemonSets, ref);
  expect(status).toMatchObject({ desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 3 });
  await running.stop();
  const told = (await world.client.list(events, { namespace: "default" })).items.map((each) => each.reason);
  expect(told).toEqual(expect.arrayContaining(["SuccessfulCreate", "SuccessfulDelete"]));
});

test("a name that another template has is counted and avoided", async () => {
  const world = await daemonWorld();
  const set = await world.client.get(daemonSets, { namespace: "default", name: "daemon" });
  const { name } = planRevisions(set, [], 0);
  await world.create(controllerRevisions, {
    metadata: { namespace: "default", name },
    data: {},
    revision: 1,
  });
  const running = await world.run("daemonset-controller");
  await world.clock.advance(5_000);
  const { status } = await world.client.get(daemonSets, { namespace: "default", name: "daemon" });
  expect(status.collisionCount).toBe(1);
  expect(await world.podsOf()).toHaveLength(2);
  await running.stop();
});
