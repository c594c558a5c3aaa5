/**
 * Device taint eviction: pods leave devices with NoExecute taints that their claims do not tolerate; rules learn how far
 * that is. https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/5055-dra-device-taints-and-tolerations
 */
import {
  type corev1,
  deviceTaintRules,
  formatTime,
  isStatus,
  pods,
  resourceClaims,
  resourceSlices,
} from "#api";
import { keyOf } from "#client";
import { conditionOf, withCondition } from "../kit/conditions.ts";
import {
  after,
  type ControllerContext,
  defineController,
  done,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import { isFinished, isTerminating } from "../kit/pods.ts";
import { ruleCondition } from "./rule-condition.ts";
import {
  devicesOf,
  msUntilGone,
  poolIndex,
  poolOf,
  poolOfSlice,
  selectedDevices,
  type TaintRule,
  type UsedTaint,
  usedTaints,
} from "./tainted-devices.ts";

type Pod = Readonly<corev1.Pod>;

interface PodState {
  kind: "pod";
  pod: Pod;
  used: readonly UsedTaint[];
}

interface RuleState {
  kind: "rule";
  rule: TaintRule;
  /** Pods that the rule puts out, or would if it had the effect to. */
  pending: readonly Pod[];
  selected: { offered: number; allocated: number };
  /** Since this process began. */
  evicted: number;
}

type Plan =
  | { kind: "pod"; waitMs: number }
  | { kind: "rule"; waitMs: number }
  | { kind: "rule"; write: true };

const claimUserIndex = "deviceClaimUsers";
const group = "resource.k8s.io";
const conditionType = "EvictionInProgress";
/** A rule's status is written no more often. */
const rulePeriodMs = 10_000;

function evictedBy({ memory }: ControllerContext, { metadata }: TaintRule): number {
  return (memory.get(metadata.uid) as number | undefined) ?? 0;
}

const hasClaims = ({ spec }: Pod) => (spec.resourceClaims?.length ?? 0) > 0;
const ruleKeys = ({ informers }: ControllerContext) =>
  informers
    .of(deviceTaintRules)
    .list()
    .map(({ metadata }) => `rule:${metadata.name}`);

function usersOf({ informers }: ControllerContext, pool: string | undefined): string[] {
  const claims =
    pool === undefined
      ? informers.of(resourceClaims).list()
      : informers.of(resourceClaims).byIndex(poolIndex, pool);
  return claims.flatMap(({ metadata, status }) =>
    (status?.reservedFor ?? []).map(({ name }) => `pod:${metadata.namespace}/${name}`),
  );
}

export const deviceTaintEvictionController = defineController<PodState | RuleState, Plan>({
  name: "device-taint-eviction-controller",
  secondaries: [
    source(pods, (pod, context) => (hasClaims(pod) ? [`pod:${keyOf(pod)}`, ...ruleKeys(context)] : [])),
    source(resourceClaims, ({ metadata, status }, context) => [
      ...(status?.reservedFor ?? []).map(({ name }) => `pod:${metadata.namespace}/${name}`),
      ...ruleKeys(context),
    ]),
    source(resourceSlices, (slice, context) => [
      ...usersOf(context, poolOfSlice(slice)),
      ...ruleKeys(context),
    ]),
    source(deviceTaintRules, ({ metadata }, context) => [
      `rule:${metadata.name}`,
      ...usersOf(context, undefined),
    ]),
  ],
  concurrency: 4,
  rules: [
    rule("", ["pods"], [...readVerbs, "delete"]),
    rule("", ["pods/status"], ["patch"]),
    rule(group, ["resourceclaims", "resourceslices", "devicetaintrules"], readVerbs),
    rule(group, ["devicetaintrules/status"], ["patch"]),
    ...eventRules,
  ],
  prepare({ informers }) {
    informers.of(resourceSlices).addIndex(poolIndex, (slice) => [poolOfSlice(slice)]);
    informers.of(resourceClaims).addIndex(poolIndex, (claim) => devicesOf(claim).map(poolOf));
    informers
      .of(pods)
      .addIndex(claimUserIndex, (pod) => (hasClaims(pod) && !isTerminating(pod) ? ["yes"] : []));
  },
  observe(context, key) {
    const { informers } = context;
    const name = key.slice(key.indexOf(":") + 1);
    if (key.startsWith("rule:")) return observeRule(context, name);
    const pod = informers.of(pods).byKey(name);
    if (!pod?.spec.nodeName || isTerminating(pod) || isFinished(pod)) return undefined;
    const used = usedTaints(informers, pod);
    return used.length > 0 ? { kind: "pod", pod, used } : undefined;
  },
  decide(state, nowMs) {
    if (state.kind === "rule") return decideRule(state, nowMs);
    const waitMs = msUntilGone(state.used, nowMs);
    return waitMs === undefined ? undefined : { kind: "pod", waitMs };
  },
  async act(plan, context, state) {
    if ("waitMs" in plan && plan.waitMs > 0) return after(plan.waitMs);
    return state.kind === "pod" ? evict(state, context) : tellRule(state, context);
  },
});

function observeRule(context: ControllerContext, name: string): RuleState | undefined {
  const { informers } = context;
  const taintRule = informers.of(deviceTaintRules).get(undefined, name);
  if (!taintRule) return undefined;
  const { effect } = taintRule.spec.taint;
  const acting = {
    ...taintRule,
    spec: { ...taintRule.spec, taint: { ...taintRule.spec.taint, effect: "NoExecute" as const } },
  };
  const counts = effect === "NoExecute" || effect === "None";
  const candidates = counts ? informers.of(pods).byIndex(claimUserIndex, "yes") : [];
  return {
    kind: "rule",
    rule: taintRule,
    pending: candidates.filter((pod) => {
      const used = usedTaints(informers, pod, [acting]).filter((each) => each.rule);
      return pod.spec.nodeName !== undefined && !isFinished(pod) && msUntilGone(used, 0) !== undefined;
    }),
    selected: effect === "None" ? selectedDevices(informers, taintRule) : { offered: 0, allocated: 0 },
    evicted: evictedBy(context, taintRule),
  };
}

function decideRule({ rule: taintRule, ...counts }: Readonly<RuleState>, nowMs: number): Plan | undefined {
  const wanted = ruleCondition(taintRule, counts);
  const current = conditionOf(taintRule.status?.conditions, conditionType);
  const generation = taintRule.metadata.generation ?? 0;
  if (current && current.observedGeneration === generation) {
    const isSame = (["status", "reason", "message"] as const).every((key) => current[key] === wanted[key]);
    if (isSame || taintRule.spec.taint.effect === "None") return undefined;
    const sinceMs = nowMs - (Date.parse(current.lastTransitionTime) || 0);
    if (sinceMs < rulePeriodMs) return { kind: "rule", waitMs: rulePeriodMs - sinceMs };
  }
  return { kind: "rule", write: true };
}

async function tellRule(
  { rule: taintRule, ...counts }: Readonly<RuleState>,
  { client, world }: ControllerContext,
): Promise<Outcome> {
  const { uid, generation = 0 } = taintRule.metadata;
  const lastTransitionTime = formatTime(world.clock.now());
  const condition = {
    ...ruleCondition(taintRule, counts),
    observedGeneration: generation,
    lastTransitionTime,
  };
  const others = (taintRule.status?.conditions ?? []).filter(({ type }) => type !== conditionType);
  const patch = { metadata: { uid }, status: { conditions: [...others, condition] } };
  await client.patch(deviceTaintRules, taintRule.metadata, "merge", patch, { subresource: "status" });
  return done;
}

async function evict(
  { pod, used }: Readonly<PodState>,
  { client, events, world, memory }: ControllerContext,
): Promise<Outcome> {
  const { uid } = pod.metadata;
  const conditions = withCondition(pod.status?.conditions, {
    type: "DisruptionTarget",
    status: "True",
    reason: "DeletionByDeviceTaintManager",
    message: "Device Taint manager: deleting due to NoExecute taint",
    lastTransitionTime: formatTime(world.clock.now()),
  });
  events.record(pod, "Normal", "DeviceTaintManagerEviction", "Marking for deletion");
  try {
    const patch = { metadata: { uid }, status: { conditions } };
    await client.patch(pods, pod.metadata, "merge", patch, { subresource: "status" });
    await client.delete(pods, pod.metadata, { preconditions: { uid } });
  } catch (error) {
    if (isStatus(error, "NotFound")) return done;
    throw error;
  }
  for (const each of new Set(used.map((one) => one.rule?.metadata.uid)))
    if (each !== undefined) memory.set(each, ((memory.get(each) as number | undefined) ?? 0) + 1);
  return done;
}
