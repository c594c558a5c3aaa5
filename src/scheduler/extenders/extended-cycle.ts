/**
 * The cycle of a pod that extenders have a say in: they are asked after the plugins, one after the other which nodes
 * are left, all at once how good those are.
 * https://github.com/kubernetes/design-proposals-archive/blob/main/scheduling/scheduler_extender.md
 */
import { messageOf, type World } from "#base";
import type { SchedulerCache } from "../cache.ts";
import type { Verdict } from "../class-table.ts";
import type { CycleResult, NoNode, SchedulingCycle } from "../cycle.ts";
import { rejection, unresolvable } from "../define-plugin.ts";
import type { NodeInfo } from "../node-info.ts";
import type { Pod, PodInfo } from "../pod-info.ts";
import type { PreemptionResult, Preemptor } from "../preemption.ts";
import type { Candidate } from "../preemption-candidates.ts";
import { byExtender } from "./by-extender.ts";
import type { Extender } from "./extender.ts";

export interface ExtendedCycleOptions {
  cache: SchedulerCache;
  cycle: SchedulingCycle;
  preemptor: Preemptor;
  extenders: readonly Extender[];
  world: World;
}

export class ExtendedCycle {
  readonly #options: ExtendedCycleOptions;

  constructor(options: ExtendedCycleOptions) {
    this.#options = options;
  }

  concerns(pod: Pod): boolean {
    const isAsked = (extender: Extender) =>
      (["filter", "prioritize", "preempt"] as const).some((verb) => extender.has(verb));
    return this.#options.extenders.some((extender) => isAsked(extender) && extender.concerns(pod));
  }

  /** Throws what went wrong with an extender that the pod cannot do without. */
  async schedule(info: PodInfo): Promise<CycleResult> {
    const { cycle } = this.#options;
    const found = cycle.consider(info);
    if (found.kind === "none") return found;
    const { verdicts } = found;
    let { feasible } = found;
    for (const extender of this.#asked(info, "filter")) {
      if (feasible.length === 0) break;
      const kept = await this.#unlessIgnorable(extender, () =>
        this.#filter(extender, info, feasible, verdicts),
      );
      feasible = kept ?? feasible;
    }
    if (feasible.length === 0) return cycle.failure(verdicts);
    return { kind: "node", name: cycle.choose(info, feasible, await this.#priorities(info, feasible)) };
  }

  async preempt(info: PodInfo, failure: NoNode): Promise<PreemptionResult> {
    const { preemptor } = this.#options;
    const extenders = this.#asked(info, "preempt");
    if (extenders.length === 0) return preemptor.preempt(info, failure);
    return preemptor.preemptAmong(info, failure, (candidates) => this.#narrow(extenders, info, candidates));
  }

  #asked({ pod }: PodInfo, verb: Parameters<Extender["has"]>[0]): Extender[] {
    return this.#options.extenders.filter((extender) => extender.has(verb) && extender.concerns(pod));
  }

  async #filter(
    extender: Extender,
    info: PodInfo,
    nodes: readonly NodeInfo[],
    verdicts: Map<number, Verdict>,
  ): Promise<NodeInfo[]> {
    const { kept, failed, failedForGood } = await extender.filter(info, nodes);
    const left = new Set(kept);
    for (const node of nodes) {
      if (left.has(node)) continue;
      const passing = failedForGood.has(node.name) ? undefined : failed.get(node.name);
      const why = failedForGood.get(node.name);
      const verdict = passing !== undefined ? rejection(passing) : unresolvable(...(why ? [why] : []));
      verdicts.set(node.slot, { plugin: byExtender.name, rejection: verdict });
    }
    return kept;
  }

  /** An extender that cannot be asked has no opinion. */
  async #priorities(info: PodInfo, nodes: readonly NodeInfo[]): Promise<ReadonlyMap<string, number>> {
    const sums = new Map<string, number>();
    const ask = async (extender: Extender) => {
      try {
        for (const [name, score] of await extender.prioritize(info, nodes))
          sums.set(name, (sums.get(name) ?? 0) + score);
      } catch (error) {
        this.#log(extender, error);
      }
    };
    await Promise.all(this.#asked(info, "prioritize").map(ask));
    return sums;
  }

  async #narrow(
    extenders: readonly Extender[],
    info: PodInfo,
    candidates: readonly Candidate[],
  ): Promise<readonly Candidate[]> {
    const nodeOf = (name: string) => this.#options.cache.node(name);
    let left = new Map(candidates.map((each) => [each.nodeName, each]));
    for (const extender of extenders) {
      if (left.size === 0) break;
      const before = left;
      left = (await this.#unlessIgnorable(extender, () => extender.preempt(info, before, nodeOf))) ?? before;
    }
    return [...left.values()];
  }

  async #unlessIgnorable<T>(extender: Extender, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!extender.settings.ignorable) throw error;
      this.#log(extender, error);
      return undefined;
    }
  }

  #log({ settings }: Extender, error: unknown): void {
    const { log } = this.#options.world;
    log.warn(
      { extender: settings.urlPrefix, error: messageOf(error) },
      "an extender could not be asked; scheduling goes on without it",
    );
  }
}
