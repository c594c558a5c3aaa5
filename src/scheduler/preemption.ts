/**
 * DefaultPreemption: which pods must go so that a more important one may come. Pure but for luck, and for the cache that
 * imagines pods away.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
 */
import { type policyv1, selectorMatches } from "#api";
import type { Random } from "#base";
import { enter, imagine, leave, type SchedulerCache } from "./cache.ts";
import { fitError, type NoNode, type SchedulingCycle } from "./cycle.ts";
import type { Rejection } from "./define-plugin.ts";
import type { NodeInfo } from "./node-info.ts";
import { isPreempted, type PodInfo, priorityOf } from "./pod-info.ts";
import {
  byImportance,
  type Candidate,
  candidateOf,
  harmsLess,
  PreemptionCandidates,
  type Verdict,
} from "./preemption-candidates.ts";
import type { PreemptionSettings } from "./profile.ts";

export type Budget = Readonly<policyv1.PodDisruptionBudget>;

export interface Preemption {
  nodeName: string;
  victims: readonly PodInfo[];
}

/** Either who must go, or why that does not help. */
export type PreemptionResult =
  | { kind: "preempt"; choice: Preemption }
  /** `keepsNomination`: it waits for pods to go that have been told to already. */
  | { kind: "no"; message: string; keepsNomination: boolean };

type Judge = (node: NodeInfo) => Rejection | undefined;

const shapesMax = 32;

const noVictims = "No preemption victims found for incoming pod";
const notHelpful = "Preemption is not helpful for scheduling";

export interface PreemptionOptions {
  cache: SchedulerCache;
  cycle: SchedulingCycle;
  settings: PreemptionSettings;
  random: Random;
  budgets(): readonly Budget[];
}

export class Preemptor {
  readonly #options: PreemptionOptions;
  /** By the shape of the pod that asked. */
  readonly #known = new Map<string, PreemptionCandidates>();

  constructor(options: PreemptionOptions) {
    this.#options = options;
  }

  /** Budgets have changed: nothing that was found out holds. */
  forget(): void {
    this.#known.clear();
  }

  preempt(info: PodInfo, failure: NoNode): PreemptionResult {
    const { cache, settings } = this.#options;
    if (!settings.isOn) return { kind: "no", message: "", keepsNomination: false };
    const ineligible = this.#ineligible(info, failure);
    if (ineligible) return { kind: "no", message: `preemption: ${ineligible}`, keepsNomination: true };
    const { choice, reasons } = this.#search(info, failure);
    if (choice) return { kind: "preempt", choice };
    const hopeless = cache.nodes.length - failure.resolvable;
    const told = hopeless > 0 ? new Map([...reasons, [notHelpful, hopeless]]) : reasons;
    const message = cache.nodes.length === 0 ? "" : `preemption: ${fitError(cache.nodes.length, told)}`;
    return { kind: "no", message, keepsNomination: false };
  }

  /** As `preempt`, where others choose among the candidates first. */
  async preemptAmong(
    info: PodInfo,
    failure: NoNode,
    narrow: (candidates: readonly Candidate[]) => Promise<readonly Candidate[]>,
  ): Promise<PreemptionResult> {
    const plain = this.preempt(info, failure);
    if (plain.kind === "no") return plain;
    const left = await narrow(this.#scan(info, failure).found);
    if (left.length > 0) return { kind: "preempt", choice: pick(left) };
    return { kind: "no", message: "preemption: no candidate node for preemption", keepsNomination: false };
  }

  #ineligible({ pod, key }: PodInfo, failure: NoNode): string | undefined {
    if (pod.spec.preemptionPolicy === "Never") return "not eligible due to preemptionPolicy=Never.";
    const { cache } = this.#options;
    const nominated = cache.node(cache.nominationOf(key) ?? "");
    if (!nominated || !failure.isResolvable(nominated)) return undefined;
    for (const other of nominated.pods.values()) {
      if (priorityOf(other.pod) < priorityOf(pod) && isPreempted(other.pod))
        return "not eligible due to a terminating pod on the nominated node.";
    }
    return undefined;
  }

