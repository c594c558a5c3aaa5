/** Runs one controller: events into the queue, workers out of it. */
import { isStatus, type KubernetesObject, StatusError } from "#api";
import { forComponent, messageOf, type World } from "#base";
import { type Client, createEventRecorder, type Informer, type Informers, keyOf, WorkQueue } from "#client";
import type {
  Controller,
  ControllerContext,
  ControllerOptions,
  Outcome,
  Source,
} from "./define-controller.ts";
import { Expectations } from "./expectations.ts";
import { Pace, restAfter } from "./pace.ts";

export interface RunOptions {
  client: Client;
  world: World;
  informers: Informers;
  options: ControllerOptions;
}

export interface RunningController {
  readonly name: string;
  /** Nothing waits and nobody works. */
  readonly idle: boolean;
  stop(): Promise<void>;
}

/** How often a key is looked at whose writes have not come back by the watch yet. */
const staleRecheckMs = 5_000;
/** A round that asks for the next without a pause would let nothing else of the process run. */
const pauseMs = 20;

export function runController(controller: Controller, run: RunOptions): RunningController {
  const world = forComponent(run.world, controller.name);
  const { clock, metrics } = world;
  const events = createEventRecorder({ client: run.client, world, component: controller.name });
  const queue = new WorkQueue<string>({ clock, metrics, name: controller.name });
  const pace = new Pace(clock);
  const enqueue = (key: string) => queue.addAfter(key, pace.waitMs(key));
  const stopping = new AbortController();
  const { signal } = stopping;
  const context: ControllerContext = { ...run, world, events, memory: new Map(), enqueue, signal };
  const sources = sourcesOf(controller);
  const informers = sources.map((each) => run.informers.of(each.type));
  const expectations = new Expectations(clock, informers);
  const latency = metrics.latency("knarr_controller_reconcile_seconds", "Time of one round", ["controller"]);

  const stopped = Promise.withResolvers<void>();

  controller.prepare(context);
  const unsubscribe = sources.map((each, i) => subscribe(each, informers[i]!, context, enqueue));
  for (const key of controller.startKeys) queue.add(key);

  const round = async (key: string): Promise<Outcome> => {
    const startedMs = clock.monotonic();
    let restMs = 0;
    try {
      await expectations.inquire(key, run.client);
      if (!expectations.satisfied(key)) return { kind: "after", ms: staleRecheckMs };
      const tracked = { ...context, client: expectations.tracking(run.client, key) };
      const beganMs = clock.monotonic();
      const working = controller.reconcile(tracked, key);
      // What runs before the first answer is awaited is what a round costs this process.
      restMs = restAfter(clock.monotonic() - beganMs, queue.waiting);
      pace.rest(key, restMs);
      return await working;
    } catch (error) {
      return outcomeOf(error, world, key);
    } finally {
      latency.observe({ controller: controller.name }, (clock.monotonic() - startedMs) / 1000);
      if (restMs > 0) pace.rest(key, restMs);
    }
  };
  const worker = async () => {
    await Promise.race([stopped.promise, Promise.all(informers.map((informer) => informer.waitForSync()))]);
    for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
      settle(queue, key, await round(key), world);
      queue.done(key);
    }
  };
  const workers = Array.from({ length: controller.concurrency }, worker);
  return {
    name: controller.name,
    get idle() {
      return queue.idle;
    },
    async stop() {
      for (const end of unsubscribe) end();
      stopping.abort();
      queue.stop();
      stopped.resolve();
      await Promise.all(workers);
      await events.stop();
    },
  };
}

function sourcesOf(controller: Controller): Source[] {
  const { primary, secondaries } = controller;
  return primary ? [{ type: primary, keys: (object) => [keyOf(object)] }, ...secondaries] : [...secondaries];
}

function subscribe(
  each: Source,
  informer: Informer,
  context: ControllerContext,
  enqueue: (key: string) => void,
): () => void {
  const changed = (object: Readonly<KubernetesObject>) => {
    for (const key of each.keys(object, context)) enqueue(key);
  };
  return informer.on({
    add: changed,
    update(object, old) {
      changed(object);
      changed(old);
    },
    delete: changed,
  });
}

/** A write that lost a race, or an object that went away meanwhile, is everyday life; the rest is worth a line. */
function outcomeOf(error: unknown, world: World, key: string): Outcome {
  const why = messageOf(error);
  const everyday =
    isStatus(error, "Conflict") || isStatus(error, "NotFound") || isStatus(error, "AlreadyExists");
  if (!everyday) {
    const detail = error instanceof StatusError ? { error: why } : { err: error };
    world.log.warn({ key, ...detail }, "a round failed, trying again");
  }
  return { kind: "retry", why };
}

function settle(queue: WorkQueue<string>, key: string, outcome: Outcome, world: World): void {
  switch (outcome.kind) {
    case "done":
      queue.forget(key);
      return;
    case "after":
      queue.forget(key);
      queue.addAfter(key, Math.max(pauseMs, outcome.ms));
      return;
    case "retry":
      queue.addRateLimited(key);
      return;
    case "terminal":
      queue.forget(key);
      world.log.warn({ key, why: outcome.why }, "gave up until something changes");
  }
}
