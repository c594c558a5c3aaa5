import fc from "fast-check";
import { expect, test } from "vitest";
import { type appsv1, type corev1, formatTime } from "#api";
import { seededRandom } from "#base";
import type { Claims } from "../kit/claims.ts";
import { planRevisions } from "../kit/revisions.ts";
import { statefulSetDraft } from "../kit/world.fixture.ts";
import { decideStatefulSet, type StatefulSetState } from "./decide.ts";
import { ordinalOf, revisionOf } from "./identity.ts";
import { statefulPod } from "./new-pod.ts";

const nowMs = Date.UTC(2026, 0, 1);

function statefulSet(spec: Partial<appsv1.StatefulSetSpec> = {}): appsv1.StatefulSet {
  const draft = statefulSetDraft(spec);
  return {
    ...draft,
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { namespace: "default", name: "db", uid: "set", generation: 1 },
    status: { replicas: 0 },
  } as appsv1.StatefulSet;
}

const claims = <T>(claimed: T[]): Claims<T> => ({ claimed, adopt: [], release: [] });
const updateName = (set: appsv1.StatefulSet) => planRevisions(set, [], 0).name;

function pod(set: appsv1.StatefulSet, ordinal: number, revision: string, isReady = true): corev1.Pod {
  const draft = statefulPod(set, set.spec.template, ordinal, revision);
  const conditions = isReady
    ? [{ type: "Ready", status: "True", lastTransitionTime: formatTime(nowMs) }]
    : [];
  return { ...draft, status: { phase: "Running", conditions } } as corev1.Pod;
}

function decide(set: appsv1.StatefulSet, present: corev1.Pod[], parts: Partial<StatefulSetState> = {}) {
  const plan = decideStatefulSet(
    { set, pods: claims(present), revisions: claims([]), volumeClaims: new Map(), ...parts },
    nowMs,
  );
  return {
    plan,
    create: plan.create.map((each) => each.ordinal),
    delete: plan.delete.map((each) => ordinalOf(set, each)),
  };
}

test("its pods have names, host names and labels of their own", () => {
  const set = statefulSet({ ordinals: { start: 5 } });
  expect(decide(set, []).create).toEqual([5]);
  expect(statefulPod(set, set.spec.template, 5, "db-x")).toMatchObject({
    metadata: {
      name: "db-5",
      labels: {
        app: "db",
        "apps.kubernetes.io/pod-index": "5",
        "statefulset.kubernetes.io/pod-name": "db-5",
        "controller-revision-hash": "db-x",
      },
    },
    spec: { hostname: "db-5", subdomain: "db" },
  });
  expect(ordinalOf(set, { metadata: { name: "db-05" } } as corev1.Pod)).toBeUndefined();
  expect(ordinalOf(set, { metadata: { name: "db-a-1" } } as corev1.Pod)).toBeUndefined();
});

test("in order: one after the other up, one after the other down; in parallel: all at once", () => {
  const set = statefulSet();
  const name = updateName(set);
  expect(decide(set, []).create).toEqual([0]);
  expect(decide(set, [pod(set, 0, name, false)]).create).toEqual([]);
  expect(decide(set, [pod(set, 0, name)]).create).toEqual([1]);
  const small = statefulSet({ replicas: 1 });
  const three = [0, 1, 2].map((i) => pod(small, i, name));
  expect(decide(small, three).delete).toEqual([2]);
  expect(decide(small, [pod(small, 0, name, false), ...three.slice(1)]).delete).toEqual([]);
  expect(decide(statefulSet({ podManagementPolicy: "Parallel" }), []).create).toEqual([0, 1, 2]);
  const parallel = statefulSet({ replicas: 1, podManagementPolicy: "Parallel" });
  expect(decide(parallel, three).delete).toEqual([2, 1]);
});

