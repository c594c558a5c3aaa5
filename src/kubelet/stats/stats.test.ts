import fc from "fast-check";
import { expect, test } from "vitest";
import { makeContainer, makePod } from "../testing/pods.ts";
import { cadvisorMetrics } from "./cadvisor-metrics.ts";
import type { GroupUsage } from "./cgroup-usage.ts";
import { expositionOf } from "./exposition.ts";
import { cpuTimeOf, interfacesOf, machineMemoryOf } from "./host-usage.ts";
import type { NodeUsage } from "./observation.ts";
import { parsePressure } from "./pressure.ts";
import { resourceMetrics } from "./resource-metrics.ts";
import { Rates, summaryOf } from "./summary.ts";

const group: GroupUsage = {
  cpu: { totalNs: 2e9, userNs: 1e9, systemNs: 1e9, periods: 10, throttledPeriods: 1, throttledNs: 5 },
  memory: {
    usageBytes: 300,
    workingSetBytes: 200,
    rssBytes: 100,
    cacheBytes: 50,
    swapBytes: 7,
    limitBytes: 1000,
    pageFaults: 3,
    majorPageFaults: 1,
  },
  processes: 4,
};
const disk = {
  capacityBytes: 1000,
  availableBytes: 400,
  usedBytes: 600,
  inodes: 10,
  inodesFree: 4,
  inodesUsed: 6,
};

function usageAt(atMs: number, totalNs: number): NodeUsage {
  const now = { ...group, cpu: { ...group.cpu, totalNs } };
  const pod = makePod({ containers: [makeContainer("main", { resources: { limits: { cpu: "500m" } } })] });
  const folder = { usedBytes: 10, inodesUsed: 1 };
  return {
    atMs,
    bootMs: 1000,
    cpuNs: totalNs,
    memory: machineMemoryOf("MemTotal: 10 kB\nMemFree: 4 kB\nInactive(file): 1 kB\n"),
    interfaces: [],
    processes: { now: 5, max: 100 },
    podsGroup: now,
    disks: {
      node: disk,
      image: { ...disk, usedByImagesBytes: 9, inodesUsedByImages: 2 },
      isShared: true,
    },
    pods: [
      {
        pod,
        startedMs: 2000,
        groupPath: "/pods/poduid-1",
        group: now,
        sandboxId: "s0",
        interfaces: interfacesOf("a|b\n lo: 1 2 3\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n"),
        containers: [
          {
            id: "c1",
            name: "main",
            image: "web:1",
            startedMs: 2500,
            groupPath: "/pods/poduid-1/c1",
            group: now,
            rootfs: folder,
            logs: folder,
          },
        ],
        volumes: [
          { name: "data", folder, fileSystem: disk, isEphemeral: true },
          { name: "claim", folder, fileSystem: disk, isEphemeral: false, claim: "c" },
        ],
      },
    ],
  };
}

test("the machine's own files are read", () => {
  expect(cpuTimeOf("cpu  1 2 3 1000 1000 4 5 6 7 8\ncpu0 1 2\n")).toBe(21 * 10_000_000);
  expect(usageAt(0, 0).memory).toMatchObject({
    usageBytes: 6144,
    workingSetBytes: 5120,
    availableBytes: 5120,
  });
  expect(usageAt(0, 0).pods[0]!.interfaces).toEqual([
    {
      name: "eth0",
      rxBytes: 1,
      rxPackets: 2,
      rxErrors: 3,
      rxDropped: 4,
      txBytes: 5,
      txPackets: 6,
      txErrors: 7,
      txDropped: 8,
    },
  ]);
});

test("nothing a kernel file may hold breaks a reader", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(cpuTimeOf(text)).toBeGreaterThanOrEqual(Number.NEGATIVE_INFINITY);
      expect(interfacesOf(text)).toBeInstanceOf(Array);
      expect(machineMemoryOf(text)).toHaveProperty("totalBytes");
    }),
  );
});

test("a label's value stays on its line, and ends where it ends", () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      const text = expositionOf([
        { name: "m", help: "h", type: "gauge", samples: [{ labels: { l: value }, value: 1 }] },
      ]);
      const [, , line, ...rest] = text.split("\n");
      expect(rest).toEqual([""]);
      const inside = /^m\{l="((?:[^"\\]|\\[\\n"])*)"\} 1$/s.exec(line!)![1]!;
      expect(inside.replaceAll(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c))).toBe(value);
    }),
  );
});

