/**
 * How fast pods may be driven from nodes that are ill, by the health of their zone: where most of a zone is gone, or the
 * whole cluster, the fault is likelier the network's than the nodes'.
 * https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction
 */
import type { corev1 } from "#api";

type Node = Readonly<corev1.Node>;
type Health = "normal" | "partly disrupted" | "disrupted";

/** Nodes a second, as `--node-eviction-rate` and `--secondary-node-eviction-rate` have it. */
const rate = 0.1;
const secondaryRate = 0.01;
/** Smaller zones of which most is gone are left alone altogether. */
const largeZone = 50;
const unhealthyShare = 0.55;

export function zoneOf({ metadata }: Node): string {
  const { labels = {} } = metadata;
  const label = (name: string, old: string) =>
    labels[`topology.kubernetes.io/${name}`] ?? labels[`failure-domain.beta.kubernetes.io/${old}`] ?? "";
  return `${label("region", "region")}:${label("zone", "zone")}`;
}

export function healthOf(ready: number, ill: number): Health {
  if (ready === 0 && ill > 0) return "disrupted";
  return ill > 2 && ill / (ready + ill) >= unhealthyShare ? "partly disrupted" : "normal";
}

/** In nodes a second; 0: none. */
export function evictionRate(health: Health, size: number): number {
  if (health !== "partly disrupted") return rate;
  return size > largeZone ? secondaryRate : 0;
}

/** What is remembered of all zones of a cluster. */
export class Zones {
  readonly #rates = new Map<string, number>();
  readonly #turns = new Map<string, number>();
  #lookedMs = Number.NEGATIVE_INFINITY;
  #allDisrupted = false;

  /** Every zone is: nobody is driven from anywhere. */
  get allDisrupted(): boolean {
    return this.#allDisrupted;
  }

  /** The last look at all nodes is good for so long. */
  look(
    nodes: () => readonly Node[],
    isHealthy: (node: Node) => boolean,
    nowMs: number,
    goodForMs: number,
  ): void {
    if (nowMs - this.#lookedMs < goodForMs) return;
    this.#lookedMs = nowMs;
    const counts = new Map<string, { ready: number; ill: number }>();
    for (const node of nodes()) {
      const zone = zoneOf(node);
      const count = counts.get(zone) ?? { ready: 0, ill: 0 };
      if (isHealthy(node)) count.ready++;
      else count.ill++;
      counts.set(zone, count);
    }
    this.#rates.clear();
    this.#allDisrupted = true;
    for (const [zone, { ready, ill }] of counts) {
      const health = healthOf(ready, ill);
      if (health !== "disrupted") this.#allDisrupted = false;
      this.#rates.set(zone, evictionRate(health, ready + ill));
    }
  }

  /** When the next node of the zone may be taken. */
  nextMs(zone: string): number {
    const before = this.#turns.get(zone);
    const perSecond = this.#rates.get(zone) ?? rate;
    if (perSecond === 0) return Number.POSITIVE_INFINITY;
    return before === undefined ? Number.NEGATIVE_INFINITY : before + 1_000 / perSecond;
  }

  taken(zone: string, nowMs: number): void {
    this.#turns.set(zone, nowMs);
  }
}
