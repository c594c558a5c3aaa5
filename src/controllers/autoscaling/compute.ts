/** Asks for every metric of an autoscaler, and makes of each a wish, its status and its name. */
import { type autoscalingv2, type corev1, formatLabelSelector, quantityMilliValue } from "#api";
import { messageOf } from "#base";
import type { ControllerContext } from "../kit/define-controller.ts";
import { externalMetric, objectMetric, podsMetrics, resourceMetrics } from "./metrics.ts";
import { byAverage, byShare, byUtilization, byValue, type Proposal, type Tolerance } from "./replicas.ts";
import { groupResourceOf, resourceOf } from "./targets.ts";

type Autoscaler = Readonly<autoscalingv2.HorizontalPodAutoscaler>;
type Metric = Readonly<autoscalingv2.MetricSpec>;
type Target = Readonly<autoscalingv2.MetricTarget>;

/** The target as it is now. */
export interface Scaled {
  readonly current: number;
  readonly statusReplicas: number;
  readonly selector: string;
  readonly pods: readonly Readonly<corev1.Pod>[];
}

interface Computed {
  readonly replicas: number;
  readonly status: autoscalingv2.MetricStatus;
  readonly name: string;
}

/** Of one metric. The reason stands in the condition, the message behind «unable to compute the replica count». */
export class MetricError extends Error {
  readonly reason: string;
  /** As the error of all metrics together tells it. */
  readonly whole: string;

  constructor(reason: string, why: string, whole: string) {
    super(why);
    this.reason = reason;
    this.whole = whole;
  }
}

function toleranceOf({ spec }: Autoscaler): Tolerance {
  const { scaleUp, scaleDown } = spec.behavior ?? {};
  const of = (rules: Readonly<autoscalingv2.HPAScalingRules> | undefined) =>
    rules?.tolerance === undefined ? 0.1 : quantityMilliValue(rules.tolerance) / 1000;
  return { up: of(scaleUp), down: of(scaleDown) };
}

/** Thousandths as a quantity. */
function milli(value: number): string {
  return value % 1000 === 0 ? String(value / 1000) : `${value}m`;
}

class Computation {
  readonly autoscaler: Autoscaler;
  readonly scaled: Scaled;
  readonly context: ControllerContext;
  readonly tolerance: Tolerance;

  constructor(autoscaler: Autoscaler, scaled: Scaled, context: ControllerContext) {
    this.autoscaler = autoscaler;
    this.scaled = scaled;
    this.context = context;
    this.tolerance = toleranceOf(autoscaler);
  }

  get namespace(): string {
    return this.autoscaler.metadata.namespace ?? "";
  }

  get asked() {
    const { current, pods } = this.scaled;
    return { current, pods, tolerance: this.tolerance, nowMs: this.context.world.clock.now() };
  }

  of(metric: Metric): Promise<Computed> {
    if (metric.resource) return this.#resource(metric.resource);
    if (metric.containerResource) return this.#containerResource(metric.containerResource);
    if (metric.pods) return this.#pods(metric.pods);
    if (metric.object) return this.#object(metric.object);
    if (metric.external) return this.#external(metric.external);
    const why = `unknown metric source type "${metric.type}"`;
    throw new MetricError("InvalidMetricSourceType", why, why);
  }

