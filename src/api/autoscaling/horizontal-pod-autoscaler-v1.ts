/**
 * HorizontalPodAutoscaler v1: one target for CPU; what it has no fields for stands in annotations.
 * https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v1/
 */
import type { autoscalingv1, autoscalingv2, metav1 } from "../generated/types/index.ts";
import { decode } from "../meta/decode.ts";
import { defineVersion } from "../meta/define-version.ts";
import { horizontalPodAutoscalers } from "./horizontal-pod-autoscaler.ts";
import { metricFromV1, metricToV1, statusFromV1, statusToV1 } from "./metrics-v1.ts";

type V1 = autoscalingv1.HorizontalPodAutoscaler;
type V2 = autoscalingv2.HorizontalPodAutoscaler;

const prefix = "autoscaling.alpha.kubernetes.io/";
const names = {
  metrics: `${prefix}metrics`,
  current: `${prefix}current-metrics`,
  conditions: `${prefix}conditions`,
  behavior: `${prefix}behavior`,
};

function isCpuTarget({ type, resource }: autoscalingv2.MetricSpec): boolean {
  const isShare = resource?.target?.averageUtilization !== undefined;
  return type === "Resource" && resource?.name === "cpu" && isShare;
}

function fromStored(autoscaler: V2): V1 {
  const { metadata, spec, status = {} as autoscalingv2.HorizontalPodAutoscalerStatus } = autoscaler;
  const annotations: Record<string, string> = { ...metadata.annotations };
  const note = (name: string, list: readonly unknown[]) => {
    if (list.length > 0) annotations[name] = JSON.stringify(list);
  };
  const metrics = spec.metrics ?? [];
  note(names.metrics, metrics.filter((metric) => !isCpuTarget(metric)).map(metricToV1));
  note(names.current, (status.currentMetrics ?? []).map(statusToV1));
  note(names.conditions, status.conditions ?? []);
  if (spec.behavior) annotations[names.behavior] = JSON.stringify(capitalized(spec.behavior));
  const target = metrics.find(isCpuTarget)?.resource?.target.averageUtilization;
  const cpu = (status.currentMetrics ?? []).find(
    ({ type, resource }) => type === "Resource" && resource?.name === "cpu",
  );
  const current = cpu?.resource?.current?.averageUtilization;
  return {
    apiVersion: "autoscaling/v1",
    kind: autoscaler.kind,
    metadata: withAnnotations(metadata, annotations),
    spec: {
      scaleTargetRef: spec.scaleTargetRef,
      ...(spec.minReplicas === undefined ? {} : { minReplicas: spec.minReplicas }),
      maxReplicas: spec.maxReplicas,
      ...(target === undefined ? {} : { targetCPUUtilizationPercentage: target }),
    },
    status: {
      ...sharedStatus(status),
      currentReplicas: status.currentReplicas ?? 0,
      ...(current === undefined ? {} : { currentCPUUtilizationPercentage: current }),
    },
  };
}

interface SharedStatus {
  desiredReplicas: number;
  lastScaleTime?: metav1.Time;
  observedGeneration?: number;
}

function sharedStatus({ desiredReplicas, lastScaleTime, observedGeneration }: SharedStatus): SharedStatus {
  return {
    desiredReplicas: desiredReplicas ?? 0,
    ...(lastScaleTime ? { lastScaleTime } : {}),
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
  };
}

function withAnnotations(
  metadata: metav1.ObjectMeta,
  annotations: Record<string, string>,
): metav1.ObjectMeta {
  const { annotations: _, ...rest } = metadata;
  return Object.keys(annotations).length > 0 ? { ...rest, annotations } : rest;
}

