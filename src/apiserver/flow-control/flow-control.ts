/**
 * API Priority and Fairness: each request belongs to a FlowSchema, which sends it to a priority level, which has seats for
 * it, lets it wait, or refuses it with 429. The objects count as soon as they are stored.
 * https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
 */
import {
  type flowcontrolv1,
  flowSchemas,
  type KubernetesObject,
  mandatoryFlowSchemas,
  mandatoryPriorityLevels,
  priorityLevelConfigurations,
  type ResourceDefinition,
  tooManyRequests,
} from "#api";
import type { World } from "#base";
import type { Attributes } from "../authorization/attributes.ts";
import { keyPrefix } from "../cache/keys.ts";
import type { Storage } from "../registry/storage.ts";
import { flowOf, inOrder, matches } from "./classify.ts";
import { flowMetrics, type Reason } from "./metrics.ts";
import { type QueueSettings, Queues, type Waiting } from "./queues.ts";
import { mayTake, Seats, shareOf } from "./seats.ts";

type FlowSchema = flowcontrolv1.FlowSchema;
type Spec = flowcontrolv1.PriorityLevelConfigurationSpec;

export interface FlowLimits {
  /** Requests at work at once, of all levels but the exempt one. Upstream's --max-requests-inflight and its sibling. */
  seats: number;
  exemptMax: number;
  /** Bytes of the bodies that wait. */
  waitingMaxBytes: number;
  /** A quarter of a request's time. */
  waitMaxMs: number;
}

const limitsByDefault: FlowLimits = {
  seats: 600,
  exemptMax: 10_000,
  waitingMaxBytes: 256 * 1024 * 1024,
  waitMaxMs: 15_000,
};

class Level {
  readonly name: string;
  readonly seats = new Seats();
  readonly queues = new Queues();
  uid = "";
  spec: Readonly<Spec> = { type: "Exempt" };
  /** False once its object is gone: what it has taken in is served. */
  isConfigured = true;

  constructor(name: string) {
    this.name = name;
  }

  get shares(): number {
    return (this.spec.limited ?? this.spec.exempt)?.nominalConcurrencyShares ?? 0;
  }

  /** Undefined where nobody waits. */
  get queuing(): QueueSettings | undefined {
    return this.spec.limited?.limitResponse?.queuing as QueueSettings | undefined;
  }
}

/** A FlowSchema whose level is there, and what its requests do. */
interface Schema {
  readonly object: Readonly<FlowSchema>;
  readonly level: Level;
  readonly labels: { priority_level: string; flow_schema: string };
  readonly headers: Readonly<Record<string, string>>;
}

/** Where a request belongs. */
export interface Flow {
  readonly schema: Schema;
  readonly key: string;
}

export interface Asking {
  readonly body: { readonly length: number };
  readonly signal: AbortSignal;
}

const schemaDefinition = flowSchemas as ResourceDefinition;
const levelDefinition = priorityLevelConfigurations as ResourceDefinition;

export class FlowControl {
  readonly #storage: Storage;
  readonly #world: World;
  readonly #limits: FlowLimits;
  readonly #metrics: ReturnType<typeof flowMetrics>;
  readonly #levels = new Map<string, Level>();
  #schemas: readonly Schema[] = [];
  #isCurrent = false;
  #waitingBytes = 0;
  /** Of each schema by name: requests at work, and requests that wait. */
  readonly #executing = new Map<string, number>();
  readonly #waiting = new Map<string, number>();
  readonly #ends: (() => void)[];

  constructor(storage: Storage, world: World, limits: Partial<FlowLimits> = {}) {
    this.#storage = storage;
    this.#world = world;
    this.#limits = { ...limitsByDefault, ...limits };
    this.#metrics = flowMetrics(world.metrics);
    const changed = () => {
      this.#isCurrent = false;
    };
    this.#ends = [schemaDefinition, levelDefinition].map((each) => storage.cache(each).listen(changed));
  }

