/** The groups that pods name, and who belongs to each. https://kubernetes.io/docs/concepts/workloads/workload-api/ */
import { type corev1, podGroups, pods, sameJson, type schedulingv1alpha2 } from "#api";
import { type Informer, type Informers, joinKey } from "#client";
import type { ClusterEvent } from "../define-plugin.ts";
import type { Pod } from "../pod-info.ts";
import { type GroupLookups, groupKeyOf, type PodGroup } from "./group-lookups.ts";

const memberIndex = "schedulingGroup";

export class GroupBook implements GroupLookups {
  readonly informers: readonly Informer[];
  readonly #groups: Informer<schedulingv1alpha2.PodGroup>;
  readonly #pods: Informer<corev1.Pod>;
  readonly #listeners: ((event: ClusterEvent) => void)[] = [];
  readonly #end: () => void;

  constructor(informers: Informers) {
    this.#groups = informers.of(podGroups);
    this.#pods = informers.of(pods);
    this.#pods.addIndex(memberIndex, (pod) => {
      const key = groupKeyOf(pod);
      const { phase } = pod.status ?? {};
      return key === undefined || phase === "Succeeded" || phase === "Failed" ? [] : [key];
    });
    this.informers = [this.#groups as unknown as Informer];
    const changed = (group: PodGroup) => {
      for (const listener of this.#listeners) listener({ kind: "PodGroupChanged", group });
    };
    // Its status is written by the scheduler itself.
    const update = (group: PodGroup, old: PodGroup) => {
      if (group.metadata.uid !== old.metadata.uid || !sameJson(group.spec, old.spec)) changed(group);
    };
    this.#end = this.#groups.on({ add: changed, update });
  }

  group(pod: Pod): PodGroup | undefined {
    const name = pod.spec.schedulingGroup?.podGroupName;
    return name === undefined ? undefined : this.#groups.get(pod.metadata.namespace, name);
  }

  members({ metadata }: PodGroup): readonly Pod[] {
    return this.#pods.byIndex(memberIndex, joinKey(metadata.namespace, metadata.name));
  }

  on(listener: (event: ClusterEvent) => void): void {
    this.#listeners.push(listener);
  }

  stop(): void {
    this.#end();
  }
}
