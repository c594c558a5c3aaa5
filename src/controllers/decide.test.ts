/** The pure halves of the controllers, on states that no test cluster would come by easily. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { batchv1, corev1, discoveryv1, KubernetesObject } from "#api";
import { resourceDefinitions } from "#api";
import { deepFreeze } from "#client";
import { decideSlices } from "./endpoints/endpoint-slice.ts";
import { decideEndpoints } from "./endpoints/endpoints.ts";
import { decideGarbage, type GarbageState } from "./garbage-collector.ts";
import { jobPod } from "./job/controller.ts";
import { jobDraft } from "./kit/world.fixture.ts";
import { decideNode } from "./node/node-lifecycle.ts";
import { msUntilEviction } from "./node/taint-eviction.ts";
import { decidePodGc } from "./pod-garbage-collector.ts";
import { decideReplicaSet, type ReplicaSetState } from "./replicas/replicas.ts";
import { msUntilExpired } from "./ttl-after-finished.ts";

const meta = (name: string, more: object = {}) => ({
  namespace: "default",
  name,
  uid: name,
  resourceVersion: "1",
  creationTimestamp: "2026-01-01T00:00:00Z",
  ...more,
});

interface PodShape {
  phase?: string;
  ready?: boolean;
  node?: string;
  deleting?: boolean;
  cost?: number;
  ip?: string;
}

function podOf(
  name: string,
  { phase = "Running", ready, node = "n", deleting, cost, ip }: PodShape = {},
): corev1.Pod {
  const annotations =
    cost === undefined ? {} : { "controller.kubernetes.io/pod-deletion-cost": String(cost) };
  const conditions = [
    { type: "Ready", status: ready ? "True" : "False", lastTransitionTime: "2026-01-01T00:00:00Z" },
  ];
  return deepFreeze({
    apiVersion: "v1",
    kind: "Pod",
    metadata: meta(name, { annotations, ...(deleting ? { deletionTimestamp: "2026-01-01T00:01:00Z" } : {}) }),
    spec: {
      ...(node ? { nodeName: node } : {}),
      containers: [{ name: "c", ports: [{ name: "http", containerPort: 80 }] }],
    },
    status: { phase, conditions, ...(ip ? { podIP: ip } : {}) },
  }) as unknown as corev1.Pod;
}

function setState(
  replicas: number,
  pods: readonly corev1.Pod[],
  crowding = new Map<string, number>(),
): ReplicaSetState {
  const replicaSet = {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: meta("rs", { generation: 2 }),
    spec: { replicas, selector: {} },
  } as unknown as ReplicaSetState["replicaSet"];
  return deepFreeze({ replicaSet, pods: { claimed: pods, adopt: [], release: [] }, crowding });
}

const podShape = fc.record({
  phase: fc.constantFrom("Pending", "Running", "Succeeded", "Failed"),
  ready: fc.boolean(),
  node: fc.constantFrom("", "a", "b"),
  deleting: fc.boolean(),
});

test("a ReplicaSet makes or deletes exactly the difference, and never a ready pod before an unready one", () => {
  fc.assert(
    fc.property(fc.nat(8), fc.array(podShape, { maxLength: 12 }), (replicas, shapes) => {
      const pods = shapes.map((shape, i) => podOf(`p${i}`, shape));
      const plan = decideReplicaSet(setState(replicas, pods), 0);
      const active = pods.filter(
        (p) => !p.metadata.deletionTimestamp && !/Succ|Fail/.test(p.status.phase ?? ""),
      );
      expect(active.length + plan.create - plan.delete.length).toBe(replicas);
      expect(Math.min(plan.create, plan.delete.length)).toBe(0);
      expect(plan.status.replicas).toBe(active.length);
      const isReady = (pod: Readonly<corev1.Pod>) => pod.status.conditions?.[0]?.status === "True";
      const bad = (pod: Readonly<corev1.Pod>) =>
        pod.spec.nodeName && pod.status.phase === "Running" && !isReady(pod);
      const deletesReady = plan.delete.some(
        (p) => p.spec.nodeName && p.status.phase === "Running" && isReady(p),
      );
      if (deletesReady) expect(active.filter(bad).every((pod) => plan.delete.includes(pod))).toBe(true);
    }),
  );
});

test("among equals, the cheaper pod goes first, then one of a crowded node", () => {
  const cheap = [podOf("a", { ready: true }), podOf("b", { ready: true, cost: -5 })];
  expect(decideReplicaSet(setState(1, cheap), 0).delete.map((pod) => pod.metadata.name)).toEqual(["b"]);
  const crowd = [podOf("a", { ready: true, node: "one" }), podOf("b", { ready: true, node: "two" })];
  const crowding = new Map([
    ["one", 1],
    ["two", 4],
  ]);
  expect(decideReplicaSet(setState(1, crowd, crowding), 0).delete.map((pod) => pod.metadata.name)).toEqual([
    "b",
  ]);
});

const service = (more: object = {}) =>
  deepFreeze({
    apiVersion: "v1",
    kind: "Service",
    metadata: meta("web"),
    spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http", protocol: "TCP" }], ...more },
  }) as unknown as corev1.Service;

test("whatever the slices were, each address stands in one slice, none has more than a hundred, and the next round rests", () => {
  const existing = fc.array(fc.uniqueArray(fc.nat(300), { maxLength: 120 }), { maxLength: 4 });
  fc.assert(
    fc.property(fc.nat(300), existing, (count, old) => {
      const pods = Array.from({ length: count }, (_, i) =>
        podOf(`p${i}`, { ready: true, ip: `10.0.${i >> 8}.${i & 255}` }),
      );
      const slices = old.map((members, i) => ({
        metadata: meta(`s${i}`, {
          labels: {},
          ownerReferences: [{ apiVersion: "v1", kind: "Service", name: "web", uid: "web", controller: true }],
        }),
        addressType: "IPv4",
        ports: [{ name: "", port: 80, protocol: "TCP" }],
        endpoints: members.map((n) => ({
          addresses: [`10.0.${n >> 8}.${n & 255}`],
          targetRef: { uid: `p${n}` },
        })),
      })) as unknown as discoveryv1.EndpointSlice[];
      const state = { service: service(), pods, zoneOfNode: new Map(), slices: deepFreeze(slices) };
      const plan = decideSlices(state);
      const touched = new Set([...plan.update, ...plan.remove].map((slice) => slice.metadata.name));
      const created = plan.create.map((draft, i) => ({
        ...draft,
        metadata: { ...meta(`n${i}`), ...draft.metadata },
      }));
      const after = [
        ...slices.filter((slice) => !touched.has(slice.metadata.name)),
        ...plan.update,
        ...(created as unknown as discoveryv1.EndpointSlice[]),
      ];
      const addresses = after.flatMap((slice) => (slice.endpoints ?? []).flatMap((each) => each.addresses));
      expect(addresses.sort()).toEqual(pods.map((pod) => pod.status.podIP!).sort());
      for (const slice of after) expect(slice.endpoints?.length ?? 0).toBeLessThanOrEqual(120);
      for (const slice of created) expect(slice.endpoints?.length ?? 0).toBeLessThanOrEqual(100);
      const again = decideSlices({ ...state, slices: after });
      expect([again.create, again.update, again.remove]).toEqual([[], [], []]);
    }),
    { numRuns: 60 },
  );
});

test("Endpoints: headless without ports keeps its addresses; too many are cut, ready ones first", () => {
  const state = { namespace: "default", name: "web", current: undefined };
  const headless = {
    ...state,
    service: service({ clusterIP: "None", ports: [] }),
    pods: [podOf("a", { ready: true, ip: "10.0.0.1" })],
  };
  expect(decideEndpoints(headless)).toMatchObject({
    write: { subsets: [{ addresses: [{ ip: "10.0.0.1" }] }] },
  });
  const many = Array.from({ length: 1200 }, (_, i) =>
    podOf(`p${i}`, { ready: i >= 600, ip: `10.0.${i >> 8}.${i & 255}` }),
  );
  const plan = decideEndpoints({ ...state, service: service(), pods: many });
  if (!plan || !("write" in plan)) throw new Error("nothing to write");
  expect(plan.write.metadata.annotations).toEqual({ "endpoints.kubernetes.io/over-capacity": "truncated" });
  expect(plan.write.subsets?.[0]?.addresses).toHaveLength(600);
  expect(plan.write.subsets?.[0]?.notReadyAddresses).toHaveLength(400);
});

test("the garbage collector judges by what is known of the owners", () => {
  const definition = resourceDefinitions.find((each) => each.kind === "Pod")!;
  const reference = { apiVersion: "v1", kind: "ConfigMap", name: "o", uid: "o" };
  const thing = (more: object = {}) =>
    ({ apiVersion: "v1", kind: "X", metadata: meta("x", more) }) as KubernetesObject;
  const state = (
    object: KubernetesObject,
    found: (KubernetesObject | undefined)[],
    resolvable = true,
  ): GarbageState => ({
    definition,
    object,
    dependents: [],
    owners: found.map((each) => ({ reference, found: each, resolvable })),
  });
  const waiting = thing({ deletionTimestamp: "now", finalizers: ["foregroundDeletion"] });
  expect(decideGarbage(state(thing(), [thing()]))).toBeUndefined();
  expect(decideGarbage(state(thing(), [undefined], false))).toBeUndefined();
  expect(decideGarbage(state(thing({ deletionTimestamp: "now" }), [undefined]))).toBeUndefined();
  expect(decideGarbage(state(thing(), [undefined, thing()]))).toMatchObject({ kind: "collect", solid: 1 });
  expect(decideGarbage(state(thing(), [waiting]))).toMatchObject({
    kind: "collect",
    solid: 0,
    waiting: [reference],
  });
  expect(decideGarbage(state(waiting, []))).toEqual({ kind: "foreground" });
  const blocked = {
    definition,
    object: thing({ ownerReferences: [{ ...reference, uid: "x", blockOwnerDeletion: true }] }),
  };
  expect(decideGarbage({ ...state(waiting, []), dependents: [blocked] })).toBeUndefined();
});

test("the shortest toleration holds, counted from the taint's time", () => {
  const startMs = Date.parse("2026-01-01T00:00:00Z");
  const taint = { key: "k", effect: "NoExecute", timeAdded: "2026-01-01T00:00:00Z" } as corev1.Taint;
  const wait = (tolerations: object[]) => {
    const pod = podOf("p");
    return msUntilEviction(
      { ...pod, spec: { ...pod.spec, tolerations } } as corev1.Pod,
      [taint],
      startMs,
      startMs + 1000,
    );
  };
  const tolerated = { key: "k", operator: "Exists", effect: "NoExecute" };
  expect(wait([])).toBe(0);
  expect(wait([tolerated])).toBeUndefined();
  expect(wait([{ ...tolerated, tolerationSeconds: 10 }, tolerated])).toBe(9000);
  expect(wait([{ ...tolerated, tolerationSeconds: -3 }])).toBe(0);
  expect(wait([{ operator: "Exists" }])).toBeUndefined();
});

test("a node with pressure or without network is tainted for it", () => {
  const conditions = [
    { type: "Ready", status: "True" },
    { type: "MemoryPressure", status: "True" },
    { type: "NetworkUnavailable", status: "True" },
  ];
  const node = deepFreeze({
    metadata: meta("n"),
    spec: {},
    status: { conditions },
  }) as unknown as corev1.Node;
  const plan = decideNode({ node, pods: [], seenMs: 0, isNew: false, turnMs: 0 }, 10);
  expect(plan.taints?.map((taint) => `${taint.key}:${taint.effect}`)).toEqual([
    "node.kubernetes.io/memory-pressure:NoSchedule",
    "node.kubernetes.io/network-unavailable:NoSchedule",
  ]);
  expect(plan.conditions).toBeUndefined();
});

test("ended pods beyond the number go, the oldest first", () => {
  const at = (name: string, time: string) => {
    const pod = podOf(name, { phase: "Succeeded" });
    return { ...pod, metadata: { ...pod.metadata, creationTimestamp: time } };
  };
  const pods = [
    at("new", "2026-01-03T00:00:00Z"),
    at("old", "2026-01-01T00:00:00Z"),
    podOf("unbound", { node: "", deleting: true }),
  ];
  const plan = decidePodGc({ pods, nodeNames: new Set(["n"]) }, 1);
  expect(plan.others.map((pod) => pod.metadata.name)).toEqual(["unbound", "old"]);
  expect(decidePodGc({ pods, nodeNames: new Set() }).orphaned).toHaveLength(2);
});

test("a Job's time to live counts from its end", () => {
  const job = (conditions: object[]) =>
    ({ ...jobDraft({ ttlSecondsAfterFinished: 10 }), status: { conditions } }) as batchv1.Job;
  const ended = { type: "Failed", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" };
  expect(msUntilExpired(job([]), 0)).toBeUndefined();
  expect(msUntilExpired(job([ended]), Date.parse("2026-01-01T00:00:04Z"))).toBe(6000);
});

test("a Job's pod is held by its finalizer, and knows its index", () => {
  const job = { apiVersion: "batch/v1", kind: "Job", ...jobDraft() } as batchv1.Job;
  expect(jobPod(job, undefined).metadata).toMatchObject({
    generateName: "once-",
    finalizers: ["batch.kubernetes.io/job-tracking"],
  });
  const indexed = jobPod(job, 7);
  expect(indexed.metadata?.labels).toEqual({ job: "once", "batch.kubernetes.io/job-completion-index": "7" });
  expect(indexed.spec?.hostname).toBe("once-7");
});
