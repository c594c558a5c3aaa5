import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { type AdmissionState, admissionOf } from "./admission.ts";
import { makeContainer, makePod } from "./testing/pods.ts";

const allocatable = { cpu: "2", memory: "4Gi", pods: "3" };
const node = { metadata: { name: "n", labels: { disk: "ssd" } }, spec: {} } as unknown as corev1.Node;

function admit(spec: Partial<corev1.PodSpec>, state: Partial<AdmissionState> = {}) {
  return admissionOf(makePod(spec), { others: [], node, allocatable, ...state }).refusal;
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
    message: "Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000",
  });
  expect(admit({}, { others: [makePod(), makePod(), makePod()] })).toEqual({
    reason: "OutOfpods",
    message: "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
  });
  const resources = { requests: { "example.com/gpu": "1" } };
  expect(admit({ containers: [makeContainer("main", { resources })] })).toBeUndefined();
});

test("ports, labels and taints", () => {
  expect(admit(onPort(80), { others: [makePod(onPort(80, "10.0.0.2"))] })).toEqual({
    reason: "NodePorts",
    message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
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

test("what this node cannot do is refused before anybody has to go", () => {
  expect(admit({ os: { name: "windows" } })).toEqual({
    reason: "PodOSNotSupported",
    message: "Failed to admit pod as the OS field doesn't match node OS",
  });
  expect(admit({ securityContext: { supplementalGroupsPolicy: "Strict" } })).toEqual({
    reason: "SupplementalGroupsPolicyNotSupported",
    message: "SupplementalGroupsPolicy=Strict is not supported in this node",
  });
});

test("what AppArmor shall confine does not run without it", () => {
  const profile = (type: "RuntimeDefault" | "Unconfined") => ({
    securityContext: { appArmorProfile: { type } },
  });
  expect(admit(profile("RuntimeDefault"), { lacksAppArmor: true })).toEqual({
    reason: "AppArmor",
    message: "Cannot enforce AppArmor: AppArmor is not enabled on the host",
  });
  expect(admit(profile("RuntimeDefault"))).toBeUndefined();
  expect(admit(profile("Unconfined"), { lacksAppArmor: true })).toBeUndefined();
});

test("nobody comes while the machine goes down", () => {
  expect(admit({}, { isShuttingDown: true })).toEqual({
    reason: "NodeShutdown",
    message: "Pod was rejected as the node is shutting down.",
  });
});

test("a critical pod takes the room of others, but not what else it lacks", () => {
  const critical = { ...asking("1"), spec: { ...asking("1").spec, priority: 2_000_000_000 } };
  const state = { others: [asking("1500m")], node, allocatable };
  expect(admissionOf(critical, state)).toEqual({ preempts: state.others });
  expect(admissionOf(asking("1"), state).refusal?.reason).toBe("OutOfcpu");
  const elsewhere = { ...critical, spec: { ...critical.spec, nodeSelector: { disk: "hdd" } } };
  expect(admissionOf(elsewhere, state).refusal?.reason).toBe("NodeAffinity");
  expect(
    admissionOf(critical, {
      ...state,
      others: [{ ...critical, spec: { ...critical.spec } }],
      allocatable: { cpu: "1500m" },
    }),
  ).toEqual({
    refusal: {
      reason: "UnexpectedAdmissionError",
      message:
        "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 500), ]",
    },
  });
});