function toStored(autoscaler: V1): V2 {
  const { metadata, spec = {} as V1["spec"], status = {} as V1["status"] } = autoscaler;
  const { annotations = {} } = metadata;
  const noted = (name: string) => parsed(annotations[name]);
  const metrics = listOf<autoscalingv1.MetricSpec>("v1.MetricSpec", noted(names.metrics)).map(metricFromV1);
  const share = spec.targetCPUUtilizationPercentage;
  if (share !== undefined) {
    const target = { type: "Utilization", averageUtilization: share };
    metrics.push({ type: "Resource", resource: { name: "cpu", target } });
  }
  const current = listOf<autoscalingv1.MetricStatus>("v1.MetricStatus", noted(names.current)).map(
    statusFromV1,
  );
  const currentShare = status.currentCPUUtilizationPercentage;
  if (currentShare !== undefined && current.length === 0)
    current.push({
      type: "Resource",
      resource: { name: "cpu", current: { averageUtilization: currentShare } },
    });
  const conditions = listOf<autoscalingv2.HorizontalPodAutoscalerCondition>(
    "v1.HorizontalPodAutoscalerCondition",
    noted(names.conditions),
  );
  const behavior = behaviorOf(noted(names.behavior));
  const own = new Set(Object.values(names));
  const kept = Object.fromEntries(Object.entries(annotations).filter(([name]) => !own.has(name)));
  return {
    apiVersion: "autoscaling/v2",
    kind: autoscaler.kind,
    metadata: withAnnotations(metadata, kept),
    spec: {
      scaleTargetRef: spec.scaleTargetRef,
      ...(spec.minReplicas === undefined ? {} : { minReplicas: spec.minReplicas }),
      maxReplicas: spec.maxReplicas ?? 0,
      ...(metrics.length > 0 ? { metrics } : {}),
      ...(behavior ? { behavior } : {}),
    },
    status: {
      ...sharedStatus(status),
      ...(status.currentReplicas ? { currentReplicas: status.currentReplicas } : {}),
      ...(current.length > 0 ? { currentMetrics: current } : {}),
      ...(conditions.length > 0 ? { conditions } : {}),
    },
  };
}

/** What a client wrote into an annotation is worth a look, not an error. */
function parsed(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Undefined when it is not of that type. */
function typed<T>(type: string, value: object): T | undefined {
  try {
    decode(`io.k8s.api.autoscaling.${type}`, value);
    return value as T;
  } catch {
    return undefined;
  }
}

/** All of the list, or nothing where one item is not of the type. */
function listOf<T>(type: string, value: unknown): T[] {
  if (!Array.isArray(value) || !value.every(isObject)) return [];
  const items = value.flatMap((item) => typed<T>(type, item) ?? []);
  return items.length === value.length ? items : [];
}

/** Upstream notes the behaviour in its inner form: every field, and capitals. */
function capitalized(behavior: autoscalingv2.HorizontalPodAutoscalerBehavior): unknown {
  const rules = (given: autoscalingv2.HPAScalingRules | undefined) =>
    given
      ? {
          StabilizationWindowSeconds: given.stabilizationWindowSeconds ?? null,
          SelectPolicy: given.selectPolicy ?? null,
          Policies:
            given.policies?.map(({ type, value, periodSeconds }) => ({
              Type: type,
              Value: value,
              PeriodSeconds: periodSeconds,
            })) ?? null,
          Tolerance: given.tolerance ?? null,
        }
      : null;
  return { ScaleUp: rules(behavior.scaleUp), ScaleDown: rules(behavior.scaleDown) };
}

/** A behaviour, its rules, their policies, one of them. */
const behaviorDepth = 4;

/** Names with small first letters, as deep as behaviours go. */
function uncapitalized(value: unknown, depth = 0): unknown {
  if (depth > behaviorDepth) return undefined;
  if (Array.isArray(value)) return value.map((item) => uncapitalized(item, depth + 1));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([name, inner]) => [
    name.charAt(0).toLowerCase() + name.slice(1),
    uncapitalized(inner, depth + 1),
  ]);
  return Object.fromEntries(entries);
}

function behaviorOf(value: unknown): autoscalingv2.HorizontalPodAutoscalerBehavior | undefined {
  return isObject(value)
    ? typed("v2.HorizontalPodAutoscalerBehavior", uncapitalized(value) as object)
    : undefined;
}

export const horizontalPodAutoscalersV1 = defineVersion<V1, V2>(horizontalPodAutoscalers, {
  version: "v1",
  typeName: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
  toStored,
  fromStored,
  defaults(autoscaler) {
    autoscaler.spec ??= {} as V1["spec"];
    autoscaler.spec.minReplicas ??= 1;
  },
});
