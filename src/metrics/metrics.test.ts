import fc from "fast-check";
import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { answer, type Known, type Question } from "./answers.ts";
import { parseSample } from "./samples.ts";
import { amountsOf, type Usage, usageOf } from "./usage.ts";

const text = (seconds: number, atMs: number) => `# HELP x y
container_cpu_usage_seconds_total{container="main",namespace="default",pod="web"} ${seconds} ${atMs}
container_memory_working_set_bytes{container="main",namespace="default",pod="web"} 2048 ${atMs}
container_start_time_seconds{container="main",namespace="default",pod="web"} 1
container_memory_working_set_bytes{container="half",namespace="default",pod="web"} 2048 ${atMs}
node_cpu_usage_seconds_total ${seconds} ${atMs}
node_memory_working_set_bytes 4096 ${atMs}
`;

test("a kubelet's text is read, and what is only half there left out", () => {
  const sample = parseSample(text(3, 5000), 9000);
  expect(sample.node).toEqual({ cpuSeconds: 3, memoryBytes: 4096, atMs: 5000 });
  expect([...sample.containers]).toEqual([
    ["default/web/main", { cpuSeconds: 3, memoryBytes: 2048, atMs: 5000, startMs: 1000 }],
  ]);
});

test("no text breaks the reader", () => {
  const lines = fc.array(fc.oneof(fc.string(), fc.constant("node_cpu_usage_seconds_total NaN")));
  fc.assert(
    fc.property(lines, (parts) => {
      expect(parseSample(parts.join("\n"), 0).node).toBeUndefined();
    }),
  );
});

test("usage is what grew between two looks; a new container is counted from its start", () => {
  const [older, newer] = [parseSample(text(3, 5000), 0), parseSample(text(4, 7000), 0)];
  expect(usageOf(newer.node!, older.node)).toEqual({
    cpuNanoCores: 5e8,
    memoryBytes: 4096,
    atMs: 7000,
    windowMs: 2000,
  });
  expect(usageOf(newer.node!, undefined)).toBeUndefined();
  const container = newer.containers.get("default/web/main")!;
  expect(usageOf(container, undefined)).toMatchObject({ windowMs: 6000 });
  expect(usageOf(container, { ...container, startMs: 0 })).toMatchObject({ windowMs: 6000 });
  expect(amountsOf({ cpuNanoCores: 0, memoryBytes: 1025 } as Usage)).toEqual({ cpu: "0", memory: "1025" });
});

const usage: Usage = { cpuNanoCores: 1500, memoryBytes: 2048, atMs: 7000, windowMs: 2000 };
const pod = {
  metadata: { name: "web", namespace: "default", labels: { app: "web" } },
  spec: { nodeName: "n" },
  status: { containerStatuses: [{ name: "main", state: { running: {} } }] },
} as unknown as corev1.Pod;
const known: Known = {
  nodes: () => [{ metadata: { name: "n", labels: {} } } as corev1.Node],
  pods: (namespace) => (namespace === undefined || namespace === "default" ? [pod] : []),
  scraper: { node: () => usage, pod: () => new Map([["main", usage]]) },
  nowMs: 8000,
};
const ask = (path: string, query = "", asTable = false) =>
  answer({ path: `/apis/metrics.k8s.io/v1beta1${path}`, query: new URLSearchParams(query), asTable }, known);

test("nodes and pods are listed, found by name and by label", () => {
  expect(ask("")).toMatchObject({ kind: "APIResourceList", groupVersion: "metrics.k8s.io/v1beta1" });
  expect(ask("/nodes/n")).toMatchObject({
    kind: "NodeMetrics",
    timestamp: "1970-01-01T00:00:07Z",
    window: "2s",
    usage: { cpu: "1500n", memory: "2Ki" },
  });
  expect(ask("/namespaces/default/pods/web")).toMatchObject({
    kind: "PodMetrics",
    containers: [{ name: "main", usage: { cpu: "1500n", memory: "2Ki" } }],
  });
  expect(ask("/pods", "labelSelector=app=web")).toMatchObject({ items: [{ metadata: { name: "web" } }] });
  expect(ask("/pods", "labelSelector=app=other")).toMatchObject({ items: [] });
  expect(ask("/nodes", "", true)).toMatchObject({
    kind: "Table",
    rows: [{ cells: ["n", "1500n", "2Ki", "2s"] }],
  });
});

test("what is not there is not found, and other paths are not served", () => {
  expect(() => ask("/namespaces/other/pods/web")).toThrow('podmetrics.metrics.k8s.io "other/web" not found');
  expect(ask("/pods/web")).toBeUndefined();
  expect(ask("/services")).toBeUndefined();
});

test("a pod with a container that is not measured yet is left out", () => {
  const question: Question = {
    path: "/apis/metrics.k8s.io/v1beta1/pods",
    query: new URLSearchParams(),
    asTable: false,
  };
  const unmeasured = { ...known, scraper: { node: () => undefined, pod: () => new Map([["other", usage]]) } };
  expect(answer(question, unmeasured)).toMatchObject({ items: [] });
});
