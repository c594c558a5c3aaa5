/** Writes the scheduler's choices: `POST pods/binding`, many at a time, and finds out what became of those that failed. */
import { isStatus, pods } from "#api";
import { messageOf, type World } from "#base";
import { type Client, type EventRecorder, joinKey } from "#client";
import type { SchedulerCache } from "./cache.ts";
import type { SchedulerPlugin, StorageLookups } from "./define-plugin.ts";
import type { Pod, PodInfo } from "./pod-info.ts";
import type { SchedulerProfile } from "./profile.ts";
import type { QueuedPod, SchedulingQueue } from "./queue.ts";

/** After an assignment that may or may not have been made. */
const askAgainMs = 1_000;

export interface BinderOptions {
  client: Client;
  world: World;
  cache: SchedulerCache;
  queue: SchedulingQueue;
  events: EventRecorder;
  profile: SchedulerProfile;
  storage: StorageLookups;
  signal: AbortSignal;
}

export class Binder {
  readonly #options: BinderOptions;
  readonly #preBinds: readonly NonNullable<SchedulerPlugin["preBind"]>[];

  constructor(options: BinderOptions) {
    this.#options = options;
    this.#preBinds = options.profile.plugins.flatMap(({ plugin }) => plugin.preBind ?? []);
  }

  async bind(queued: QueuedPod, info: PodInfo, nodeName: string): Promise<void> {
    const { client, world, cache, queue, events } = this.#options;
    const { namespace, name, uid } = info.pod.metadata;
    try {
      for (const preBind of this.#preBinds) await preBind(info, cache.node(nodeName)!, this.#options);
    } catch (error) {
      world.log.debug({ pod: queued.key, error: messageOf(error) }, "the pod cannot be bound yet");
      cache.forget(queued.key);
      queue.retry(queued);
      return;
    }
    try {
      await client.post(pods, info.pod.metadata, "binding", {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { namespace, name, uid },
        target: { apiVersion: "v1", kind: "Node", name: nodeName },
      });
      queue.done(queued.key);
      const message = `Successfully assigned ${joinKey(namespace, name)} to ${nodeName}`;
      events.record(info.pod, "Normal", "Scheduled", message);
    } catch (error) {
      world.log.debug({ pod: queued.key, error: messageOf(error) }, "the assignment failed");
      await this.#learnOutcome(queued);
    }
  }

  /** A failed request may have done its work: until the API says what is, the place counts as taken. */
  async #learnOutcome(queued: QueuedPod): Promise<void> {
    const { world, cache, queue, signal } = this.#options;
    while (!signal.aborted) {
      const pod = await this.#ask(queued.pod);
      if (pod === "unknown") {
        await world.clock.sleep(askAgainMs, signal);
      } else if (pod?.spec.nodeName) {
        cache.setPod(pod);
        queue.done(queued.key);
        return;
      } else {
        cache.forget(queued.key);
        if (pod) queue.retry(queued);
        else queue.done(queued.key);
        return;
      }
    }
  }

  /** The pod as it is now; undefined: it is gone. */
  async #ask(pod: Pod): Promise<Pod | undefined | "unknown"> {
    try {
      const now = await this.#options.client.get(pods, pod.metadata);
      return now.metadata.uid === pod.metadata.uid ? now : undefined;
    } catch (error) {
      return isStatus(error, "NotFound") ? undefined : "unknown";
    }
  }
}
