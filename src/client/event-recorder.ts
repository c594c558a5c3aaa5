/**
 * Tells people what a component did, as core/v1 Events. Equal events become one with a count, many similar ones one
 * that says so, and an object that causes too many is cut short. Never throws, never waits: events are best effort.
 * https://github.com/kubernetes/client-go/blob/master/tools/record/events_cache.go
 */
import { type corev1, type Draft, events, formatTime, isStatus, type KubernetesObject } from "#api";
import { Channel, messageOf, Rate, type World } from "#base";
import type { Client } from "./contract.ts";

export type EventKind = "Normal" | "Warning";

/** What an event may be about: an object, or a reference to one (of a container, with its `fieldPath`). */
export type EventSubject = KubernetesObject | corev1.ObjectReference;

export interface EventRecorder {
  record(subject: EventSubject, kind: EventKind, reason: string, message: string): void;
  /** Resolves when what was recorded so far has been sent or given up. */
  flush(): Promise<void>;
  stop(): Promise<void>;
}

export interface EventRecorderOptions {
  client: Client;
  world: World;
  /** `deployment-controller`, `kubelet`… */
  component: string;
  /** The node, for components that run on one. */
  host?: string;
  /** How often it may write; default: as often as there is something. */
  rate?: Pick<Rate, "take">;
}

const queueMax = 1000;
const rememberedMax = 4096;
const messageMaxBytes = 1024;
/** So many events of the same reason about one object in this time are shown as one. */
const similarMax = 10;
const similarMs = 10 * 60 * 1000;
/** Spam: a burst, then one event every five minutes. */
const burst = 25;
const refillMs = 5 * 60 * 1000;

/** The reference to an object in an event. */
export function referenceTo(subject: EventSubject): corev1.ObjectReference {
  if (!("metadata" in subject)) return subject;
  const { namespace, name, uid, resourceVersion } = subject.metadata;
  return {
    apiVersion: subject.apiVersion,
    kind: subject.kind,
    ...(namespace ? { namespace } : {}),
    name,
    uid,
    ...(resourceVersion ? { resourceVersion } : {}),
  };
}

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new Recorder(options);
}

interface Recorded {
  subject: corev1.ObjectReference;
  kind: EventKind;
  reason: string;
  message: string;
  atMs: number;
}

/** An event that was written, so that the next equal one only counts. */
interface Written {
  name: string;
  count: number;
}

/** A map that forgets what was used longest ago. */
class RecentMap<V> {
  readonly #entries = new Map<string, V>();

  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= rememberedMax) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}

class Recorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #queue = new Channel<Recorded>(queueMax);
  readonly #written = new RecentMap<Written>();
  readonly #similar = new RecentMap<{ messages: Set<string>; sinceMs: number }>();
  readonly #budgets = new RecentMap<Rate>();
  readonly #loop: Promise<void>;
  readonly #ending = new AbortController();
  #unsent = 0;
  #flushed: (() => void)[] = [];

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  record(subject: EventSubject, kind: EventKind, reason: string, message: string): void {
    // Who is behind loses what comes: nothing is made of it.
    if (this.#queue.length >= queueMax) return;
    const reference = referenceTo(subject);
    if (!this.#withinBudget(reference)) return;
    const atMs = this.#options.world.clock.now();
    const text = Buffer.from(message).subarray(0, messageMaxBytes).toString("utf8");
    if (this.#queue.push({ subject: reference, kind, reason, message: text, atMs })) this.#unsent++;
  }

  flush(): Promise<void> {
    if (this.#unsent === 0) return Promise.resolve();
    return new Promise((resolve) => this.#flushed.push(resolve));
  }

  async stop(): Promise<void> {
    // What is left is sent at once.
    this.#ending.abort();
    this.#queue.close();
    await this.#loop;
  }

  async #run(): Promise<void> {
    for await (const recorded of this.#queue) {
      try {
        if (!this.#ending.signal.aborted) await this.#options.rate?.take(this.#ending.signal);
        await this.#send(recorded);
      } catch (error) {
        const { reason } = recorded;
        this.#options.world.log.debug({ reason, error: messageOf(error) }, "an event was lost");
      }
      this.#unsent--;
      if (this.#unsent === 0) for (const resolve of this.#flushed.splice(0)) resolve();
    }
  }

  #withinBudget(subject: corev1.ObjectReference): boolean {
    const key = JSON.stringify([subject.kind, subject.namespace, subject.name, subject.uid]);
    const budget = this.#budgets.get(key) ?? new Rate(this.#options.world.clock, 1000 / refillMs, burst);
    this.#budgets.set(key, budget);
    return budget.tryTake();
  }

  /** The key under which equal events meet; too many similar ones meet without their message. */
  #aggregate(recorded: Recorded): { key: string; message: string } {
    const { subject, kind, reason, message, atMs } = recorded;
    const { uid, fieldPath, namespace, name } = subject;
    const group = JSON.stringify([subject.kind, namespace, name, uid, fieldPath, kind, reason]);
    let similar = this.#similar.get(group);
    if (!similar || atMs - similar.sinceMs > similarMs) similar = { messages: new Set(), sinceMs: atMs };
    if (similar.messages.size < similarMax) similar.messages.add(message);
    this.#similar.set(group, similar);
    if (similar.messages.size < similarMax) return { key: `${group}${message}`, message };
    return { key: group, message: `(combined from similar events): ${message}` };
  }

  async #send(recorded: Recorded): Promise<void> {
    const { key, message } = this.#aggregate(recorded);
    const known = this.#written.get(key);
    if (known && (await this.#count(known, recorded, message))) return;
    const name = await this.#create(recorded, message);
    this.#written.set(key, { name, count: 1 });
  }

  /** False when the event has expired on the server and must be written anew. */
  async #count(known: Written, recorded: Recorded, message: string): Promise<boolean> {
    const ref = { namespace: namespaceOf(recorded.subject), name: known.name };
    const patch = { count: known.count + 1, lastTimestamp: formatTime(recorded.atMs), message };
    try {
      await this.#options.client.patch(events, ref, "merge", patch, { ignoresAnswer: true });
      known.count++;
      return true;
    } catch (error) {
      if (isStatus(error, "NotFound")) return false;
      throw error;
    }
  }

  async #create(recorded: Recorded, message: string): Promise<string> {
    const { subject, kind, reason, atMs } = recorded;
    const { client, world, component, host } = this.#options;
    const nanoseconds = BigInt(Math.floor(atMs)) * 1_000_000n + BigInt(world.random.int(1_000_000));
    const name = `${subject.name}.${nanoseconds.toString(16)}`;
    const draft: Draft<corev1.Event> = {
      metadata: { name, namespace: namespaceOf(subject) },
      involvedObject: subject,
      reason,
      message,
      type: kind,
      source: { component, ...(host ? { host } : {}) },
      reportingComponent: component,
      reportingInstance: host ?? "",
      firstTimestamp: formatTime(atMs),
      lastTimestamp: formatTime(atMs),
      count: 1,
    };
    await client.create(events, draft, { ignoresAnswer: true });
    return name;
  }
}

/** Events about objects without a namespace live in `default`. */
function namespaceOf(subject: corev1.ObjectReference): string {
  return subject.namespace || "default";
}
