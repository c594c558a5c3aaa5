/** Upstream's scheduler_perf at 5,000 nodes: API server, controllers and scheduler in one process, pods created as fast as it takes them. */
import type { Benchmark } from "../measure.ts";
import { measure } from "./perf.ts";
import { nodeCount, workloads } from "./workloads.ts";

export default async function bench(): Promise<Benchmark> {
  const rows = [];
  for (const workload of workloads) {
    const { rate, cpuMicros } = await measure(workload);
    const samples = [rate];
    const note = `${cpuMicros} µs of CPU a pod`;
    const { name, goal, threshold, measured } = workload;
    const peer = threshold && { name: `upstream's threshold of ${threshold}`, samples: [threshold] };
    const row = { what: `${name}, ${measured.count} pods`, unit: "1/s" as const, samples, note };
    rows.push({ ...row, ...(goal ? { goal } : {}), ...(peer ? { peer } : {}) });
  }
  return {
    title: `Pods created and given a node, ${nodeCount} nodes, shapes of upstream's scheduler_perf`,
    rows,
  };
}
