/** Metrics (prom-client), one registry per cluster: nothing global, so several clusters live in one process. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";

export type { Counter, Gauge, Histogram } from "prom-client";

/** Upstream's default latency buckets, in seconds. */
const latencyBuckets = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** As Prometheus' own: `count` bounds, each `factor` times the one before. */
export function exponentialBuckets(start: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => start * factor ** i);
}

export class Metrics {
  readonly #registry = new Registry();

  counter<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return (
      this.#known<Counter<L>>(name) ?? new Counter({ name, help, labelNames, registers: [this.#registry] })
    );
  }

  gauge<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> {
    return this.#known<Gauge<L>>(name) ?? new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }

  /** A histogram of seconds. */
  latency<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Histogram<L> {
    return this.histogram(name, help, latencyBuckets, labelNames);
  }

  histogram<L extends string>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly L[] = [],
  ): Histogram<L> {
    return (
      this.#known<Histogram<L>>(name) ??
      new Histogram({ name, help, labelNames, buckets: [...buckets], registers: [this.#registry] })
    );
  }

  /** Components that run several times in one process (queues, informers) share a metric by its name. */
  #known<M>(name: string): M | undefined {
    return this.#registry.getSingleMetric(name) as M | undefined;
  }

  /** The Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}
