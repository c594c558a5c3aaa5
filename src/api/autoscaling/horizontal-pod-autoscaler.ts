/** HorizontalPodAutoscaler. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v2/ */
import type { autoscalingv2, metav1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { validateAutoscaler, validateAutoscalerStatus, validateAutoscalerUpdate } from "./validation.ts";

type Autoscaler = Readonly<autoscalingv2.HorizontalPodAutoscaler>;
type Rules = autoscalingv2.HPAScalingRules;

const cpuTarget = 80;
const shownMetrics = 2;

function defaultAutoscaler(autoscaler: autoscalingv2.HorizontalPodAutoscaler): void {
  autoscaler.spec ??= {} as autoscalingv2.HorizontalPodAutoscalerSpec;
  const { spec } = autoscaler;
  spec.minReplicas ??= 1;
  if (!spec.metrics?.length) {
    const target = { type: "Utilization", averageUtilization: cpuTarget };
    spec.metrics = [{ type: "Resource", resource: { name: "cpu", target } }];
  }
  if (!spec.behavior) return;
  spec.behavior.scaleUp = withDefaults(spec.behavior.scaleUp, {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [
      { type: "Pods", value: 4, periodSeconds: 15 },
      { type: "Percent", value: 100, periodSeconds: 15 },
    ],
  });
  spec.behavior.scaleDown = withDefaults(spec.behavior.scaleDown, {
    selectPolicy: "Max",
    policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
  });
}

function withDefaults(rules: Rules | undefined, defaults: Rules): Rules {
  const given = Object.entries(rules ?? {}).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given) };
}

type Values = Readonly<autoscalingv2.MetricValueStatus> | undefined;
type Target = Readonly<autoscalingv2.MetricTarget>;

const text = (quantity: metav1.Quantity | undefined) => String(quantity ?? "0");

/** Of pods or objects: an average, or the value itself. */
function amountText(current: Values, target: Target): string {
  if (target.averageValue !== undefined) {
    const average = current?.averageValue;
    return `${average === undefined ? "<unknown>" : text(average)}/${text(target.averageValue)} (avg)`;
  }
  return `${current ? text(current.value) : "<unknown>"}/${text(target.value)}`;
}

function resourceText(name: string, current: Values, target: Target): string {
  if (target.averageValue !== undefined)
    return `${name}: ${current ? text(current.averageValue) : "<unknown>"}/${text(target.averageValue)}`;
  const percentage = (value: number | undefined, unset: string) =>
    value === undefined ? unset : `${value}%`;
  const now = percentage(current?.averageUtilization, "<unknown>");
  return `${name}: ${now}/${percentage(target.averageUtilization, "<auto>")}`;
}

function metricText(
  metric: Readonly<autoscalingv2.MetricSpec>,
  status: Readonly<autoscalingv2.MetricStatus> | undefined,
): string {
  const { external, pods, object, resource, containerResource: container } = metric;
  if (metric.type === "External" && external)
    return amountText(status?.external?.current, external.target ?? {});
  if (metric.type === "Pods" && pods) {
    const current = status?.pods ? text(status.pods.current?.averageValue) : "<unknown>";
    return `${current}/${text(pods.target?.averageValue)}`;
  }
  if (metric.type === "Object" && object) return amountText(status?.object?.current, object.target ?? {});
  if (metric.type === "Resource" && resource)
    return resourceText(resource.name, status?.resource?.current, resource.target ?? {});
  if (metric.type === "ContainerResource" && container)
    return resourceText(container.name, status?.containerResource?.current, container.target ?? {});
  return "<unknown type>";
}

function targetsText({ spec, status }: Autoscaler): string {
  const metrics = spec.metrics ?? [];
  if (metrics.length === 0) return "<none>";
  const shown = metrics
    .slice(0, shownMetrics)
    .map((metric, i) => metricText(metric, status?.currentMetrics?.[i]));
  const more = metrics.length > shownMetrics ? ` + ${metrics.length - shownMetrics} more...` : "";
  return `${shown.join(", ")}${more}`;
}

export const horizontalPodAutoscalers = defineResource<autoscalingv2.HorizontalPodAutoscaler>({
  group: "autoscaling",
  version: "v2",
  resource: "horizontalpodautoscalers",
  kind: "HorizontalPodAutoscaler",
  typeName: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
  namespaced: true,
  shortNames: ["hpa"],
  categories: ["all"],
  subresources: { status: { kind: "HorizontalPodAutoscaler", verbs: ["get", "patch", "update"] } },
  defaults: defaultAutoscaler,
  onCreate(autoscaler) {
    autoscaler.status = { desiredReplicas: 0 };
  },
  validate: validateAutoscaler,
  validateUpdate: validateAutoscalerUpdate,
  validateStatusUpdate: validateAutoscalerStatus,
  columns: [
    nameColumn(),
    column("Reference", "string", "What is scaled.", ({ spec }) => {
      const { kind = "", name = "" } = spec.scaleTargetRef ?? {};
      return `${kind}/${name}`;
    }),
    column("Targets", "string", "What its metrics are, of what they should be.", targetsText),
    column("MinPods", "string", "The lowest number of replicas.", ({ spec }) =>
      String(spec.minReplicas ?? "<unset>"),
    ),
    column("MaxPods", "string", "The highest number of replicas.", ({ spec }) => spec.maxReplicas ?? 0),
    column(
      "Replicas",
      "string",
      "The most recently observed number of replicas.",
      ({ status }) => status?.currentReplicas ?? 0,
    ),
    ageColumn(),
  ],
});
