import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { type AdmissionState, refusalOf } from "./admission.ts";
import { makeContainer, makePod } from "./testing/pods.ts";

const allocatable = { cpu: "2", memory: "4Gi", pods: "3" };
const node = { metadata: { name: "n", labels: { disk: "ssd" } }, spec: {} } as unknown as corev1.Node;

function admit(spec: Partial<corev1.PodSpec>, state: Partial<AdmissionState> = {}) {
  return refusalOf(makePod(spec), { others: [], node, allocatable, ...state });
}

const asking = (cpu: string) =>
  makePod({ containers: [makeContainer("main", { resources: { requests: { cpu } } })] });
const onPort = (hostPort: number, hostIP?: string) => ({
  containers: [
    makeContainer("main", { ports: [{ containerPort: 80, hostPort, ...(hostIP && { hostIP }) }] }),
  ],
});

test("a pod that fits is taken", () => {
  expect(admit(asking("500m").spec, { others: [asking("1500m")] })).toBeUndefined();
  expect(admit(onPort(80, "10.0.0.1"), { others: [makePod(onPort(80, "10.0.0.2"))] })).toBeUndefined();
  expect(admit({ nodeSelector: { disk: "ssd" } })).toBeUndefined();
});

test("resources that are not there are told with all amounts", () => {
  expect(admit(asking("600m").spec, { others: [asking("1500m")] })).toEqual({
    reason: "OutOfcpu",
    message:
      "Pod was rejected: Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000",
  });
  expect(admit({}, { others: [makePod(), makePod(), makePod()] })).toEqual({
    reason: "OutOfpods",
    message: "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
  });
  const resources = { requests: { "example.com/gpu": "1" } };
  expect(admit({ containers: [makeContainer("main", { resources })] })).toBeUndefined();
});

test("ports, labels and taints", () => {
  expect(admit(onPort(80), { others: [makePod(onPort(80, "10.0.0.2"))] })).toEqual({
    reason: "NodePorts",
    message:
      "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
  });
  expect(admit({ nodeSelector: { disk: "hdd" } })?.reason).toBe("NodeAffinity");
  expect(admit({ nodeSelector: { disk: "hdd" } }, { node: undefined })).toBeUndefined();
  const tainted = (effect: "NoExecute" | "NoSchedule") => ({
    node: { ...node, spec: { taints: [{ key: "k", effect }] } },
  });
  expect(admit({}, tainted("NoExecute"))?.reason).toBe("TaintToleration");
  expect(admit({ tolerations: [{ operator: "Exists" }] }, tainted("NoExecute"))).toBeUndefined();
  expect(admit({}, tainted("NoSchedule"))).toBeUndefined();
});
