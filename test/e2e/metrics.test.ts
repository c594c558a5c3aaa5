/** What pods use: `kubectl top`, an autoscaler that lives on it, and the kubelet's own pages with their access. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, needsRecentKubectl, newestKubectl } from "./harness.ts";

const kubectl = newestKubectl();
const busy = `apiVersion: apps/v1
kind: Deployment
metadata: { name: busy }
spec:
  selector: { matchLabels: { app: busy } }
  template:
    metadata: { labels: { app: busy } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: busybox:1.36
          command: [sh, -c, "while :; do :; done"]
          resources: { requests: { cpu: 50m }, limits: { cpu: 100m } }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: busy }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: busy }
  minReplicas: 1
  maxReplicas: 2
  metrics: [{ type: Resource, resource: { name: cpu, target: { type: Utilization, averageUtilization: 50 } } }]
`;

beforeAll(async () => {
  await kubectl.ok(["apply", "-f", "-"], { input: busy });
  await kubectl.ok(["rollout", "status", "deployment/busy", "--timeout=60s"]);
});
afterAll(() => kubectl.ok(["delete", "--wait=true", "-f", "-"], { input: busy }));

needsRecentKubectl("kubectl top tells what nodes and pods use", async () => {
  const row = await eventually("the pod's line", () =>
    kubectl
      .ok(["top", "pods", "-l", "app=busy", "--no-headers"])
      .then((text) => /^busy-\S+\s+(\d+)m\s+\d+Mi/m.exec(text) ?? undefined),
  );
  expect(Number(row[1])).toBeGreaterThan(10);
  expect(await kubectl.ok(["top", "nodes", "--no-headers"])).toMatch(/^\S+\s+\d+m\s+\d+%\s+\d+Mi\s+\d+%/);
});

test("an autoscaler scales by the processor time that is used", async () => {
  const replicas = await eventually(
    "two replicas",
    async () => {
      const text = await kubectl.ok(["get", "deployment", "busy", "-o", "jsonpath={.spec.replicas}"]);
      return text === "2" ? text : undefined;
    },
    90_000,
  );
  expect(replicas).toBe("2");
});

test("the kubelet's pages are read through the API server", async () => {
  const node = await kubectl.ok(["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
  const page = (path: string) => kubectl.ok(["get", "--raw", `/api/v1/nodes/${node}/proxy/${path}`]);
  expect(JSON.parse(await page("stats/summary"))).toMatchObject({ node: { nodeName: node } });
  expect(JSON.parse(await page("configz"))).toMatchObject({ kubeletconfig: { maxPods: 110 } });
  expect(await page("metrics/cadvisor")).toMatch(/container_memory_working_set_bytes\{container="main"/);
  expect(await page("metrics/resource")).toMatch(/^node_cpu_usage_seconds_total/m);
  expect(await page("metrics/probes")).toBeDefined();
});
