/** Quotas, ranges of amounts, and replication controllers. */
import { expect, test } from "vitest";
import { changeErrorsOf, errorsOf, errorTexts, make } from "../testing/examples.ts";
import { limitRanges } from "./limit-range.ts";
import { podTemplates } from "./pod-template.ts";
import { replicationControllers } from "./replication-controller.ts";
import { resourceQuotas } from "./resource-quota.ts";

test.each([
  [
    { hard: { bogus: "1" } },
    [
      'spec.hard[bogus]: Invalid value: "bogus": must be a standard resource type or fully qualified',
      'spec.hard[bogus]: Invalid value: "bogus": must be a standard resource for quota',
    ],
  ],
  [{ hard: { pods: "-1" } }, ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0']],
  [{ hard: { pods: "1500m" } }, ['spec.hard[pods]: Invalid value: "1500m": must be an integer']],
  [
    { hard: { pods: "1" }, scopes: ["Terminating", "NotTerminating"] },
    ['spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes'],
  ],
  [
    { hard: { services: "1" }, scopes: ["BestEffort"] },
    ['spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'],
  ],
])("a quota: %j", (spec, errors) => {
  expect(errorsOf(resourceQuotas, { spec })).toEqual(errors);
});

test("a quota keeps its scopes", () => {
  const spec = { hard: { pods: "1" } };
  expect(changeErrorsOf(resourceQuotas, { spec }, { spec: { ...spec, scopes: ["BestEffort"] } })).toEqual([
    'spec.scopes: Invalid value: ["BestEffort"]: field is immutable',
  ]);
});

test("a limit range fills in from its bounds, and keeps them in order", () => {
  const range = (item: object) => ({ spec: { limits: [{ type: "Container", ...item }] } });
  expect(make(limitRanges, range({ max: { cpu: "2" }, min: { cpu: "1" } })).spec.limits[0]).toEqual({
    type: "Container",
    max: { cpu: "2" },
    min: { cpu: "1" },
    default: { cpu: "2" },
    defaultRequest: { cpu: "2" },
  });
  expect(errorsOf(limitRanges, range({ max: { cpu: "1" }, min: { cpu: "2" } }))).toEqual([
    'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
    'spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1',
    'spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1',
  ]);
  expect(errorsOf(limitRanges, range({ maxLimitRequestRatio: { cpu: "500m" } }))).toEqual([
    'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1',
  ]);
  expect(errorsOf(limitRanges, { spec: { limits: [{ type: "Pod", default: { cpu: "1" } }] } })).toEqual([
    "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
  ]);
  expect(errorsOf(limitRanges, { spec: { limits: [{ type: "PersistentVolumeClaim" }] } })).toEqual([
    "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
  ]);
});

const template = { metadata: { labels: { app: "a" } }, spec: { containers: [{ name: "c", image: "i" }] } };

test("a replication controller selects what its template is labelled, unless it says so itself", () => {
  expect(make(replicationControllers, { spec: { template } })).toMatchObject({
    metadata: { labels: { app: "a" } },
    spec: { replicas: 1, selector: { app: "a" } },
  });
  expect(errorsOf(replicationControllers, { spec: { template, selector: { app: "b" } } })).toEqual([
    'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`',
  ]);
  expect(errorsOf(replicationControllers, { spec: { replicas: -1, selector: { a: "b" } } })).toEqual([
    "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
    "spec.template: Required value",
  ]);
});

test("a pod template is checked as the templates of workloads are", () => {
  expect(errorsOf(podTemplates, { template: { ...template, spec: { containers: [] } } })).toEqual([
    "template.spec.containers: Required value",
  ]);
});

test("counters of a controller are no less than their sums", () => {
  const old = make(replicationControllers, { spec: { template } });
  const object = { ...old, status: { replicas: 1, readyReplicas: 2 } };
  expect(errorTexts(replicationControllers.validateStatusUpdate(object, old))).toEqual([
    "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
  ]);
});
