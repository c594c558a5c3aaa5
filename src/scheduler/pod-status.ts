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

/** What is to be written of a pod that waits. */
interface Waiting {
  pod: Pod;
  condition?: corev1.PodCondition;
  nominatedNodeName?: string | null;
}

/** So many pods are told why they wait at a time: what makes room for them goes first. */
const tellingMax = 8;

export class PodStatusWriter {
  readonly #options: PodStatusOptions;
  /** By pod: what comes later takes the place of what has not been sent. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #telling = new Set<Promise<void>>();

  constructor(options: PodStatusOptions) {
    this.#options = options;
  }

  /** `nominated`: the node where room is made, or "" for none; undefined leaves it as it is. Sent soon. */
  unschedulable(pod: Pod, message: string, nominated: string | undefined): void {
    this.#notScheduled(pod, "Unschedulable", message, nominated);
  }

  /** Something went wrong before it was known. */
  failed(pod: Pod, message: string): void {
    this.#notScheduled(pod, "SchedulerError", message, undefined);
  }

  /** The pod gets its node: why it waited is nobody's concern any more. */
  superseded(key: string): void {
    this.#waiting.delete(key);
  }

  /** Resolves when nothing is under way any more; what has not been sent is left. */
  async stop(): Promise<void> {
    this.#waiting.clear();
    await Promise.all(this.#telling);
  }

  #notScheduled(pod: Pod, reason: string, message: string, nominated: string | undefined): void {
    const { events, world } = this.#options;
    events.record(pod, "Warning", "FailedScheduling", message);
    const condition = { type: "PodScheduled", status: "False", reason, message };
    const [changed] = withCondition(pod, condition, world.clock.now()) ?? [];
    this.#tell(pod, changed, nominated);
  }

  #tell(pod: Pod, condition: corev1.PodCondition | undefined, nominated: string | undefined): void {
    const key = keyOf(pod);
    const unsent = this.#waiting.get(key)?.nominatedNodeName;
    const node = nominated ?? (unsent === null ? "" : unsent);
    const isSameNode = node === undefined || (pod.status?.nominatedNodeName ?? "") === node;
    this.#waiting.delete(key);
    if (!condition && isSameNode) return;
    this.#waiting.set(key, {
      pod,
      ...(condition ? { condition } : {}),
      ...(isSameNode ? {} : { nominatedNodeName: node || null }),
    });
    while (this.#telling.size < tellingMax && this.#waiting.size > 0) this.#sendNext();
  }

  #sendNext(): void {
    const [[key, waiting] = []] = this.#waiting;
    if (key === undefined || !waiting) return;
    this.#waiting.delete(key);
    const work = this.#send(waiting).finally(() => {
      this.#telling.delete(work);
      this.#sendNext();
    });
    this.#telling.add(work);
  }

  async #send({ pod, condition, nominatedNodeName }: Waiting): Promise<void> {
    try {
      await this.#patch(pod, {
        ...(condition ? { conditions: [condition] } : {}),
        ...(nominatedNodeName === undefined ? {} : { nominatedNodeName }),
      });
    } catch (error) {
      const { log } = this.#options.world;
      log.debug({ pod: keyOf(pod), error: messageOf(error) }, "the condition was not written");
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
  clearNomination(pod: Pod): void {
    this.#tell(pod, this.#waiting.get(keyOf(pod))?.condition, "");
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
