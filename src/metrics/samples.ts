/**
 * The text of one kubelet's `/metrics/resource`, read: the few counters that usage is made of.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */

export interface Reading {
  cpuSeconds: number;
  memoryBytes: number;
  atMs: number;
  /** Of containers: when they started. */
  startMs?: number;
}

export interface NodeSample {
  node: Reading | undefined;
  /** Keys are `namespace/pod/container`: no name holds a slash. */
  containers: ReadonlyMap<string, Reading>;
}

const line = /^([a-z_]+)(?:\{([^}]*)\})? (\S+)(?: (\d+))?$/;
const label = /([a-z_]+)="([^"]*)"/g;

type Part = Partial<Reading>;

/** Which part of a reading a metric is. */
const parts: Readonly<Record<string, (value: number) => Part>> = {
  node_cpu_usage_seconds_total: (cpuSeconds) => ({ cpuSeconds }),
  node_memory_working_set_bytes: (memoryBytes) => ({ memoryBytes }),
  container_cpu_usage_seconds_total: (cpuSeconds) => ({ cpuSeconds }),
  container_memory_working_set_bytes: (memoryBytes) => ({ memoryBytes }),
  container_start_time_seconds: (seconds) => ({ startMs: seconds * 1000 }),
};

function isWhole(part: Part): part is Reading {
  return part.cpuSeconds !== undefined && part.memoryBytes !== undefined && part.atMs !== undefined;
}

/** Lines that it does not know are passed over; `nowMs` is for samples without a time of their own. */
export function parseSample(text: string, nowMs: number): NodeSample {
  const found = new Map<string, Part>();
  for (const each of text.split("\n")) {
    const [, name = "", labels = "", value = "", at] = line.exec(each) ?? [];
    const part = Object.hasOwn(parts, name) ? parts[name]!(Number(value)) : undefined;
    if (!part || !Number.isFinite(Number(value))) continue;
    const { namespace, pod, container } = Object.fromEntries(
      [...labels.matchAll(label)].map(([, key, text]) => [key, text]),
    );
    const key = name.startsWith("node_") ? "" : `${namespace}/${pod}/${container}`;
    const atMs = part.startMs === undefined ? { atMs: at ? Number(at) : nowMs } : {};
    found.set(key, { ...found.get(key), ...part, ...atMs });
  }
  const node = found.get("");
  found.delete("");
  const whole = [...found].filter((entry): entry is [string, Reading] => isWhole(entry[1]));
  return { node: node && isWhole(node) ? node : undefined, containers: new Map(whole) };
}