test("a summary has rates from its second look on, and adds up what a pod takes of the disk", () => {
  const rates = new Rates();
  const first = summaryOf("node-1", usageAt(10_000, 1e9), rates) as { node: { cpu: object } };
  expect(first.node.cpu).not.toHaveProperty("usageNanoCores");
  const second = summaryOf("node-1", usageAt(12_000, 2e9), rates);
  expect(second).toMatchObject({
    node: { nodeName: "node-1", cpu: { usageNanoCores: 5e8 }, rlimit: { maxpid: 100, curproc: 5 } },
    pods: [
      {
        podRef: { name: "web", namespace: "default", uid: "uid-1" },
        cpu: { usageNanoCores: 5e8 },
        memory: { availableBytes: 800, workingSetBytes: 200 },
        network: { name: "eth0", rxBytes: 1, txBytes: 5 },
        // What it writes, its log and its own volume; not the claim's.
        "ephemeral-storage": { usedBytes: 30, inodesUsed: 3 },
        volume: [{ name: "data" }, { name: "claim", pvcRef: { name: "c", namespace: "default" } }],
        process_stats: { process_count: 4 },
      },
    ],
  });
});

test("metrics have upstream's names and labels", () => {
  expect(resourceMetrics(usageAt(10_000, 2e9)).split("\n")).toEqual(
    expect.arrayContaining([
      'container_cpu_usage_seconds_total{container="main",namespace="default",pod="web"} 2 10000',
      'pod_memory_working_set_bytes{namespace="default",pod="web"} 200 10000',
      'container_start_time_seconds{container="main",namespace="default",pod="web"} 2.5',
      "node_cpu_usage_seconds_total 2 10000",
      "resource_scrape_error 0",
    ]),
  );
  expect(resourceMetrics(undefined)).toContain("resource_scrape_error 1");
  expect(cadvisorMetrics(usageAt(10_000, 2e9), { cpus: 2, cfsPeriodUs: 100_000 }).split("\n")).toEqual(
    expect.arrayContaining([
      'container_spec_cpu_quota{container="main",id="/pods/poduid-1/c1",image="web:1",name="c1",namespace="default",pod="web"} 50000 10000',
      'container_network_receive_bytes_total{container="",id="/pods/poduid-1",image="",interface="eth0",name="",namespace="default",pod="web"} 1 10000',
      "machine_cpu_cores 2",
    ]),
  );
  const cpuTime = (cfsPeriodUs: number) =>
    cadvisorMetrics(usageAt(10_000, 2e9), { cpus: 2, cfsPeriodUs })
      .split("\n")
      .flatMap(
        (each) => /^container_spec_cpu_(period|quota)\{.* (\d+) 10000$/.exec(each)?.slice(1).join(" ") ?? [],
      );
  expect(cpuTime(20_000)).toEqual(["period 20000", "quota 10000"]);
  expect(cpuTime(0)).toEqual(["period 100000"]);
});

const stalls = (total: number) => ({ total, avg10: 1.5, avg60: 0, avg300: 0.25 });
const line = (kind: string, total: number) => `${kind} avg10=1.50 avg60=0.00 avg300=0.25 total=${total}\n`;

test("pressure is read as the kernel writes it, with and without tasks that all wait", () => {
  const none = { total: 0, avg10: 0, avg60: 0, avg300: 0 };
  expect(parsePressure(line("some", 7) + line("full", 3))).toEqual({ some: stalls(7), full: stalls(3) });
  expect(parsePressure(line("some", 7))).toEqual({ some: stalls(7), full: none });
  expect(parsePressure("")).toEqual({ some: none, full: none });
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const { total, avg10 } of Object.values(parsePressure(text)))
        expect([total, avg10].every((value) => !Number.isNaN(value))).toBe(true);
    }),
  );
});

test("pressure is shown of nodes, pods and containers where the kernel tells, and nowhere else", () => {
  const of = (total: number) => ({ some: stalls(total), full: stalls(total / 2) });
  const pressure = { cpu: of(2_000_000), memory: of(4_000_000), io: of(6_000_000) };
  const usage = usageAt(10_000, 1e9);
  const [pod] = usage.pods;
  const container = { ...pod!.containers[0]!, group: { ...group, pressure } };
  const told = {
    ...usage,
    pressure,
    pods: [{ ...pod!, group: { ...group, pressure }, containers: [container] }],
  };
  const parts = (given: NodeUsage) => {
    const { node, pods } = summaryOf("n", given, new Rates()) as {
      node: object;
      pods: { containers: object[] }[];
    };
    return [node, pods[0], pods[0]?.containers[0]];
  };
  for (const part of parts(told))
    expect(part).toMatchObject({
      cpu: { psi: pressure.cpu },
      memory: { psi: pressure.memory },
      io: { psi: pressure.io },
    });
  expect(JSON.stringify(parts(usage))).not.toContain("psi");
  const metrics = cadvisorMetrics(told, { cpus: 1, cfsPeriodUs: 100_000 });
  expect(metrics).toMatch(/container_pressure_cpu_waiting_seconds_total\{container="main".*\} 2 /);
  expect(metrics).toMatch(/container_pressure_io_stalled_seconds_total\{container="".*\} 3 /);
  expect(cadvisorMetrics(usage, { cpus: 1, cfsPeriodUs: 100_000 })).not.toMatch(/pressure\w+\{/);
});