  #search(info: PodInfo, failure: NoNode): Search {
    const { cache, cycle, random } = this.#options;
    if (failure.resolvable === 0) return { choice: undefined, reasons: new Map() };
    if (cycle.looksBeyond(info)) {
      const { found, reasons } = this.#scan(info, failure);
      return { choice: found.length > 0 ? pick(found) : undefined, reasons };
    }
    const judge = cycle.judge(info);
    const known = this.#candidatesFor(info);
    const choice = known.find(this.#wanted(failure), random.int(cache.nodes.length), (node) =>
      failure.isResolvable(node) ? this.#dryRun(info, node, judge) : { reasons: [] },
    );
    return { choice, reasons: known.reasons() };
  }

  /** Each node anew: what other nodes say of it is remembered nowhere. */
  #scan(info: PodInfo, failure: NoNode): { found: Candidate[]; reasons: Map<string, number> } {
    const { nodes } = this.#options.cache;
    const offset = this.#options.random.int(nodes.length);
    const wanted = this.#wanted(failure);
    const reasons = new Map<string, number>();
    const found: Candidate[] = [];
    let harmless = 0;
    for (let i = 0; i < nodes.length && !(found.length >= wanted && harmless > 0); i++) {
      const node = nodes[(offset + i) % nodes.length]!;
      if (!failure.isResolvable(node)) continue;
      const verdict = this.#dryRun(info, node, undefined);
      if ("candidate" in verdict) {
        found.push(verdict.candidate);
        if (verdict.candidate.violations === 0) harmless++;
      } else {
        for (const reason of verdict.reasons) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      }
    }
    return { found, reasons };
  }

  #wanted({ resolvable }: NoNode): number {
    const { candidatesMin, candidatesPercent } = this.#options.settings;
    return Math.max(candidatesMin, Math.floor((resolvable * candidatesPercent) / 100));
  }

  #candidatesFor({ shape }: PodInfo): PreemptionCandidates {
    const known = this.#known.get(shape.signature) ?? new PreemptionCandidates(this.#options.cache);
    if (this.#known.size > shapesMax) this.#known.clear();
    this.#known.set(shape.signature, known);
    return known;
  }

  /** `judge`: of the node alone. Without it the whole cluster is imagined without the victims. */
  #dryRun(info: PodInfo, node: NodeInfo, judge: Judge | undefined): Verdict {
    const priority = info.shape.priority;
    const lower = [...node.pods.values()].filter((other) => priorityOf(other.pod) < priority);
    if (lower.length === 0) return { reasons: [noVictims] };
    const { cache, cycle } = this.#options;
    const budgets = this.#options.budgets();
    if (!judge) {
      return cache.imagining((whatIf) =>
        victimsOn(node.name, lower, budgets, {
          ...whatIf,
          rejection: () => cycle.judge(info)(node),
        }),
      );
    }
    const copy = imagine(node, [], []);
    return victimsOn(node.name, lower, budgets, {
      remove: (other) => leave(copy, other),
      add: (other) => enter(copy, other),
      rejection: () => judge(copy),
    });
  }
}

interface Search {
  choice: Preemption | undefined;
  /** Why the nodes that preemption might help on will not do. */
  reasons: ReadonlyMap<string, number>;
}

interface WhatIf {
  remove(info: PodInfo): void;
  add(info: PodInfo): void;
  rejection(): Rejection | undefined;
}

/** All less important pods go; then as many as possible may stay, the most important first. */
function victimsOn(
  nodeName: string,
  lower: readonly PodInfo[],
  budgets: readonly Budget[],
  whatIf: WhatIf,
): Verdict {
  for (const info of lower) whatIf.remove(info);
  const hopeless = whatIf.rejection();
  if (hopeless) return { reasons: hopeless.reasons };
  const { violating, others } = byBudgets([...lower].sort(byImportance), budgets);
  const victims: PodInfo[] = [];
  const staysOrGoes = (info: PodInfo): boolean => {
    whatIf.add(info);
    if (!whatIf.rejection()) return true;
    whatIf.remove(info);
    victims.push(info);
    return false;
  };
  let violations = 0;
  for (const info of violating) if (!staysOrGoes(info)) violations++;
  for (const info of others) staysOrGoes(info);
  if (victims.length === 0) return { reasons: [noVictims] };
  return { candidate: candidateOf(nodeName, victims, violations) };
}

/** Whose going would break a budget. Those that the budget counts as gone already do not break it again. */
function byBudgets(infos: readonly PodInfo[], budgets: readonly Budget[]) {
  const left = budgets.map((budget) => budget.status?.disruptionsAllowed ?? 0);
  const violating: PodInfo[] = [];
  const others: PodInfo[] = [];
  for (const info of infos) {
    let breaks = false;
    budgets.forEach((budget, i) => {
      if (!covers(budget, info)) return;
      left[i] = left[i]! - 1;
      if (left[i]! < 0) breaks = true;
    });
    (breaks ? violating : others).push(info);
  }
  return { violating, others };
}

function covers({ metadata, spec, status }: Budget, { pod, shape }: PodInfo): boolean {
  const selector = spec?.selector;
  if (metadata.namespace !== shape.namespace || !selector) return false;
  const wishes = Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions?.length ?? 0);
  if (wishes === 0 || Object.keys(shape.labels).length === 0) return false;
  return selectorMatches(selector, shape.labels) && status?.disruptedPods?.[pod.metadata.name] === undefined;
}

/** The candidate that does the least harm; of several the first, which is any of them. */
function pick(candidates: readonly Candidate[]): Candidate {
  let best = candidates[0]!;
  for (const candidate of candidates) if (harmsLess(candidate, best)) best = candidate;
  return best;
}
