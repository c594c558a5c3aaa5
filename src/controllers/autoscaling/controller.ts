/**
 * HorizontalPodAutoscaler: every 15 seconds as many replicas as its metrics ask for.
 * https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
 */
import {
  type autoscalingv1,
  type autoscalingv2,
  customResourceDefinitions,
  type Draft,
  formatTime,
  horizontalPodAutoscalers,
  type KubernetesObject,
  matchesLabels,
  parseLabelSelector,
  pods,
  type ResourceType,
  sameJson,
} from "#api";
import { messageOf } from "#base";
import {
  after,
  type ControllerContext,
  defineController,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import { computeReplicas, type Scaled } from "./compute.ts";
import { type History, limit, newHistory, rememberChange, rememberInitial, type Said } from "./limits.ts";
import { resourceOf } from "./targets.ts";

type Autoscaler = Readonly<autoscalingv2.HorizontalPodAutoscaler>;
type Status = autoscalingv2.HorizontalPodAutoscalerStatus;
type Scale = autoscalingv1.Scale & KubernetesObject;

const periodMs = 15_000;

interface Memory {
  readonly history: History;
  /** The spec that was looked at last, and when. */
  spec: Autoscaler["spec"] | undefined;
  atMs: number;
}

interface State {
  autoscaler: Autoscaler;
  memory: Memory;
}

interface Plan {
  /** Its own status comes back as news: that is no reason to look at the metrics again. */
  waitMs: number;
}

export const horizontalPodAutoscalerController = defineController<State, Plan>({
  name: "horizontal-pod-autoscaler",
  primary: horizontalPodAutoscalers,
  secondaries: [source(pods, () => []), source(customResourceDefinitions, () => [])],
  concurrency: 5,
  rules: [
    rule("autoscaling", ["horizontalpodautoscalers"], readVerbs),
    rule("autoscaling", ["horizontalpodautoscalers/status"], ["update"]),
    rule("*", ["*/scale"], ["get", "update"]),
    rule("", ["pods"], readVerbs),
    rule("apiextensions.k8s.io", ["customresourcedefinitions"], readVerbs),
    rule("metrics.k8s.io", ["pods"], ["list"]),
    rule("custom.metrics.k8s.io", ["*"], ["get", "list"]),
    rule("external.metrics.k8s.io", ["*"], ["get", "list"]),
    ...eventRules,
  ],
  observe({ informers, memory }, key) {
    const autoscaler = informers.of(horizontalPodAutoscalers).byKey(key);
    if (!autoscaler) {
      memory.delete(key);
      return undefined;
    }
    const known = memory.get(key) as Memory | undefined;
    if (known) return { autoscaler, memory: known };
    const fresh: Memory = { history: newHistory(), spec: undefined, atMs: 0 };
    memory.set(key, fresh);
    return { autoscaler, memory: fresh };
  },
  decide({ autoscaler, memory }, nowMs) {
    const isSame = memory.spec !== undefined && sameJson(autoscaler.spec, memory.spec);
    return { waitMs: isSame ? Math.max(0, memory.atMs + periodMs - nowMs) : 0 };
  },
  async act({ waitMs }, context, { autoscaler, memory }) {
    if (waitMs > 0) return after(waitMs);
    memory.spec = autoscaler.spec;
    memory.atMs = context.world.clock.now();
    const round = new Round(autoscaler, memory.history, context);
    try {
      return await round.run();
    } finally {
      await round.writeStatus();
    }
  },
});

class Round {
  readonly #autoscaler: Autoscaler;
  readonly #history: History;
  readonly #context: ControllerContext;
  #status: Status;

  constructor(autoscaler: Autoscaler, history: History, context: ControllerContext) {
    this.#autoscaler = autoscaler;
    this.#history = history;
    this.#context = context;
    this.#status = { ...autoscaler.status };
  }

  get #nowMs(): number {
    return this.#context.world.clock.now();
  }

  async run(): Promise<Outcome> {
    const { spec } = this.#autoscaler;
    let type: ResourceType;
    let scale: Scale;
    try {
      type = resourceOf(spec.scaleTargetRef, this.#context);
      scale = await this.#context.client.get(type as ResourceType<Scale>, this.#target, {
        subresource: "scale",
      });
    } catch (error) {
      return this.#noScale(error);
    }
    const found = "the HPA controller was able to get the target's current scale";
    this.#say("AbleToScale", { status: "True", reason: "SucceededGetScale", message: found });
    const current = scale.spec?.replicas ?? 0;
    rememberInitial(this.#history, current, this.#nowMs);
    const wish = await this.#wanted(scale, current);
    if (wish === undefined) return after(periodMs);
    if (wish.replicas !== current) await this.#rescale(type, scale, current, wish);
    else this.#count(current, current);
    return after(periodMs);
  }

  get #target() {
    return {
      namespace: this.#autoscaler.metadata.namespace,
      name: this.#autoscaler.spec.scaleTargetRef.name,
    };
  }

  #noScale(error: unknown): Outcome {
    const why = messageOf(error);
    this.#context.events.record(this.#autoscaler, "Warning", "FailedGetScale", why);
    const message = `the HPA controller was unable to get the target's current scale: ${why}`;
    this.#say("AbleToScale", { status: "False", reason: "FailedGetScale", message });
    return after(periodMs);
  }

  /** How many, and why; undefined where nothing can be said. */
  async #wanted(scale: Scale, current: number): Promise<{ replicas: number; why: string } | undefined> {
    const { minReplicas = 1, maxReplicas } = this.#autoscaler.spec;
    if (current === 0 && minReplicas !== 0) {
      const message = "scaling is disabled since the replica count of the target is zero";
      this.#say("ScalingActive", { status: "False", reason: "ScalingDisabled", message });
      return { replicas: 0, why: "" };
    }
    if (current > maxReplicas)
      return { replicas: maxReplicas, why: "Current number of replicas above Spec.MaxReplicas" };
    if (current < minReplicas)
      return { replicas: minReplicas, why: "Current number of replicas below Spec.MinReplicas" };
    const scaled = this.#scaled(scale, current);
    return scaled && this.#measured(scaled);
  }

  #scaled({ status }: Scale, current: number): Scaled | undefined {
    const selector = status?.selector ?? "";
    const { events, informers } = this.#context;
    const refuse = (reason: string, event: string, message: string) => {
      events.record(this.#autoscaler, "Warning", reason, event);
      this.#say("ScalingActive", { status: "False", reason: "InvalidSelector", message });
      return undefined;
    };
    if (selector === "")
      return refuse(
        "SelectorRequired",
        "selector is required",
        "the HPA target's scale is missing a selector",
      );
    try {
      const requirements = parseLabelSelector(selector);
      const all = informers.of(pods).list(this.#autoscaler.metadata.namespace);
      const chosen = all.filter((pod) => matchesLabels(requirements, pod.metadata.labels ?? {}));
      return { current, statusReplicas: status?.replicas ?? 0, selector, pods: chosen };
    } catch (error) {
      const message = `couldn't convert selector into a corresponding internal selector object: ${messageOf(error)}`;
      return refuse("InvalidSelector", message, message);
    }
  }

  async #measured(scaled: Scaled): Promise<{ replicas: number; why: string } | undefined> {
    const { current } = scaled;
    const wish = await computeReplicas(this.#autoscaler, scaled, this.#context);
    if (wish.error) {
      const message = `the HPA was unable to compute the replica count: ${wish.error.message}`;
      this.#say("ScalingActive", { status: "False", reason: wish.error.reason, message });
    }
    this.#status.currentMetrics = wish.statuses;
    if (wish.replicas === undefined) {
      this.#status.currentReplicas = current;
      const summary = wish.summary ?? "no metrics";
      this.#context.events.record(this.#autoscaler, "Warning", "FailedComputeMetricsReplicas", summary);
      return undefined;
    }
    if (!wish.error) {
      const message = `the HPA was able to successfully calculate a replica count from ${wish.name}`;
      this.#say("ScalingActive", { status: "True", reason: "ValidMetricFound", message });
    }
    const limited = limit(this.#autoscaler, this.#history, current, wish.replicas, this.#nowMs);
    this.#say("AbleToScale", limited.able);
    this.#say("ScalingLimited", limited.limited);
    const why = wish.replicas > current ? `${wish.name} above target` : "All metrics below target";
    return { replicas: limited.replicas, why };
  }

  async #rescale(
    type: ResourceType,
    scale: Scale,
    current: number,
    { replicas, why }: { replicas: number; why: string },
  ): Promise<void> {
    const { client, events } = this.#context;
    const size = `New size: ${replicas}; reason: ${why}`;
    try {
      const wanted = { ...scale, spec: { ...scale.spec, replicas } } as Draft<KubernetesObject>;
      await client.update(type, wanted, { subresource: "scale" });
    } catch (error) {
      events.record(this.#autoscaler, "Warning", "FailedRescale", `${size}; error: ${messageOf(error)}`);
      const message = `the HPA controller was unable to update the target scale: ${messageOf(error)}`;
      this.#say("AbleToScale", { status: "False", reason: "FailedUpdateScale", message });
      this.#status.currentReplicas = current;
      throw error;
    }
    const message = `the HPA controller was able to update the target scale to ${replicas}`;
    this.#say("AbleToScale", { status: "True", reason: "SucceededRescale", message });
    events.record(this.#autoscaler, "Normal", "SuccessfulRescale", size);
    rememberChange(this.#history, replicas - current, this.#nowMs);
    this.#count(current, replicas);
    this.#status.lastScaleTime = formatTime(this.#nowMs);
  }

  #count(current: number, desired: number): void {
    this.#status.currentReplicas = current;
    this.#status.desiredReplicas = desired;
  }

  #say(type: string, { status, reason, message }: Said): void {
    const conditions = this.#status.conditions ?? [];
    const known = conditions.find((each) => each.type === type);
    const since = known?.status === status ? known.lastTransitionTime : undefined;
    const next = { type, status, reason, message, lastTransitionTime: since ?? formatTime(this.#nowMs) };
    // In place: another order would be another status, every time.
    this.#status.conditions = known
      ? conditions.map((each) => (each === known ? next : each))
      : [...conditions, next];
  }

  async writeStatus(): Promise<void> {
    const { generation } = this.#autoscaler.metadata;
    const observed = generation === undefined ? {} : { observedGeneration: generation };
    const status = { ...this.#status, desiredReplicas: this.#status.desiredReplicas ?? 0, ...observed };
    if (sameJson(status, this.#autoscaler.status ?? {})) return;
    await this.#context.client.update(
      horizontalPodAutoscalers,
      { ...this.#autoscaler, status },
      { subresource: "status" },
    );
  }
}
