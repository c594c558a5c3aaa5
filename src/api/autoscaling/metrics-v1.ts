/**
 * Metrics in the form in which the annotations of autoscaling/v1 hold them.
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/autoscaling/v1/conversion.go
 */
import type { autoscalingv1, autoscalingv2 } from "../generated/types/index.ts";

type SpecV1 = autoscalingv1.MetricSpec;
type SpecV2 = autoscalingv2.MetricSpec;
type StatusV1 = autoscalingv1.MetricStatus;
type StatusV2 = autoscalingv2.MetricStatus;

/** Without what is not there. */
function given<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

const reference = ({
  apiVersion,
  kind = "",
  name = "",
}: Partial<autoscalingv2.CrossVersionObjectReference>) =>
  given<autoscalingv2.CrossVersionObjectReference>({ kind, name, apiVersion });

export function metricToV1(metric: SpecV2): SpecV1 {
  const { object, pods, resource, containerResource, external } = metric;
  return given<SpecV1>({
    type: metric.type as SpecV1["type"],
    object:
      object &&
      given<autoscalingv1.ObjectMetricSource>({
        target: reference(object.describedObject ?? {}),
        metricName: object.metric?.name,
        targetValue: object.target?.value ?? "0",
        selector: object.metric?.selector,
        averageValue: object.target?.averageValue,
      }),
    pods:
      pods &&
      given<autoscalingv1.PodsMetricSource>({
        metricName: pods.metric?.name,
        targetAverageValue: pods.target?.averageValue ?? "0",
        selector: pods.metric?.selector,
      }),
    resource:
      resource &&
      given<autoscalingv1.ResourceMetricSource>({
        name: resource.name,
        targetAverageUtilization: resource.target?.averageUtilization,
        targetAverageValue: resource.target?.averageValue,
      }),
    containerResource:
      containerResource &&
      given<autoscalingv1.ContainerResourceMetricSource>({
        name: containerResource.name,
        targetAverageUtilization: containerResource.target?.averageUtilization,
        targetAverageValue: containerResource.target?.averageValue,
        container: containerResource.container,
      }),
    external:
      external &&
      given<autoscalingv1.ExternalMetricSource>({
        metricName: external.metric?.name,
        metricSelector: external.metric?.selector,
        targetValue: external.target?.value,
        targetAverageValue: external.target?.averageValue,
      }),
  });
}

const identifier = (name: string | undefined, selector: autoscalingv2.MetricIdentifier["selector"]) =>
  given<autoscalingv2.MetricIdentifier>({ name: name ?? "", selector });

/** The kind of target is the field that is given. */
function target(fields: Omit<autoscalingv2.MetricTarget, "type">): autoscalingv2.MetricTarget {
  let type = "Value";
  if (fields.averageUtilization !== undefined) type = "Utilization";
  else if (fields.averageValue !== undefined) type = "AverageValue";
  return given<autoscalingv2.MetricTarget>({ type, ...fields });
}

/** Zero is what an absent quantity was written as. */
const real = (quantity: string | number | undefined) =>
  quantity === "0" || quantity === 0 ? undefined : (quantity as string | undefined);

const shareOf = (source: { targetAverageUtilization?: number; targetAverageValue?: string | number }) =>
  target(
    given<Omit<autoscalingv2.MetricTarget, "type">>({
      averageUtilization: source.targetAverageUtilization,
      averageValue: source.targetAverageValue as string | undefined,
    }),
  );

const amountOf = (value: string | number | undefined, averageValue: string | number | undefined) =>
  target(
    given<Omit<autoscalingv2.MetricTarget, "type">>({
      value: real(value),
      averageValue: averageValue as string | undefined,
    }),
  );

export function metricFromV1(metric: SpecV1): SpecV2 {
  const { object, pods, resource, containerResource, external } = metric;
  return given<SpecV2>({
    type: metric.type ?? "",
    object: object && {
      describedObject: reference(object.target ?? {}),
      metric: identifier(object.metricName, object.selector),
      target: amountOf(object.targetValue, object.averageValue),
    },
    pods: pods && {
      metric: identifier(pods.metricName, pods.selector),
      target: amountOf(undefined, pods.targetAverageValue),
    },
    resource: resource && { name: resource.name ?? "", target: shareOf(resource) },
    containerResource: containerResource && {
      name: containerResource.name ?? "",
      container: containerResource.container ?? "",
      target: shareOf(containerResource),
    },
    external: external && {
      metric: identifier(external.metricName, external.metricSelector),
      target: amountOf(external.targetValue, external.targetAverageValue),
    },
  });
}

export function statusToV1(status: StatusV2): StatusV1 {
  const { object, pods, resource, containerResource, external } = status;
  return given<StatusV1>({
    type: status.type as StatusV1["type"],
    object:
      object &&
      given<autoscalingv1.ObjectMetricStatus>({
        target: reference(object.describedObject ?? {}),
        metricName: object.metric?.name,
        currentValue: object.current?.value ?? "0",
        selector: object.metric?.selector,
        averageValue: object.current?.averageValue,
      }),
    pods:
      pods &&
      given<autoscalingv1.PodsMetricStatus>({
        metricName: pods.metric?.name,
        currentAverageValue: pods.current?.averageValue ?? "0",
        selector: pods.metric?.selector,
      }),
    resource:
      resource &&
      given<autoscalingv1.ResourceMetricStatus>({
        name: resource.name,
        currentAverageUtilization: resource.current?.averageUtilization,
        currentAverageValue: resource.current?.averageValue ?? "0",
      }),
    containerResource:
      containerResource &&
      given<autoscalingv1.ContainerResourceMetricStatus>({
        name: containerResource.name,
        currentAverageUtilization: containerResource.current?.averageUtilization,
        currentAverageValue: containerResource.current?.averageValue ?? "0",
        container: containerResource.container,
      }),
    external:
      external &&
      given<autoscalingv1.ExternalMetricStatus>({
        metricName: external.metric?.name,
        metricSelector: external.metric?.selector,
        currentValue: external.current?.value ?? "0",
        currentAverageValue: external.current?.averageValue,
      }),
  });
}

const values = (fields: { [K in keyof autoscalingv2.MetricValueStatus]-?: unknown }) =>
  given<autoscalingv2.MetricValueStatus>(fields as autoscalingv2.MetricValueStatus as never);

const shareNow = (status: autoscalingv1.ResourceMetricStatus) =>
  values({
    averageUtilization: status.currentAverageUtilization,
    averageValue: real(status.currentAverageValue),
    value: undefined,
  });

const amountNow = (value: unknown, averageValue: unknown) =>
  values({ averageUtilization: undefined, value, averageValue });

export function statusFromV1(status: StatusV1): StatusV2 {
  const { object, pods, resource, containerResource, external } = status;
  return given<StatusV2>({
    type: status.type ?? "",
    object: object && {
      describedObject: reference(object.target ?? {}),
      metric: identifier(object.metricName, object.selector),
      current: amountNow(object.currentValue, object.averageValue),
    },
    pods: pods && {
      metric: identifier(pods.metricName, pods.selector),
      current: amountNow(undefined, pods.currentAverageValue),
    },
    resource: resource && { name: resource.name ?? "", current: shareNow(resource) },
    containerResource: containerResource && {
      name: containerResource.name ?? "",
      container: containerResource.container ?? "",
      current: shareNow(containerResource),
    },
    external: external && {
      metric: identifier(external.metricName, external.metricSelector),
      current: amountNow(external.currentValue, external.currentAverageValue),
    },
  });
}
