import fc from "fast-check";
import { expect, test } from "vitest";
import type { autoscalingv2 } from "../generated/types/index.ts";
import { errorsOf, errorTexts, make } from "../testing/examples.ts";
import { horizontalPodAutoscalers } from "./horizontal-pod-autoscaler.ts";
import { horizontalPodAutoscalersV1 } from "./horizontal-pod-autoscaler-v1.ts";

const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
const spec = { scaleTargetRef, maxReplicas: 3 };
const cpu = (target: object) => ({
  ...spec,
  metrics: [{ type: "Resource", resource: { name: "cpu", target } }],
});

test("without metrics it is eighty percent of the CPU, and one replica at least", () => {
  expect(make(horizontalPodAutoscalers, { spec }).spec).toMatchObject({
    minReplicas: 1,
    metrics: [
      {
        type: "Resource",
        resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } },
      },
    ],
  });
});

test("behavior is completed rule by rule", () => {
  const behavior = { scaleUp: { stabilizationWindowSeconds: 5 }, scaleDown: { selectPolicy: "Min" } };
  expect(make(horizontalPodAutoscalers, { spec: { ...spec, behavior } }).spec.behavior).toEqual({
    scaleUp: {
      stabilizationWindowSeconds: 5,
      selectPolicy: "Max",
      policies: [
        { type: "Pods", value: 4, periodSeconds: 15 },
        { type: "Percent", value: 100, periodSeconds: 15 },
      ],
    },
    scaleDown: { selectPolicy: "Min", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] },
  });
});

test.each([
  [
    { ...spec, maxReplicas: 0 },
    [
      "spec.maxReplicas: Invalid value: 0: must be greater than 0",
      "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
    ],
  ],
  [
    { ...spec, minReplicas: 5 },
    ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
  ],
  [
    { ...spec, scaleTargetRef: {} },
    ["spec.scaleTargetRef.kind: Required value", "spec.scaleTargetRef.name: Required value"],
  ],
  [
    cpu({ type: "Utilization", averageUtilization: 0 }),
    ["spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"],
  ],
  [
    cpu({ type: "Utilization" }),
    [
      "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
    ],
  ],
  [
    cpu({}),
    [
      "spec.metrics[0].resource.target.type: Required value: must specify a metric target type",
      'spec.metrics[0].resource.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
      "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
    ],
  ],
  [
    { ...spec, metrics: [{ type: "Moon" }] },
    [
      'spec.metrics[0].type: Unsupported value: "Moon": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"',
      'spec.metrics[0].type: Unsupported value: "Moon": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"',
    ],
  ],
  [
    { ...spec, behavior: { scaleUp: { stabilizationWindowSeconds: 3601 } } },
    [
      "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
    ],
  ],
])("an autoscaler: %j", (wrong, errors) => {
  expect(errorsOf(horizontalPodAutoscalers, { spec: wrong })).toEqual(errors);
});

test("version 1 shows the CPU's target as a field, and keeps the rest in annotations", () => {
  const memory = {
    type: "Resource",
    resource: { name: "memory", target: { type: "AverageValue", averageValue: "1Gi" } },
  };
  const stored = make(horizontalPodAutoscalers, {
    spec: { ...spec, metrics: [...cpu({ type: "Utilization", averageUtilization: 50 }).metrics, memory] },
  });
  const shown = horizontalPodAutoscalersV1.storedAs!.fromStored(structuredClone(stored)) as unknown as {
    metadata: { annotations: object };
    spec: object;
  };
  expect(shown.spec).toMatchObject({ targetCPUUtilizationPercentage: 50, maxReplicas: 3 });
  expect(shown.metadata.annotations).toEqual({
    "autoscaling.alpha.kubernetes.io/metrics":
      '[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}}]',
  });
});

const amount = fc.constantFrom("1", "100m", "2Gi");
const metric = fc.record(
  { name: fc.constantFrom("a", "b"), selector: fc.constantFrom({ matchLabels: { x: "y" } }) },
  { requiredKeys: ["name"] },
);
const target = fc.oneof(fc.record({ type: fc.constant("AverageValue"), averageValue: amount }));
const metrics: fc.Arbitrary<autoscalingv2.MetricSpec> = fc.oneof(
  fc.record({ type: fc.constant("Pods"), pods: fc.record({ metric, target }) }),
  fc.record({
    type: fc.constant("External"),
    external: fc.record({
      metric,
      target: fc.oneof(target, fc.record({ type: fc.constant("Value"), value: amount })),
    }),
  }),
  fc.record({
    type: fc.constant("Object"),
    object: fc.record({
      metric,
      describedObject: fc.constant({ kind: "Service", name: "s", apiVersion: "v1" }),
      target: fc.record({ type: fc.constant("Value"), value: amount }),
    }),
  }),
  fc.record({
    type: fc.constant("Resource"),
    resource: fc.record({
      name: fc.constantFrom("cpu", "memory"),
      target: fc.oneof(
        target,
        fc.record({ type: fc.constant("Utilization"), averageUtilization: fc.integer({ min: 1, max: 99 }) }),
      ),
    }),
  }),
  fc.record({
    type: fc.constant("ContainerResource"),
    containerResource: fc.record({ name: fc.constant("cpu"), container: fc.constant("c"), target }),
  }),
);

/** Version 1 has room for one target of the CPU. */
function identityOf(metric: autoscalingv2.MetricSpec): string {
  const { name, target } = metric.resource ?? {};
  return name === "cpu" && target?.averageUtilization ? name : JSON.stringify(metric);
}

test("an autoscaler comes back from version 1 as it was", () => {
  fc.assert(
    fc.property(fc.uniqueArray(metrics, { minLength: 1, maxLength: 4, selector: identityOf }), (list) => {
      const stored = make(horizontalPodAutoscalers, { spec: { ...spec, metrics: list } });
      expect(errorTexts(horizontalPodAutoscalers.validate(stored))).toEqual([]);
      const { fromStored, toStored } = horizontalPodAutoscalersV1.storedAs!;
      const back = toStored(fromStored(structuredClone(stored))) as unknown as typeof stored;
      const sorted = (all: readonly unknown[]) => all.map((each) => JSON.stringify(each)).sort();
      expect(sorted(back.spec.metrics!).length).toEqual(list.length);
      expect(back.spec.metrics).toEqual(expect.arrayContaining(stored.spec.metrics!));
      expect(back.metadata.annotations ?? {}).toEqual({});
    }),
  );
});
