/**
 * How old pods of a DaemonSet make way: so many nodes without an available pod at most, or so many with two.
 * https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/
 */
import { scaledValue } from "#api";
import { isTerminating } from "../kit/pods.ts";
import { revisionHashLabel } from "../kit/revisions.ts";
import type { DaemonSet, NodeVerdict, Pod } from "./placement.ts";

/** A node with what is known of it. */
export interface Berth {
  readonly name: string;
  readonly verdict: NodeVerdict;
  /** Oldest first; those that ended and are being deleted left out. */
  readonly pods: readonly Pod[];
}

/** What is asked of every pod. */
export interface Rules {
  readonly set: DaemonSet;
  readonly hash: string;
  available(pod: Pod): boolean;
}

export function isUpdated(pod: Pod, { hash }: Rules): boolean {
  return pod.metadata.labels?.[revisionHashLabel] === hash;
}

export function isSurging(set: DaemonSet): boolean {
  const { type, rollingUpdate } = set.spec.updateStrategy ?? {};
  return type === "RollingUpdate" && (scaledValue(rollingUpdate?.maxSurge, 100, true) ?? 0) > 0;
}

interface Replacement {
  create: string[];
  delete: Pod[];
}

/** The old and the new pod of a node; undefined where there are more, which the next round tidies up. */
function pairOf(berth: Berth, rules: Rules): { old: Pod | undefined; fresh: Pod | undefined } | undefined {
  const pods = berth.pods.filter((pod) => !isTerminating(pod));
  const old = pods.filter((pod) => !isUpdated(pod, rules));
  const fresh = pods.filter((pod) => isUpdated(pod, rules));
  return old.length > 1 || fresh.length > 1 ? undefined : { old: old[0], fresh: fresh[0] };
}

export function replaceOldPods(all: readonly Berth[], rules: Rules): Replacement {
  const { type, rollingUpdate } = rules.set.spec.updateStrategy ?? {};
  if (type !== "RollingUpdate") return { create: [], delete: [] };
  const berths = all.filter((berth) => berth.verdict.shouldRun || berth.pods.length > 0);
  const desired = all.filter((berth) => berth.verdict.shouldRun).length;
  const maxSurge = scaledValue(rollingUpdate?.maxSurge, desired, true) ?? 0;
  if (maxSurge > 0) return surge(berths, rules, maxSurge);
  const maxUnavailable = scaledValue(rollingUpdate?.maxUnavailable, desired, true) ?? 1;
  return deleteSome(berths, rules, Math.max(1, maxUnavailable));
}

/** Deletes old pods; the nodes they leave get new ones. Those that serve nobody may always go. */
function deleteSome(berths: readonly Berth[], rules: Rules, maxUnavailable: number): Replacement {
  const free: Pod[] = [];
  const candidates: Pod[] = [];
  let unavailable = 0;
  for (const berth of berths) {
    const pair = pairOf(berth, rules);
    const [old, fresh] = [pair?.old, pair?.fresh];
    if (!pair || Boolean(old) === Boolean(fresh)) unavailable++;
    else if (fresh) unavailable += rules.available(fresh) ? 0 : 1;
    else if (old && rules.available(old)) candidates.push(old);
    else if (old) {
      free.push(old);
      unavailable++;
    }
  }
  const budget = Math.max(0, maxUnavailable - unavailable);
  return { create: [], delete: [...free, ...candidates.slice(0, budget)] };
}

/** Makes new pods beside the old ones, which go when the new are available. */
function surge(berths: readonly Berth[], rules: Rules, maxSurge: number): Replacement {
  const free: string[] = [];
  const candidates: string[] = [];
  const remove: Pod[] = [];
  let surging = 0;
  for (const berth of berths) {
    const pair = pairOf(berth, rules);
    if (!pair) surging++;
    else if (!pair.old) continue;
    else if (pair.fresh) {
      if (rules.available(pair.fresh)) remove.push(pair.old);
      else surging++;
    } else if (!berth.verdict.shouldRun) continue;
    else (rules.available(pair.old) ? candidates : free).push(berth.name);
  }
  const budget = Math.max(0, maxSurge - surging);
  return { create: [...free, ...candidates.slice(0, budget)], delete: remove };
}
