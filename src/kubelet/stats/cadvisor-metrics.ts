/**
 * `/metrics/cadvisor`: containers, pods and the machine under the names that dashboards and alerts know. Pure.
 * https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md
 */
import { quantityMilliValue } from "#api";
import { containerNamed } from "../pod-containers.ts";
import { cpuQuota, cpuShares } from "../pod-resources.ts";
import type { GroupUsage } from "./cgroup-usage.ts";
import { expositionOf, type Family } from "./exposition.ts";
import type { InterfaceUsage } from "./host-usage.ts";
import type { ContainerUsage, NodeUsage, PodUsage } from "./observation.ts";

type Labels = Record<string, string>;

interface Group {
  labels: Labels;
  usage: GroupUsage;
  startedMs: number;
  /** Of containers only. */
  container?: ContainerUsage;
  pod?: PodUsage;
}

/** Every group: containers by their names, pods without. */
function groupsOf(usage: NodeUsage): Group[] {
  return usage.pods.flatMap((pod): Group[] => {
    const { name, namespace = "" } = pod.pod.metadata;
    const whole = { container: "", id: pod.groupPath, image: "", name: "", namespace, pod: name };
    const containers = pod.containers.map((container) => ({
      labels: {
        container: container.name,
        id: container.groupPath,
        image: container.image,
        name: container.id,
        namespace,
        pod: name,
      },
      usage: container.group,
      startedMs: container.startedMs,
      container,
      pod,
    }));
    return pod.group
      ? [{ labels: whole, usage: pod.group, startedMs: pod.startedMs }, ...containers]
      : containers;
  });
}

interface Row {
  name: string;
  help: string;
  type: Family["type"];
  value(group: Group): number | undefined;
  labels?: Labels;
}

/** The kernel's own. */
const usualPeriodUs = 100_000;

const seconds = (ns: number) => ns / 1e9;

/** What the specification gives a container, in thousandths of a processor. */
const cpuOf = ({ container, pod }: Group, which: "requests" | "limits") =>
  container && pod
    ? quantityMilliValue(containerNamed(pod.pod, container.name)?.resources?.[which]?.cpu)
    : undefined;

const rows: readonly Row[] = [
  {
    name: "container_cpu_usage_seconds_total",
    help: "Cumulative cpu time consumed in seconds.",
    type: "counter",
    value: ({ usage }) => seconds(usage.cpu.totalNs),
    labels: { cpu: "total" },
  },
  {
    name: "container_cpu_user_seconds_total",
    help: "Cumulative user cpu time consumed in seconds.",
    type: "counter",
    value: ({ usage }) => seconds(usage.cpu.userNs),
  },
  {
    name: "container_cpu_system_seconds_total",
    help: "Cumulative system cpu time consumed in seconds.",
    type: "counter",
    value: ({ usage }) => seconds(usage.cpu.systemNs),
  },
  {
    name: "container_cpu_cfs_periods_total",
    help: "Number of elapsed enforcement period intervals.",
    type: "counter",
    value: ({ usage }) => usage.cpu.periods,
  },
  {
    name: "container_cpu_cfs_throttled_periods_total",
    help: "Number of throttled period intervals.",
    type: "counter",
    value: ({ usage }) => usage.cpu.throttledPeriods,
  },
  {
    name: "container_cpu_cfs_throttled_seconds_total",
    help: "Total time duration the container has been throttled.",
    type: "counter",
    value: ({ usage }) => seconds(usage.cpu.throttledNs),
  },
  {
    name: "container_memory_usage_bytes",
    help: "Current memory usage in bytes, including all memory regardless of when it was accessed",
    type: "gauge",
    value: ({ usage }) => usage.memory.usageBytes,
  },
  {
    name: "container_memory_working_set_bytes",
    help: "Current working set in bytes.",
    type: "gauge",
    value: ({ usage }) => usage.memory.workingSetBytes,
  },
  {
    name: "container_memory_rss",
    help: "Size of RSS in bytes.",
    type: "gauge",
    value: ({ usage }) => usage.memory.rssBytes,
  },
  {
    name: "container_memory_cache",
    help: "Number of bytes of page cache memory.",
    type: "gauge",
    value: ({ usage }) => usage.memory.cacheBytes,
  },
  {
    name: "container_memory_swap",
    help: "Container swap usage in bytes.",
    type: "gauge",
    value: ({ usage }) => usage.memory.swapBytes,
  },
  {
    name: "container_processes",
    help: "Number of processes running inside the container.",
    type: "gauge",
    value: ({ usage }) => usage.processes,
  },
  {
    name: "container_start_time_seconds",
    help: "Start time of the container since unix epoch in seconds.",
    type: "gauge",
    value: ({ startedMs }) => startedMs / 1000,
  },
  {
    name: "container_spec_memory_limit_bytes",
    help: "Memory limit for the container.",
    type: "gauge",
    value: ({ usage }) => usage.memory.limitBytes,
  },
  {
    name: "container_spec_cpu_shares",
    help: "CPU share of the container.",
    type: "gauge",
    value: (group) =>
      group.container ? cpuShares(cpuOf(group, "requests") || (cpuOf(group, "limits") ?? 0)) : undefined,
  },
  {
    name: "container_fs_usage_bytes",
    help: "Number of bytes that are consumed by the container on this filesystem.",
    type: "gauge",
    value: ({ container }) => container?.rootfs?.usedBytes,
    labels: { device: "" },
  },
];

