/**
 * How far and how fast the number of replicas may change: bounds, rates and windows in which the calmest of all
 * recommendations counts.
 * https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior
 */
import type { autoscalingv2 } from "#api";

type Rules = Readonly<autoscalingv2.HPAScalingRules>;
type Autoscaler = Readonly<autoscalingv2.HorizontalPodAutoscaler>;

/** What this process remembers of one autoscaler. After a restart it begins anew, as upstream's does. */
export interface History {
  readonly recommendations: { replicas: number; atMs: number }[];
  /** Positive where replicas were added. */
  readonly changes: { by: number; atMs: number }[];
}

export function newHistory(): History {
  return { recommendations: [], changes: [] };
}

export interface Said {
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

export interface Limited {
  readonly replicas: number;
  readonly able: Said;
  readonly limited: Said;
}

const defaultDownWindowSeconds = 300;
const longestMs = 3_600_000;
const historyMax = 1_000;

/** Remembers the wish, and answers what may come of it now. */
export function limit(
  { spec }: Autoscaler,
  history: History,
  current: number,
  wanted: number,
  nowMs: number,
): Limited {
  const min = spec.minReplicas ?? 1;
  const { scaleUp, scaleDown } = spec.behavior ?? {};
  const downWindow = scaleDown?.stabilizationWindowSeconds ?? defaultDownWindowSeconds;
  const upWindow = scaleUp?.stabilizationWindowSeconds ?? 0;
  const within = (seconds: number) =>
    history.recommendations
      .filter(({ atMs }) => atMs > nowMs - seconds * 1000)
      .map(({ replicas }) => replicas);
  const lowest = Math.min(wanted, ...within(upWindow));
  const highest = Math.max(wanted, ...within(downWindow));
  // Without rules of one's own only shrinking waits.
  const stabilized = spec.behavior ? Math.min(Math.max(current, lowest), highest) : highest;
  remember(history, { replicas: wanted, atMs: nowMs });
  const [replicas, reason, message] = spec.behavior
    ? byRules(stabilized, current, min, spec.maxReplicas, scaleUp ?? {}, scaleDown ?? {}, history, nowMs)
    : byDefault(stabilized, current, min, spec.maxReplicas);
  return {
    replicas,
    able: stabilized === wanted ? ready : calmed(spec.behavior !== undefined && wanted >= current),
    limited: { status: replicas === stabilized ? "False" : "True", reason, message },
  };
}

export function rememberInitial(history: History, replicas: number, nowMs: number): void {
  if (history.recommendations.length === 0) remember(history, { replicas, atMs: nowMs });
}

function remember(history: History, each: History["recommendations"][number]): void {
  prune(history.recommendations, each.atMs);
  history.recommendations.push(each);
}

export function rememberChange(history: History, by: number, nowMs: number): void {
  prune(history.changes, nowMs);
  history.changes.push({ by, atMs: nowMs });
}

function prune(list: { atMs: number }[], nowMs: number): void {
  const old = list.findIndex(({ atMs }) => atMs > nowMs - longestMs);
  list.splice(0, Math.max(old < 0 ? list.length : old, list.length - historyMax + 1));
}

const ready: Said = {
  status: "True",
  reason: "ReadyForNewScale",
  message: "recommended size matches current size",
};

function calmed(up: boolean): Said {
  const [reason, were, applying] = up
    ? ["ScaleUpStabilized", "lower", "lowest"]
    : ["ScaleDownStabilized", "higher", "highest"];
  const message = `recent recommendations were ${were} than current one, applying the ${applying} recent recommendation`;
  return { status: "True", reason, message };
}

type Bounded = [replicas: number, reason: string, message: string];

const inRange = (replicas: number): Bounded => [
  replicas,
  "DesiredWithinRange",
  "the desired count is within the acceptable range",
];
const tooMany = (replicas: number): Bounded => [
  replicas,
  "TooManyReplicas",
  "the desired replica count is more than the maximum replica count",
];
const tooFew = (replicas: number): Bounded => [
  replicas,
  "TooFewReplicas",
  "the desired replica count is less than the minimum replica count",
];
const tooFast = (replicas: number, up: boolean): Bounded => [
  replicas,
  up ? "ScaleUpLimit" : "ScaleDownLimit",
  `the desired replica count is ${up ? "increasing" : "decreasing"} faster than the maximum scale rate`,
];

/** At most doubled, and to four at least. */
function byDefault(wanted: number, current: number, min: number, max: number): Bounded {
  const rate = Math.max(2 * current, 4);
  if (wanted < min) return tooFew(min);
  if (wanted <= Math.min(max, rate)) return inRange(wanted);
  return max > rate ? tooFast(rate, true) : tooMany(max);
}

function byRules(
  wanted: number,
  current: number,
  min: number,
  max: number,
  up: Rules,
  down: Rules,
  history: History,
  nowMs: number,
): Bounded {
  if (wanted > current) {
    const rate = Math.max(current, reach(current, up, history, nowMs, 1));
    if (wanted <= Math.min(max, rate)) return inRange(wanted);
    return max > rate ? tooFast(rate, true) : tooMany(max);
  }
  if (wanted === current) return inRange(wanted);
  const rate = Math.min(current, reach(current, down, history, nowMs, -1));
  if (wanted >= Math.max(min, rate)) return inRange(wanted);
  return min < rate ? tooFast(rate, false) : tooFew(min);
}

/** How far the rules let the number go, counting what was changed in the period of each. */
function reach(
  current: number,
  rules: Rules,
  { changes }: History,
  nowMs: number,
  direction: 1 | -1,
): number {
  if (rules.selectPolicy === "Disabled") return current;
  const reaches = (rules.policies ?? []).map(({ type, value, periodSeconds }) => {
    const recent = changes.filter(({ atMs }) => atMs > nowMs - periodSeconds * 1000);
    const start = current - recent.reduce((sum, { by }) => sum + by, 0);
    if (type === "Pods") return start + direction * value;
    const percent = start * (1 + (direction * value) / 100);
    return direction > 0 ? Math.ceil(percent) : Math.trunc(percent);
  });
  const farthest = (rules.selectPolicy ?? "Max") === "Max" ? direction : -direction;
  return farthest > 0 ? Math.max(...reaches) : Math.min(...reaches);
}