  stop(): void {
    for (const end of this.#ends) end();
  }

  get inFlight(): number {
    const levels = [...this.#levels.values()];
    return levels.reduce((sum, { seats, queues }) => sum + seats.taken + queues.length, 0);
  }

  flowOf(attributes: Attributes): Flow {
    if (!this.#isCurrent) this.#read();
    const schema = this.#schemas.find(({ object }) => matches(object, attributes)) ?? this.#schemas.at(-1)!;
    return { schema, key: flowOf(schema.object, attributes) };
  }

  /** Runs `work` when there is a seat. Throws 429 when there is none, nor will be soon. */
  async run<R>(flow: Flow, asking: Asking, work: () => Promise<R>): Promise<R> {
    const { schema } = flow;
    const startMs = this.#world.clock.monotonic();
    const waited = (execute: boolean) => {
      const seconds = (this.#world.clock.monotonic() - startMs) / 1000;
      this.#metrics.waited.observe({ ...schema.labels, execute: String(execute) }, seconds);
    };
    const refused = this.#take(schema.level) ? undefined : await this.#wait(flow, asking);
    waited(!refused);
    if (refused) {
      this.#metrics.rejected.inc({ ...schema.labels, reason: refused });
      throw tooManyRequests("too many requests, please try again later", 1);
    }
    this.#metrics.dispatched.inc(schema.labels);
    count(this.#executing, schema, 1);
    try {
      return await work();
    } finally {
      count(this.#executing, schema, -1);
      schema.level.seats.taken--;
      this.#admit();
    }
  }

  /** Sets the gauges to what is. */
  measure(): void {
    const { waiting, executing, seats, nominal } = this.#metrics;
    for (const gauge of [waiting, executing, seats, nominal]) gauge.reset();
    for (const { labels } of this.#schemas) {
      waiting.set(labels, this.#waiting.get(labels.flow_schema) ?? 0);
      executing.set(labels, this.#executing.get(labels.flow_schema) ?? 0);
      seats.set(labels, this.#executing.get(labels.flow_schema) ?? 0);
    }
    for (const level of this.#levels.values())
      nominal.set({ priority_level: level.name }, level.seats.share.nominal);
  }

  #take(level: Level): boolean {
    const isFree =
      level.spec.type === "Exempt"
        ? level.seats.taken < this.#limits.exemptMax
        : // Nobody overtakes those who wait.
          level.queues.length === 0 && this.#mayTake(level);
    if (isFree) level.seats.taken++;
    return isFree;
  }

  #mayTake(level: Level): boolean {
    return mayTake(level.seats, this.#limitedSeats(), this.#limits.seats);
  }

  *#limitedSeats(): Generator<Seats> {
    for (const level of this.#levels.values()) if (level.spec.type !== "Exempt") yield level.seats;
  }

  /** Resolves with a seat taken, or with why there is none. */
  #wait({ schema, key }: Flow, { body, signal }: Asking): Promise<Reason | undefined> | Reason {
    const { level } = schema;
    if (!level.queuing) return "concurrency-limit";
    if (this.#waitingBytes + body.length > this.#limits.waitingMaxBytes) return "queue-full";
    const settings = level.queuing;
    return new Promise((resolve) => {
      const done = (reason?: Reason) => {
        timer.cancel();
        signal.removeEventListener("abort", cancelled);
        this.#waitingBytes -= body.length;
        count(this.#waiting, schema, -1);
        resolve(reason);
      };
      const giveUp = (reason: Reason) => {
        if (level.queues.remove(waiting)) done(reason);
      };
      const cancelled = () => giveUp("cancelled");
      const waiting: Waiting = { enter: () => done() };
      if (!level.queues.add(settings, `${schema.labels.flow_schema}\n${key}`, waiting)) {
        resolve("queue-full");
        return;
      }
      const timer = this.#world.clock.after(this.#limits.waitMaxMs, () => giveUp("time-out"));
      signal.addEventListener("abort", cancelled, { once: true });
      this.#waitingBytes += body.length;
      count(this.#waiting, schema, 1);
    });
  }

  /** Free seats go to the level that has the least of what it is owed. */
  #admit(): void {
    for (;;) {
      let next: Level | undefined;
      for (const level of this.#levels.values()) {
        if (level.queues.length === 0 || !this.#mayTake(level)) continue;
        if (!next || satisfaction(level) < satisfaction(next)) next = level;
      }
      if (!next) return;
      next.seats.taken++;
      next.queues.next()?.enter();
    }
  }

  #read(): void {
    this.#isCurrent = true;
    this.#readLevels();
    const stored = [...this.#objects<FlowSchema>(schemaDefinition)];
    const missing = mandatoryFlowSchemas.filter(
      ({ name }) => !stored.some((schema) => schema.metadata.name === name),
    );
    const all = [...stored, ...missing.map(({ name, spec }) => ({ metadata: { name }, spec }))];
    this.#schemas = inOrder(all as FlowSchema[]).flatMap((object) => {
      const level = this.#levels.get(object.spec.priorityLevelConfiguration.name);
      return level?.isConfigured ? [schemaOf(object, level)] : [];
    });
    this.#admit();
  }

  #readLevels(): void {
    const found = new Map<string, { uid: string; spec: Spec }>(
      mandatoryPriorityLevels.map(({ name, spec }) => [name, { uid: "", spec }]),
    );
    for (const { metadata, spec } of this.#objects<flowcontrolv1.PriorityLevelConfiguration>(levelDefinition))
      found.set(metadata.name ?? "", { uid: metadata.uid ?? "", spec });
    for (const [name, settings] of found) {
      const level = this.#levels.get(name) ?? new Level(name);
      this.#levels.set(name, Object.assign(level, settings, { isConfigured: true }));
    }
    for (const level of this.#levels.values()) {
      level.isConfigured = found.has(level.name);
      const isIdle = level.seats.taken === 0 && level.queues.length === 0;
      if (!level.isConfigured && isIdle) this.#levels.delete(level.name);
    }
    this.#share();
  }

  #share(): void {
    const levels = [...this.#levels.values()];
    const sharesOfAll = levels.reduce((sum, level) => sum + level.shares, 0);
    for (const level of levels) {
      const { lendablePercent = 0 } = level.spec.limited ?? level.spec.exempt ?? {};
      const borrowingLimitPercent = level.spec.limited?.borrowingLimitPercent;
      const settings = { shares: level.shares, lendablePercent, borrowingLimitPercent };
      level.seats.share = shareOf(settings, sharesOfAll, this.#limits.seats);
    }
  }

  *#objects<T extends { metadata: object }>(definition: ResourceDefinition): Generator<Readonly<T>> {
    for (const object of this.#storage.cache(definition).scan(keyPrefix(definition)))
      yield object.parse() as KubernetesObject as unknown as T;
  }
}

function schemaOf(object: Readonly<FlowSchema>, level: Level): Schema {
  return {
    object,
    level,
    labels: { priority_level: level.name, flow_schema: object.metadata.name ?? "" },
    headers: {
      "x-kubernetes-pf-flowschema-uid": object.metadata.uid ?? "",
      "x-kubernetes-pf-prioritylevel-uid": level.uid,
    },
  };
}

function satisfaction({ seats }: Level): number {
  return seats.taken / Math.max(1, seats.share.nominal);
}

function count(counts: Map<string, number>, { labels }: Schema, by: 1 | -1): void {
  const counted = (counts.get(labels.flow_schema) ?? 0) + by;
  if (counted > 0) counts.set(labels.flow_schema, counted);
  else counts.delete(labels.flow_schema);
}