/** The time that limits of CPU hold in; 0: they do not hold. */
const timeRows = (cfsPeriodUs: number): readonly Row[] => [
  {
    name: "container_spec_cpu_period",
    help: "CPU period of the container.",
    type: "gauge",
    value: (group) => (group.container ? cfsPeriodUs || usualPeriodUs : undefined),
  },
  {
    name: "container_spec_cpu_quota",
    help: "CPU quota of the container.",
    type: "gauge",
    value: (group) =>
      cfsPeriodUs > 0 ? cpuQuota(cpuOf(group, "limits") ?? 0, cfsPeriodUs) || undefined : undefined,
  },
];

/** Only where the kernel tells. */
function pressureRows(): Row[] {
  const resources = [
    ["cpu", "CPU"],
    ["memory", "memory"],
    ["io", "IO"],
  ] as const;
  return resources.flatMap(([resource, said]): Row[] => {
    const row = (name: string, how: string, kind: "full" | "some"): Row => ({
      name: `container_pressure_${resource}_${name}_seconds_total`,
      help: `Total time duration ${how} in the container due to ${said} congestion.`,
      type: "counter",
      value: ({ usage }) => usage.pressure && usage.pressure[resource][kind].total / 1e6,
    });
    return [
      row("stalled", "no tasks could make progress", "full"),
      row("waiting", "tasks have waited", "some"),
    ];
  });
}

const interfaceRows: readonly [name: string, help: string, value: keyof Omit<InterfaceUsage, "name">][] = [
  ["container_network_receive_bytes_total", "Cumulative count of bytes received", "rxBytes"],
  ["container_network_receive_packets_total", "Cumulative count of packets received", "rxPackets"],
  [
    "container_network_receive_errors_total",
    "Cumulative count of errors encountered while receiving",
    "rxErrors",
  ],
  [
    "container_network_receive_packets_dropped_total",
    "Cumulative count of packets dropped while receiving",
    "rxDropped",
  ],
  ["container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", "txBytes"],
  ["container_network_transmit_packets_total", "Cumulative count of packets transmitted", "txPackets"],
  [
    "container_network_transmit_errors_total",
    "Cumulative count of errors encountered while transmitting",
    "txErrors",
  ],
  [
    "container_network_transmit_packets_dropped_total",
    "Cumulative count of packets dropped while transmitting",
    "txDropped",
  ],
];

function networkFamilies(usage: NodeUsage): Family[] {
  return interfaceRows.map(([name, help, field]) => ({
    name,
    help,
    type: "counter",
    samples: usage.pods.flatMap(({ pod, groupPath, interfaces }) =>
      interfaces.map((each) => ({
        labels: {
          container: "",
          id: groupPath,
          image: "",
          interface: each.name,
          name: "",
          namespace: pod.metadata.namespace ?? "",
          pod: pod.metadata.name,
        },
        value: each[field],
        atMs: usage.atMs,
      })),
    ),
  }));
}

export function cadvisorMetrics(usage: NodeUsage, machine: { cpus: number; cfsPeriodUs: number }): string {
  const groups = groupsOf(usage);
  const families = [...rows, ...timeRows(machine.cfsPeriodUs), ...pressureRows()].map(
    ({ name, help, type, value, labels }): Family => ({
      name,
      help,
      type,
      samples: groups.flatMap((group) => {
        const found = value(group);
        return found === undefined
          ? []
          : [{ labels: { ...group.labels, ...labels }, value: found, atMs: usage.atMs }];
      }),
    }),
  );
  const ofMachine = (name: string, help: string, value: number): Family => ({
    name,
    help,
    type: "gauge",
    samples: [{ labels: {}, value }],
  });
  return expositionOf([
    ...families,
    ...networkFamilies(usage),
    ofMachine("machine_cpu_cores", "Number of logical CPU cores.", machine.cpus),
    ofMachine("machine_memory_bytes", "Amount of memory installed on the machine.", usage.memory.totalBytes),
  ]);
}
