/** Writes the scheduler's choices: `POST pods/binding`, many at a time, and finds out what became of those that failed. */
import { isStatus, pods } from "#api";
import { messageOf, type World } from "#base";
import { type Client, type EventRecorder, joinKey } from "#client";
import type { SchedulerCache } from "./cache.ts";
import type { BindHost, SchedulerPlugin } from "./define-plugin.ts";
import type { Extender } from "./extenders/extender.ts";
import type { Pod, PodInfo } from "./pod-info.ts";
import type { PodStatusWriter } from "./pod-status.ts";
import type { SchedulerProfile } from "./profile.ts";
import type { QueuedPod, SchedulingQueue } from "./queue.ts";
import type { SchedulerMetrics } from "./scheduler-metrics.ts";

/** After an assignment that may or may not have been made. */
const askAgainMs = 1_000;

export interface BinderOptions {
  client: Client;
  world: World;
  cache: SchedulerCache;
  queue: SchedulingQueue;
  events: EventRecorder;
  status: Pick<PodStatusWriter, "superseded">;
  metrics: Pick<SchedulerMetrics, "placed">;
  profile: SchedulerProfile;
  host: BindHost;
  extenders: readonly Extender[];
  signal: AbortSignal;
}

export class Binder {
  readonly #options: BinderOptions;
  readonly #plugins: readonly SchedulerPlugin[];

  constructor(options: BinderOptions) {
    this.#options = options;
    this.#plugins = options.profile.plugins.map(({ plugin }) => plugin);
  }

  /** Takes the place for the pod, before anybody else is told. Throws what went wrong: nothing is taken then. */
  reserve(info: PodInfo, nodeName: string): void {
    const { cache, host } = this.#options;
    cache.assume(info, nodeName);
    try {
      for (const plugin of this.#plugins) plugin.reserve?.(info, cache.node(nodeName)!, host);
    } catch (error) {
      this.release(info);
      throw error;
    }
  }

  /** Gives the place back; what stands in the API already follows. */
  async release(info: PodInfo): Promise<void> {
    const { cache, host } = this.#options;
    cache.forget(info.key);
    const works = this.#plugins.map((plugin) => plugin.unreserve?.(info, host));
    await Promise.all(works);
  }

  async bind(queued: QueuedPod, info: PodInfo, nodeName: string): Promise<void> {
    const { world, cache, queue, events, host, metrics } = this.#options;
    const { namespace, name } = info.pod.metadata;
    try {
      for (const plugin of this.#plugins) {
        const node = plugin.preBind && cache.node(nodeName);
        if (plugin.preBind && !node) throw new Error(`node ${nodeName} is gone`);
        if (node) await plugin.preBind?.(info, node, host);
      }
    } catch (error) {
      world.log.debug({ pod: queued.key, error: messageOf(error) }, "the pod cannot be bound yet");
      await this.release(info);
      queue.retry(queued);
      return;
    }
    try {
      if (!(await this.#bindByExtender(info, nodeName))) await this.#bindByApi(info, nodeName);
      queue.done(queued.key);
      metrics.placed(queued.attempts + 1, (world.clock.now() - queued.queuedMs) / 1000);
      const message = `Successfully assigned ${joinKey(namespace, name)} to ${nodeName}`;
      events.record(info.pod, "Normal", "Scheduled", message);
    } catch (error) {
      world.log.debug({ pod: queued.key, error: messageOf(error) }, "the assignment failed");
      await this.#learnOutcome(queued, info);
    }
  }

  async #bindByApi({ pod, key }: PodInfo, nodeName: string): Promise<void> {
    const { namespace, name, uid } = pod.metadata;
    this.#options.status.superseded(key);
    await this.#options.client.post(pods, pod.metadata, "binding", {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { namespace, name, uid },
      target: { apiVersion: "v1", kind: "Node", name: nodeName },
    });
  }

  /** False: there is none for this pod, or it could not be asked and is not needed. */
  async #bindByExtender({ pod, key }: PodInfo, nodeName: string): Promise<boolean> {
    const { extenders, world } = this.#options;
    const extender = extenders.find((each) => each.has("bind") && each.concerns(pod));
    if (!extender) return false;
    try {
      await extender.bind(pod, nodeName);
      return true;
    } catch (error) {
      if (!extender.settings.ignorable) throw error;
      world.log.warn(
        { pod: key, error: messageOf(error) },
        "an extender did not bind the pod; the scheduler does",
      );
      return false;
    }
  }

  /** A failed request may have done its work: until the API says what is, the place counts as taken. */
  async #learnOutcome(queued: QueuedPod, info: PodInfo): Promise<void> {
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
        await this.release(info);
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
