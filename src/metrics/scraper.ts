/** Asks the kubelets what their nodes use, as long as somebody wants to know. */
import type { corev1 } from "#api";
import { messageOf, type World } from "#base";
import { type Client, type Informer, readText } from "#client";
import { type NodeSample, parseSample, type Reading } from "./samples.ts";
import { type Usage, usageOf } from "./usage.ts";

export interface Scraper {
  /** Brings what is known up to date, where it is not. */
  ready(): Promise<void>;
  node(name: string): Usage | undefined;
  /** By container; empty while nothing is known of the pod. */
  pod(node: string, namespace: string, name: string): Map<string, Usage>;
  stop(): void;
}

interface Pair {
  newer: NodeSample;
  older: NodeSample | undefined;
}

const periodMs = 15_000;
/** Between the first two looks. */
const firstGapMs = 1000;
const wantedForMs = 5 * 60_000;
const textMaxBytes = 16 * 1024 * 1024;
const timeoutMs = 10_000;
const parallelMax = 10;

export interface ScraperOptions {
  world: World;
  client: Client;
  nodes: Informer<corev1.Node>;
}

export function startScraper({ world, client, nodes }: ScraperOptions): Scraper {
  const { clock, log, metrics } = world;
  const pairs = new Map<string, Pair>();
  const scrapes = metrics.counter("knarr_metrics_scrapes_total", "Kubelets asked for metrics.", ["result"]);
  const ending = new AbortController();
  let lookedMs = Number.NEGATIVE_INFINITY;
  let wantedMs = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | undefined;
  let running = false;

  async function scrape(name: string): Promise<void> {
    const text = await kubeletText(client, name, ending.signal);
    pairs.set(name, { newer: parseSample(text, clock.now()), older: pairs.get(name)?.newer });
  }

  async function look(): Promise<void> {
    const names = nodes.list().map((node) => node.metadata.name);
    for (const known of pairs.keys()) if (!names.includes(known)) pairs.delete(known);
    const waiting = [...names];
    const worker = async () => {
      for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
        try {
          await scrape(name);
          scrapes.inc({ result: "success" });
        } catch (error) {
          pairs.delete(name);
          scrapes.inc({ result: "error" });
          log.debug({ node: name, error: messageOf(error) }, "a node's metrics could not be read");
        }
      }
    };
    await Promise.all(Array.from({ length: parallelMax }, worker));
    lookedMs = clock.monotonic();
  }

  /** Twice, where what is known is too old to compare with. */
  async function catchUp(): Promise<void> {
    if (clock.monotonic() - lookedMs > 2 * periodMs) {
      pairs.clear();
      await look();
      await clock.sleep(firstGapMs, ending.signal);
    }
    await look();
  }

  async function keepLooking(): Promise<void> {
    while (!ending.signal.aborted && clock.monotonic() - wantedMs < wantedForMs) {
      await clock.sleep(periodMs, ending.signal);
      if (!ending.signal.aborted) await look();
    }
    running = false;
  }

  return {
    async ready() {
      await nodes.waitForSync();
      wantedMs = clock.monotonic();
      const sinceMs = wantedMs - lookedMs;
      const isFresh = sinceMs < periodMs + timeoutMs;
      // A node that has just come has one sample: whoever asks again does not wait a whole period for its second.
      const isHalf = sinceMs >= firstGapMs && [...pairs.values()].some(({ older }) => older === undefined);
      if (!isFresh || isHalf) {
        looking ??= (isFresh ? look() : catchUp()).finally(() => {
          looking = undefined;
        });
        await looking;
      }
      if (running || ending.signal.aborted) return;
      running = true;
      keepLooking().catch((error: unknown) => {
        running = false;
        log.warn({ error: messageOf(error) }, "metrics are no longer read");
      });
    },
    node(name) {
      const pair = pairs.get(name);
      return pair?.newer.node && usageOf(pair.newer.node, pair.older?.node);
    },
    pod(node, namespace, name) {
      const { newer, older } = pairs.get(node) ?? {};
      const found = new Map<string, Usage>();
      for (const [key, reading] of containersOf(newer, `${namespace}/${name}/`)) {
        const usage = usageOf(reading, older?.containers.get(key));
        if (usage) found.set(key.slice(key.lastIndexOf("/") + 1), usage);
      }
      return found;
    },
    stop: () => ending.abort(),
  };
}

async function kubeletText(client: Client, node: string, ending: AbortSignal): Promise<string> {
  const path = `/api/v1/nodes/${encodeURIComponent(node)}/proxy/metrics/resource`;
  const signal = AbortSignal.any([ending, AbortSignal.timeout(timeoutMs)]);
  const answer = await client.transport.send({ method: "GET", path, signal });
  const text = await readText(answer.body);
  if (answer.status !== 200) throw new Error(`${answer.status}: ${text.slice(0, 200)}`);
  if (text.length > textMaxBytes) throw new Error("the kubelet's metrics are too large");
  return text;
}

function containersOf(sample: NodeSample | undefined, prefix: string): [string, Reading][] {
  return [...(sample?.containers ?? [])].filter(([key]) => key.startsWith(prefix));
}
