/** What is special about the further workloads, priorities and budgets. */
import { expect, test } from "vitest";
import { controllerRevisions } from "./apps/controller-revision.ts";
import { daemonSets } from "./apps/daemon-set.ts";
import { statefulSets } from "./apps/stateful-set.ts";
import { cronJobs } from "./batch/cron-job.ts";
import type { ResourceDefinition } from "./meta/definition.ts";
import type { KubernetesObject } from "./meta/resource-type.ts";
import { podDisruptionBudgets } from "./policy/pod-disruption-budget.ts";
import { priorityClasses } from "./scheduling/priority-class.ts";

const nowMs = Date.UTC(2026, 0, 1);
const template = {
  metadata: { labels: { app: "a" } },
  spec: { containers: [{ name: "c", image: "nginx" }] },
};
const workload = { selector: { matchLabels: { app: "a" } }, template };

function make<T extends KubernetesObject>(definition: ResourceDefinition<T>, rest: object, name = "x"): T {
  const metadata = { name, namespace: "d", uid: "u-1" };
  const object = { apiVersion: "v1", kind: definition.kind, metadata, ...structuredClone(rest) };
  definition.defaults(object as never);
  return object as never;
}

function said<T extends KubernetesObject>(definition: ResourceDefinition<T>, rest: object, old?: object) {
  const object = make(definition, rest);
  const errors = old ? definition.validateUpdate(object, make(definition, old)) : definition.validate(object);
  return errors.map((e) => `${e.field}: ${e.message}`);
}

test("daemonsets: strategies, and the template's generation", () => {
  const rolling = (rollingUpdate: object) => ({
    spec: { ...workload, updateStrategy: { type: "RollingUpdate", rollingUpdate } },
  });
  const at = "spec.updateStrategy.rollingUpdate";
  expect(make(daemonSets, { spec: workload }).spec.updateStrategy).toEqual({
    type: "RollingUpdate",
    rollingUpdate: { maxUnavailable: 1, maxSurge: 0 },
  });
  expect(said(daemonSets, rolling({ maxSurge: "10%", maxUnavailable: 0 }))).toEqual([]);
  expect(said(daemonSets, rolling({ maxUnavailable: 0 }))).toEqual([
    `${at}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0`,
  ]);
  expect(said(daemonSets, rolling({ maxUnavailable: "101%" }))).toEqual([
    `${at}.maxUnavailable: Invalid value: "101%": must not be greater than 100%`,
  ]);
  expect(said(daemonSets, { spec: { ...workload, selector: {} } })).toEqual([
    "spec.selector: Invalid value: {}: empty selector is invalid for daemonset",
  ]);
  const generation = (set: KubernetesObject) =>
    set.metadata.annotations?.["deprecated.daemonset.template.generation"];
  const first = make(daemonSets, { spec: workload });
  daemonSets.onCreate(first, { nowMs });
  expect(generation(first)).toBe("1");
  const second = structuredClone(first);
  second.spec.template.spec!.containers[0]!.image = "nginx:2";
  daemonSets.onUpdate(second, first, { nowMs });
  expect(generation(second)).toBe("2");
});

test("statefulsets: claims stand for volumes, and most of the spec is for ever", () => {
  const mounted = structuredClone(workload);
  Object.assign(mounted.template.spec.containers[0]!, {
    volumeMounts: [{ name: "data", mountPath: "/data" }],
  });
  const volumeClaimTemplates = [{ metadata: { name: "data" }, spec: { accessModes: ["ReadWriteOnce"] } }];
  expect(said(statefulSets, { spec: { ...mounted, volumeClaimTemplates } })).toEqual([]);
  expect(said(statefulSets, { spec: mounted })).toEqual([
    'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"',
  ]);
  expect(make(statefulSets, { spec: workload }).spec).toMatchObject({
    replicas: 1,
    podManagementPolicy: "OrderedReady",
    revisionHistoryLimit: 10,
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
    persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
  });
  const bad = {
    podManagementPolicy: "Some",
    replicas: -1,
    updateStrategy: { type: "OnDelete", rollingUpdate: {} },
  };
  expect(said(statefulSets, { spec: { ...workload, ...bad } })).toEqual([
    "spec.podManagementPolicy: Invalid value: \"Some\": must be 'OrderedReady' or 'Parallel'",
    "spec.updateStrategy.rollingUpdate: Invalid value: {}: only allowed for updateStrategy 'RollingUpdate'",
    "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
  ]);
  expect(said(statefulSets, { spec: { ...workload, serviceName: "b" } }, { spec: workload })).toEqual([
    expect.stringMatching(/^spec: Forbidden: updates to statefulset spec for fields other than 'replicas'/),
  ]);
  expect(statefulSets.validateName("a.b", false)).not.toEqual([]);
});

test("controllerrevisions: data is mandatory and for ever", () => {
  expect(said(controllerRevisions, { revision: -1 })).toEqual([
    "data: Required value: data is mandatory",
    "revision: Invalid value: -1: must be greater than or equal to 0",
  ]);
  expect(said(controllerRevisions, { data: { a: 2 } }, { data: { a: 1 } })).toEqual([
    'data: Invalid value: {"a":2}: field is immutable',
  ]);
});

test("cronjobs: schedule, zone, policy and the jobs to come", () => {
  const jobTemplate = { spec: { template: { spec: { ...template.spec, restartPolicy: "Never" } } } };
  const spec = { schedule: "@hourly", jobTemplate };
  expect(said(cronJobs, { spec })).toEqual([]);
  expect(said(cronJobs, { spec: { ...spec, schedule: "TZ=UTC 0 0 * * *" } })).toEqual([
    'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
    'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": expected exactly 5 fields, found 6: [TZ=UTC 0 0 * * *]',
  ]);
  const always = { spec: { template: { spec: template.spec } } };
  expect(
    said(cronJobs, { spec: { ...spec, concurrencyPolicy: "No", jobTemplate: always, timeZone: "local" } }),
  ).toEqual([
    'spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones',
    'spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    'spec.concurrencyPolicy: Unsupported value: "No": supported values: "Allow", "Forbid", "Replace"',
  ]);
  const long = make(cronJobs, { spec }, "a".repeat(53));
  expect(cronJobs.validate(long).map((e) => e.field)).toEqual(["metadata.name"]);
});

test("priorityclasses and poddisruptionbudgets: bounds", () => {
  expect(said(priorityClasses, { value: 1_000_000_001, preemptionPolicy: "Maybe" })).toEqual([
    "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
    'preemptionPolicy: Unsupported value: "Maybe": supported values: "Never", "PreemptLowerPriority"',
  ]);
  expect(said(priorityClasses, { value: 2 }, { value: 1 })).toEqual([
    "value: Forbidden: may not be changed in an update.",
  ]);
  const budget = { minAvailable: "half", unhealthyPodEvictionPolicy: "Never" };
  expect(said(podDisruptionBudgets, { spec: budget }).map((each) => each.split(":")[0])).toEqual([
    "spec.minAvailable",
    "spec.unhealthyPodEvictionPolicy",
  ]);
});