  async #usage(resource: string, target: Target, container?: string): Promise<[Proposal, string]> {
    const ask = async () => {
      const { selector } = this.scaled;
      try {
        return await resourceMetrics(this.context.client, this.namespace, selector, resource, container);
      } catch (error) {
        throw new Error(`unable to get metrics for resource ${resource}: ${messageOf(error)}`);
      }
    };
    const { averageValue, averageUtilization } = target;
    if (averageValue !== undefined)
      return prefixed(`failed to get ${resource} usage`, async () => {
        const asked = { ...this.asked, metrics: await ask(), resource };
        return [byAverage(asked, quantityMilliValue(averageValue)), `${resource} resource`];
      });
    if (averageUtilization === undefined)
      throw new Error(
        "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set",
      );
    return prefixed(`failed to get ${resource} utilization`, async () => {
      const asked = { ...this.asked, metrics: await ask(), resource };
      const of = container === undefined ? "resource" : "container resource";
      const name = `${resource} ${of} utilization (percentage of request)`;
      return [byUtilization(asked, averageUtilization, container), name];
    });
  }

  #resource({ name: resource, target }: autoscalingv2.ResourceMetricSource): Promise<Computed> {
    const whole = `failed to get ${resource} resource metric value`;
    return told("FailedGetResourceMetric", whole, async () => {
      const [proposal, name] = await this.#usage(resource, target);
      const current = usageStatus(proposal);
      return {
        replicas: proposal.replicas,
        name,
        status: { type: "Resource", resource: { name: resource, current } },
      };
    });
  }

  #containerResource(source: autoscalingv2.ContainerResourceMetricSource): Promise<Computed> {
    const { container, name: resource, target } = source;
    const whole = `failed to get ${container} container metric value`;
    return told("FailedGetContainerResourceMetric", whole, async () => {
      const [proposal, name] = await this.#usage(resource, target, container);
      const containerResource = { name: resource, container, current: usageStatus(proposal) };
      return { replicas: proposal.replicas, name, status: { type: "ContainerResource", containerResource } };
    });
  }

  #pods({ metric, target }: autoscalingv2.PodsMetricSource): Promise<Computed> {
    return told("FailedGetPodsMetric", "failed to get pods metric value", async () => {
      const metrics = await prefixed(`unable to get metric ${metric.name}`, () =>
        podsMetrics(
          this.context.client,
          this.namespace,
          this.scaled.selector,
          metric.name,
          formatLabelSelector(metric.selector),
        ),
      );
      const { replicas, value } = byAverage(
        { ...this.asked, metrics, resource: "" },
        quantityMilliValue(target.averageValue),
      );
      const current = { averageValue: milli(value) };
      return {
        replicas,
        name: `pods metric ${metric.name}`,
        status: { type: "Pods", pods: { metric, current } },
      };
    });
  }

  #object({ describedObject, metric, target }: autoscalingv2.ObjectMetricSource): Promise<Computed> {
    return told("FailedGetObjectMetric", "failed to get object metric value", async () => {
      const { kind, name } = describedObject;
      const value = await prefixed(
        `unable to get metric ${metric.name}: ${kind} on ${this.namespace} ${name}/`,
        () => {
          const resource = groupResourceOf(resourceOf(describedObject, this.context));
          const selector = formatLabelSelector(metric.selector);
          return objectMetric(this.context.client, this.namespace, { resource, name }, metric.name, selector);
        },
        "",
      );
      const { proposal, current } = this.#whole(value, target, "object");
      return {
        replicas: proposal.replicas,
        name: `${kind} metric ${metric.name}`,
        status: { type: "Object", object: { describedObject, metric, current } },
      };
    });
  }

  #external({ metric, target }: autoscalingv2.ExternalMetricSource): Promise<Computed> {
    const whole = `failed to get ${metric.name} external metric value`;
    return told("FailedGetExternalMetric", whole, async () => {
      const selector = formatLabelSelector(metric.selector);
      const what = `unable to get external metric ${this.namespace}/${metric.name}/${selector}`;
      const value = await prefixed(what, () =>
        externalMetric(this.context.client, this.namespace, metric.name, selector),
      );
      const { proposal, current } = this.#whole(value, target, "external");
      return {
        replicas: proposal.replicas,
        name: `external metric ${metric.name}(${selector})`,
        status: { type: "External", external: { metric, current } },
      };
    });
  }

  /** One number for all pods. */
  #whole(value: number, target: Target, source: string) {
    if (target.averageValue !== undefined) {
      const each = quantityMilliValue(target.averageValue);
      const proposal = byShare(this.scaled.statusReplicas, this.tolerance, value, each);
      return { proposal, current: { averageValue: milli(proposal.value) } };
    }
    if (target.value === undefined)
      throw new Error(
        `invalid ${source} metric source: neither a value target nor an average value target was set`,
      );
    const proposal = byValue(this.asked, value, quantityMilliValue(target.value));
    return { proposal, current: { value: milli(proposal.value) } };
  }
}

function usageStatus({ value, utilization }: Proposal): autoscalingv2.MetricValueStatus {
  return {
    averageValue: milli(value),
    ...(utilization === undefined ? {} : { averageUtilization: utilization }),
  };
}

async function prefixed<T>(what: string, work: () => T | Promise<T>, colon = ": "): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new Error(`${what}${colon}${messageOf(error)}`, { cause: error });
  }
}

async function told(reason: string, whole: string, work: () => Promise<Computed>): Promise<Computed> {
  try {
    return await work();
  } catch (error) {
    const why = messageOf(error);
    throw new MetricError(reason, why, `${whole}: ${why}`);
  }
}

export interface Wish {
  /** Undefined where nothing can be said. */
  readonly replicas: number | undefined;
  readonly name: string;
  readonly statuses: autoscalingv2.MetricStatus[];
  /** The first metric that could not be had, and what is said of all. */
  readonly error?: MetricError;
  readonly summary?: string;
}

/** The largest of all wishes. Where a metric is missing, nobody knows whether fewer would do. */
export async function computeReplicas(
  autoscaler: Autoscaler,
  scaled: Scaled,
  context: ControllerContext,
): Promise<Wish> {
  const computation = new Computation(autoscaler, scaled, context);
  const metrics = autoscaler.spec.metrics ?? [];
  const errors: MetricError[] = [];
  const statuses: autoscalingv2.MetricStatus[] = [];
  let best: Computed | undefined;
  for (const metric of metrics) {
    try {
      const computed = await computation.of(metric);
      statuses.push(computed.status);
      if (!best || computed.replicas > best.replicas) best = computed;
    } catch (error) {
      if (!(error instanceof MetricError)) throw error;
      context.events.record(autoscaler, "Warning", error.reason, error.message);
      errors.push(error);
    }
  }
  const [error] = errors;
  const name = best?.name ?? "";
  if (!error) return { replicas: best?.replicas, name, statuses };
  const summary = `invalid metrics (${errors.length} invalid out of ${metrics.length}), first error is: ${error.whole}`;
  const isSafe = best !== undefined && best.replicas >= scaled.current;
  return { replicas: isSafe ? best?.replicas : undefined, name, statuses, error, summary };
}