test("updates go from the last pod down to the partition; OnDelete waits for the user", () => {
  const set = statefulSet({ updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 1 } } });
  const name = updateName(set);
  const old = (i: number) => pod(set, i, "db-old");
  expect(decide(set, [old(0), old(1), old(2)]).delete).toEqual([2]);
  expect(decide(set, [old(0), old(1), pod(set, 2, name)]).delete).toEqual([1]);
  expect(decide(set, [old(0), pod(set, 1, name), pod(set, 2, name)]).delete).toEqual([]);
  const waiting = statefulSet({ updateStrategy: { type: "OnDelete" } });
  expect(decide(waiting, [old(0), old(1), old(2)]).delete).toEqual([]);
  const wide = statefulSet({
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 2 } },
  });
  expect(decide(wide, [old(0), old(1), old(2)]).delete).toEqual([2, 1]);
});

test("below the partition a lost pod comes back as it was", () => {
  const older = statefulSet();
  const first = planRevisions(older, [], 0).create as appsv1.ControllerRevision;
  const template = { ...older.spec.template, spec: { containers: [{ name: "c", image: "db:2" }] } };
  const set = statefulSet({
    template: template as corev1.PodTemplateSpec,
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 2 } },
  });
  set.status = { replicas: 3, currentRevision: first.metadata.name };
  const { plan } = decide(set, [], { revisions: claims([first]) });
  expect(plan.create).toMatchObject([{ ordinal: 0, revision: first.metadata.name }]);
  expect(plan.create[0]?.template.spec?.containers[0]?.image).toBe("db:1");
  expect(plan.status).toMatchObject({
    currentRevision: first.metadata.name,
    updateRevision: plan.revisions.name,
  });
});

test("pods that ended are replaced; minReadySeconds are waited for", () => {
  const set = statefulSet({ minReadySeconds: 10 });
  const name = updateName(set);
  const ended = { ...pod(set, 0, name), status: { phase: "Failed" } } as corev1.Pod;
  expect(decide(set, [ended]).delete).toEqual([0]);
  const { plan, create } = decide(set, [pod(set, 0, name)]);
  expect(create).toEqual([]);
  expect(plan.afterMs).toBe(10_000);
  expect(plan.status).toMatchObject({ readyReplicas: 1, availableReplicas: 0 });
});

test("property: order and bounds are kept whatever dies, and every rollout ends", () => {
  const run = fc.record({
    replicas: fc.integer({ min: 1, max: 5 }),
    before: fc.integer({ min: 0, max: 5 }),
    parallel: fc.boolean(),
    seed: fc.integer({ min: 1, max: 1_000_000 }),
  });
  fc.assert(
    fc.property(run, ({ replicas, before, parallel, seed }) => {
      const random = seededRandom(seed);
      const set = statefulSet({ replicas, podManagementPolicy: parallel ? "Parallel" : "OrderedReady" });
      const name = updateName(set);
      let present = Array.from({ length: before }, (_, i) => pod(set, i, "db-old"));
      const isReady = (each: corev1.Pod) => (each.status.conditions ?? []).length > 0;
      for (let round = 0; round < 120; round++) {
        const { plan } = decide(set, present);
        const serving = present.filter(isReady).length;
        const gone = new Set(plan.delete);
        if (!parallel) {
          expect(plan.create.length + gone.size).toBeLessThanOrEqual(1);
          for (const { ordinal } of plan.create)
            expect(present.filter((each) => isReady(each) && ordinalOf(set, each)! < ordinal)).toHaveLength(
              ordinal,
            );
        }
        const lost = [...gone].filter((each) => isReady(each) && ordinalOf(set, each)! < replicas).length;
        expect(lost).toBeLessThanOrEqual(Math.max(0, 1 - (replicas - Math.min(serving, replicas))));
        present = present.filter((each) => !gone.has(each));
        present.push(...plan.create.map(({ ordinal, revision }) => pod(set, ordinal, revision, false)));
        // A disaster now and then, but not for ever.
        if (round < 40 && random.float() < 0.1)
          present.splice(Math.floor(random.float() * present.length), 1);
        present = present.map((each) =>
          isReady(each) || random.float() < 0.4 ? each : pod(set, ordinalOf(set, each)!, revisionOf(each)!),
        );
      }
      expect(present.map((each) => [ordinalOf(set, each), revisionOf(each)]).sort()).toEqual(
        Array.from({ length: replicas }, (_, i) => [i, name]),
      );
    }),
    { numRuns: 60 },
  );
});
