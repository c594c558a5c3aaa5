/**
 * Tries the pods of a group together as soon as one of them is to be tried, and carries out what its cycle says: binds
 * them, makes room for them, or tells each why it waits.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/podgroup-scheduling/
 */
import { formatTime, type metav1, podGroups, sameJson } from "#api";
import { messageOf, type World } from "#base";
import { type Client, keyOf } from "#client";
import type { Binder } from "../binder.ts";
import type { SchedulerCache } from "../cache.ts";
import type { SchedulingCycle } from "../cycle.ts";
import { type Pod, podInfoOf, priorityOf } from "../pod-info.ts";
import type { PodStatusWriter } from "../pod-status.ts";
import type { Preemption, Preemptor } from "../preemption.ts";
import type { QueuedPod, SchedulingQueue } from "../queue.ts";
import { GroupCycle, type GroupMember, type GroupResult, unschedulable } from "./group-cycle.ts";
import type { GroupLookups, PodGroup } from "./group-lookups.ts";

const waitsForOthers = `${unschedulable}, waiting for minCount pods from a gang to be scheduled`;
const waitsForRoom = `${unschedulable}, pod group is waiting for preemption to complete`;
/** What rejects a pod that would fit if the others did: something that happens to one of them brings all back. */
const byGroup: ReadonlySet<string> = new Set(["GangScheduling"]);

export interface GroupSchedulerOptions {
  client: Client;
  world: World;
  cache: SchedulerCache;
  queue: SchedulingQueue;
  groups: GroupLookups;
  cycle: SchedulingCycle;
  preemptor: Preemptor;
  binder: Binder;
  status: PodStatusWriter;
  /** Of the pods that this scheduler is asked for. */
  isOurs(pod: Pod): boolean;
  track(work: Promise<void>): void;
  /** Tells the pods to go that are in the way; the one that waits is released once they have been told. */
  evict(queued: QueuedPod, choice: Preemption): Promise<void>;
}

export class GroupScheduler {
  readonly #options: GroupSchedulerOptions;
  readonly #cycle: GroupCycle;

  constructor(options: GroupSchedulerOptions) {
    this.#options = options;
    this.#cycle = new GroupCycle(options);
  }

  /** `first`: the pod whose turn it is. */
  schedule(group: PodGroup, first: QueuedPod): GroupResult["kind"] {
    const { members, there } = this.#gather(group, first);
    const result = this.#cycle.schedule(group, members, there);
    if (result.kind === "placed") this.#placed(group, result);
    else if (result.kind === "preempt") this.#preempt(group, result);
    else this.#none(group, result);
    return result.kind;
  }

  #gather(group: PodGroup, first: QueuedPod): { members: GroupMember[]; there: string[] } {
    const { cache, groups, queue, isOurs } = this.#options;
    const members: GroupMember[] = [{ queued: first, info: podInfoOf(first.pod) }];
    const there: string[] = [];
    for (const pod of groups.members(group)) {
      const key = keyOf(pod);
      const nodeName = pod.spec.nodeName ?? cache.nodeNameOf(key);
      if (nodeName !== undefined) there.push(nodeName);
      if (nodeName !== undefined || key === first.key || !isOurs(pod)) continue;
      const queued = queue.takeNow(key);
      if (!queued) continue;
      queued.pod = pod;
      members.push({ queued, info: podInfoOf(pod) });
    }
    members.sort(
      (a, b) => priorityOf(b.info.pod) - priorityOf(a.info.pod) || a.queued.queuedMs - b.queued.queuedMs,
    );
    return { members, there };
  }

  #placed(group: PodGroup, { placed, failed }: Extract<GroupResult, { kind: "placed" }>): void {
    const { binder, track } = this.#options;
    for (const { queued, info, nodeName } of placed) track(binder.bind(queued, info, nodeName));
    for (const each of failed) this.#failed(each);
    this.#tell(group, { status: "True", reason: "Scheduled", message: "" });
  }

  #preempt(group: PodGroup, result: Extract<GroupResult, { kind: "preempt" }>): void {
    const { cache, queue, status, track, evict } = this.#options;
    for (const { queued, info, nodeName } of result.placed) {
      cache.nominate(info, nodeName);
      const own = result.preempting.find((each) => each.queued === queued)?.rejectedBy ?? [];
      queue.reject(queued, new Set([...byGroup, ...own]), nodeName);
      status.unschedulable(info.pod, waitsForRoom, nodeName);
    }
    for (const { queued, choice } of result.preempting) {
      queue.hold(queued);
      track(evict(queued, choice));
    }
    for (const each of result.failed) this.#failed(each);
    this.#tell(group, { status: "False", reason: "Unschedulable", message: waitsForRoom });
  }

  #none(group: PodGroup, { feasible, failed, message }: Extract<GroupResult, { kind: "none" }>): void {
    // Room is being made already: nobody gives up the place that is kept for it.
    const isBeingMade = failed.some(({ keepsNomination }) => keepsNomination);
    for (const { queued, info } of feasible)
      this.#rejected({ queued, info }, byGroup, message ?? waitsForOthers, isBeingMade);
    for (const each of failed) this.#failed(each, isBeingMade);
    this.#tell(group, { status: "False", reason: "Unschedulable", message: message ?? unschedulable });
  }

  #failed(
    { failure, ...member }: Extract<GroupResult, { kind: "none" }>["failed"][number],
    keeps = false,
  ): void {
    if (failure) this.#rejected(member, failure.rejectedBy, failure.message, keeps);
    else this.#options.queue.retry(member.queued);
  }

  #rejected(member: GroupMember, rejectedBy: ReadonlySet<string>, message: string, keeps: boolean): void {
    const { cache, queue, status } = this.#options;
    const { queued, info } = member;
    const nominated = keeps ? cache.nominationOf(info.key) : undefined;
    if (nominated === undefined) cache.denominate(info.key);
    queue.reject(queued, rejectedBy, nominated);
    status.unschedulable(info.pod, message, nominated ?? "");
  }

  /** Once its group has been scheduled, more pods that find no node do not change that. */
  #tell(group: PodGroup, wanted: Pick<metav1.Condition, "status" | "reason" | "message">): void {
    const type = "PodGroupScheduled";
    const { generation: observedGeneration, uid } = group.metadata;
    const current = group.status?.conditions?.find((each) => each.type === type);
    if (current?.status === "True" && wanted.status !== "True") return;
    const { client, world, track } = this.#options;
    const lastTransitionTime =
      current?.status === wanted.status ? current.lastTransitionTime : formatTime(world.clock.now());
    const condition = {
      type,
      ...wanted,
      ...(observedGeneration ? { observedGeneration } : {}),
      lastTransitionTime,
    };
    if (sameJson(current, condition)) return;
    const patch = { metadata: { uid }, status: { conditions: [condition] } };
    const write = async () => {
      try {
        await client.patch(podGroups, group.metadata, "strategic", patch, { subresource: "status" });
      } catch (error) {
        world.log.debug({ podGroup: keyOf(group), error: messageOf(error) }, "the condition was not written");
      }
    };
    track(write());
  }
}
