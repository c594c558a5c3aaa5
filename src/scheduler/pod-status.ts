/** What the scheduler writes into the status of pods: why they wait, where room is made for them, and that they must go. */
import { type corev1, formatTime, isStatus, pods } from "#api";
import { messageOf, type World } from "#base";
import { type Client, type EventRecorder, keyOf } from "#client";
import type { Pod } from "./pod-info.ts";
import type { Preemption } from "./preemption.ts";

export interface PodStatusOptions {
  client: Client;
  world: World;
  events: EventRecorder;
}

export class PodStatusWriter {
  readonly #options: PodStatusOptions;

  constructor(options: PodStatusOptions) {
    this.#options = options;
  }

  /** `nominated`: the node where room is made, or "" for none; undefined leaves it as it is. */
  unschedulable(pod: Pod, message: string, nominated: string | undefined): Promise<void> {
    return this.#notScheduled(pod, "Unschedulable", message, nominated);
  }

  /** Something went wrong before it was known. */
  failed(pod: Pod, message: string): Promise<void> {
    return this.#notScheduled(pod, "SchedulerError", message, undefined);
  }

  async #notScheduled(
    pod: Pod,
    reason: string,
    message: string,
    nominated: string | undefined,
  ): Promise<void> {
    const { events, world } = this.#options;
    events.record(pod, "Warning", "FailedScheduling", message);
    const condition = { type: "PodScheduled", status: "False", reason, message };
    const conditions = withCondition(pod, condition, world.clock.now());
    const sameNode = nominated === undefined || (pod.status?.nominatedNodeName ?? "") === nominated;
    if (!conditions && sameNode) return;
    try {
      await this.#patch(pod, {
        ...(conditions && { conditions }),
        ...(sameNode ? {} : { nominatedNodeName: nominated || null }),
      });
    } catch (error) {
      world.log.debug({ pod: keyOf(pod), error: messageOf(error) }, "the condition was not written");
    }
  }

  /** Tells the pods to go, and who comes in their place. Throws what went wrong. */
  async evict(preemptor: Pod, { nodeName, victims }: Preemption): Promise<void> {
    const going = victims.filter(({ pod }) => pod.metadata.deletionTimestamp === undefined);
    await Promise.all(going.map(({ pod }) => this.#evictOne(preemptor, pod, nodeName)));
  }

  async #evictOne(preemptor: Pod, victim: Pod, nodeName: string): Promise<void> {
    const { client, world, events } = this.#options;
    const scheduler = preemptor.spec.schedulerName ?? "default-scheduler";
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "PreemptionByScheduler",
      message: `${scheduler}: preempting to accommodate a higher priority pod`,
    };
    const conditions = withCondition(victim, condition, world.clock.now());
    try {
      if (conditions) await this.#patch(victim, { conditions });
      await client.delete(pods, victim.metadata, { preconditions: { uid: victim.metadata.uid } });
    } catch (error) {
      if (isStatus(error, "NotFound")) return;
      throw error;
    }
    const message = `Preempted by pod ${preemptor.metadata.uid} on node ${nodeName}`;
    events.record(victim, "Normal", "Preempted", message);
  }

  /** A more important pod has taken the place that was kept for this one. */
  async clearNomination(pod: Pod): Promise<void> {
    if (pod.status?.nominatedNodeName) await this.#patch(pod, { nominatedNodeName: null });
  }

  async #patch(pod: Pod, status: object): Promise<void> {
    const { uid } = pod.metadata;
    const patch = { metadata: { uid }, status };
    const options = { subresource: "status", ignoresAnswer: true } as const;
    await this.#options.client.patch(pods, pod.metadata, "strategic", patch, options);
  }
}

/** The part of a strategic patch that sets the condition; undefined: it is so already. */
function withCondition(
  { metadata, status }: Pod,
  wanted: Omit<corev1.PodCondition, "lastTransitionTime">,
  nowMs: number,
): corev1.PodCondition[] | undefined {
  const current = status?.conditions?.find((each) => each.type === wanted.type);
  const same = (key: "status" | "reason" | "message") => (current?.[key] ?? "") === (wanted[key] ?? "");
  if (current && same("status") && same("reason") && same("message")) return undefined;
  const lastTransitionTime =
    current && same("status") && current.lastTransitionTime ? current.lastTransitionTime : formatTime(nowMs);
  const { generation } = metadata;
  return [{ ...wanted, ...(generation ? { observedGeneration: generation } : {}), lastTransitionTime }];
}
