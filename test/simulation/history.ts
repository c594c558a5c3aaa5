/**
 * Random histories of a cluster's controllers under a seed and virtual time: connections fail, answers are lost, watches
 * break, revisions are forgotten, controllers crash and begin again with empty hands. What must hold at every write is
 * checked at every write; a failure tells the command that replays its history.
 */
import { expect } from "vitest";
import {
  type corev1,
  type Draft,
  isStatus,
  type KubernetesObject,
  namespaces,
  nodes,
  pods,
  type ResourceType,
} from "#api";
import { createWorld, type Random, seededRandom, silentLogger, VirtualClock, type World } from "#base";
import {
  type Client,
  createClient,
  createInformers,
  FakeApi,
  type Informers,
  type TransportRequest,
} from "#client";
import { startControllers } from "#controllers";

export type Pod = corev1.Pod;

/** Each seed is a history. `SIMULATION_SEED` replays one, `SIMULATION_RUNS` plays so many. */
export function seeds(usually: number): readonly number[] {
  const one = process.env.SIMULATION_SEED;
  if (one !== undefined) return [Number(one)];
  return Array.from({ length: Number(process.env.SIMULATION_RUNS ?? usually) }, (_, i) => i + 1);
}

/** Plays the history of a seed; what it throws says how to see it again. */
export async function play(
  file: string,
  seed: number,
  history: (random: Random) => Promise<void>,
): Promise<void> {
  try {
    await history(seededRandom(seed));
  } catch (error) {
    const replay = `SIMULATION_SEED=${seed} npx vitest run --project unit test/simulation/${file}`;
    const what = error instanceof Error ? error.message : String(error);
    throw new Error(`${what}\nto replay: ${replay}`, { cause: error });
  }
}

/** What is started, killed and started again. */
export interface Parts {
  client: Client;
  world: World;
  informers: Informers;
}

export interface HistoryOptions {
  /** Names of controllers, or how to start something else. */
  controllers: readonly string[] | ((parts: Parts) => Promise<{ stop(): Promise<void> }>);
  random: Random;
  /** Called after every write that was served, from whomever it came. */
  check?(history: History, request: TransportRequest): Promise<void>;
}

/** Pods of a DaemonSet may go to one node only. */
export function wantedNode({ spec }: Pod): string | undefined {
  const wanted = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return wanted?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0];
}

export const nodeNames = ["node-1", "node-2", "node-3"];

export class History {
  readonly clock = new VirtualClock();
  readonly random: Random;
  /** Its requests always go through. */
  readonly client: Client;
  readonly #api: FakeApi;
  readonly #world: World;
  readonly #options: HistoryOptions;
  #running: { stop(): Promise<void> } | undefined;
  #informersEnd = new AbortController();
  #calm = false;
  #failure: unknown;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.random = options.random;
    this.#api = new FakeApi(this.clock);
    this.client = createClient(this.#api);
    this.#world = createWorld({ clock: this.clock, random: options.random, log: silentLogger });
  }

  async begin(): Promise<void> {
    await this.create(namespaces, { metadata: { name: "default" } });
    for (const name of nodeNames) {
      const status = { conditions: [{ type: "Ready", status: "True" }] };
      await this.create(nodes, { metadata: { name, labels: { node: name } }, spec: {}, status });
    }
    await this.#start();
  }

  create<T extends KubernetesObject>(type: ResourceType<T>, draft: Draft<T>): Promise<T> {
    return this.client.create(type, draft);
  }

  async list<T extends KubernetesObject>(type: ResourceType<T>): Promise<T[]> {
    return (await this.client.list(type, { namespace: "default" })).items;
  }

  /** It may have gone by itself a moment before. */
  async remove({ metadata }: Pod, options: { gracePeriodSeconds?: number } = {}): Promise<void> {
    try {
      await this.client.delete(pods, metadata, options);
    } catch (error) {
      if (!isStatus(error, "NotFound")) throw error;
    }
  }

  /** One of them, if there is any. */
  pick<T>(all: readonly T[]): T | undefined {
    return all.length > 0 ? all[this.random.int(all.length)] : undefined;
  }

  chance(share: number): boolean {
    return this.random.float() < share;
  }

  /** A moment of the history: faults come and go, a crash now and then, and time passes. */
  async step(ms = 400): Promise<void> {
    if (!this.#calm) {
      if (this.chance(0.2)) this.#api.dropWatches();
      if (this.chance(0.05)) this.#api.compact();
      if (this.chance(0.05)) {
        await this.#stop();
        await this.#start();
      }
    }
    await this.clock.advance(ms);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** From now on nothing goes wrong any more. */
  async calmDown(): Promise<void> {
    this.#calm = true;
  }

  /** What nodes do: pods are bound, started in their own time, and removed when they are to go. */
  async live(readiness = 0.6): Promise<void> {
    for (const pod of await this.list(pods)) {
      if (pod.metadata.deletionTimestamp) {
        if (this.chance(readiness)) await this.remove(pod, { gracePeriodSeconds: 0 });
      } else if (!pod.status?.phase && this.chance(readiness)) await this.#startPod(pod);
    }
  }

  async setStatus(pod: Pod, status: Draft<corev1.PodStatus>): Promise<void> {
    await this.client.patch(pods, pod.metadata, "merge", { status }, { subresource: "status" });
  }

  async #startPod(pod: Pod): Promise<void> {
    const name = wantedNode(pod) ?? this.pick(nodeNames);
    if (!pod.spec.nodeName) await this.client.post(pods, pod.metadata, "binding", { target: { name } });
    const lastTransitionTime = new Date(this.clock.now()).toISOString();
    const conditions = [{ type: "Ready", status: "True" as const, lastTransitionTime }];
    await this.setStatus(pod, { phase: "Running", conditions });
  }

  async end(): Promise<void> {
    await this.#stop();
    expect(this.#api.watches).toBe(0);
  }

  async #start(): Promise<void> {
    const client = createClient({
      send: (request) => this.#send(request),
      close: async () => {},
    });
    this.#informersEnd = new AbortController();
    const informers = createInformers(client, this.#world, { freeze: true });
    const { controllers } = this.#options;
    const parts = { client, world: this.#world, informers };
    this.#running =
      typeof controllers === "function"
        ? await controllers(parts)
        : await startControllers({ ...parts, only: controllers });
    informers.start(this.#informersEnd.signal);
  }

  async #stop(): Promise<void> {
    this.#informersEnd.abort();
    await this.#running?.stop();
  }

  /** What controllers send; nothing of it is safe. */
  async #send(request: TransportRequest) {
    const isRead = request.method === "GET";
    if (!this.#calm && this.chance(0.08)) throw new Error("connection refused");
    const answer = await this.#api.send(request);
    if (!isRead && answer.status < 300) {
      try {
        await this.#options.check?.(this, request);
      } catch (error) {
        this.#failure ??= error;
      }
    }
    if (!this.#calm && !isRead && this.chance(0.04)) throw new Error("the answer was lost");
    return answer;
  }
}

export function isReady(pod: Pod): boolean {
  return (
    !pod.metadata.deletionTimestamp &&
    (pod.status?.conditions ?? []).some(({ type, status }) => type === "Ready" && status === "True")
  );
}
