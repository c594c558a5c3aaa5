import fc from "fast-check";
import { expect, test } from "vitest";
import { formatGoDuration, parseGoDuration, UserError } from "#base";
import { kubeletConfigurationOf, readKubeletConfiguration } from "./file.ts";
import { defaultConfig } from "./settings.ts";

const head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

test("reads upstream's fields, and names those that change nothing", () => {
  const text = `${head}maxPods: 50
evictionHard: {memory.available: 1Gi, nodefs.available: 5%}
containerLogMaxSize: 1Mi
evictionPressureTransitionPeriod: 1m30s
crashLoopBackOff: {maxContainerRestartPeriod: 20s}
staticPodPath: /etc/kubernetes/manifests
cgroupDriver: systemd
tracing: {}
clusterDNS: [10.96.0.10]
podsPerCore: 3
providerID: cloud://1
nodeStatusMaxImages: -1
cpuCFSQuota: false
`;
  expect(readKubeletConfiguration(text, "kubelet.yaml")).toEqual({
    config: {
      maxPods: 50,
      evictionHard: { "memory.available": "1Gi", "nodefs.available": "5%" },
      containerLogMaxBytes: 1024 * 1024,
      evictionPressureTransitionMs: 90_000,
      crashBackoffMaxMs: 20_000,
      staticPodPath: "/etc/kubernetes/manifests",
      clusterDns: ["10.96.0.10"],
      podsPerCore: 3,
      providerId: "cloud://1",
      nodeImagesMax: -1,
      limitsCpu: false,
    },
    unused: ["cgroupDriver", "tracing"],
  });
});

test.each([
  ["", "must be a map"],
  ["[]", "must be a map"],
  ["a: [", "Flow sequence"],
  [`${head}maxPod: 5`, 'unknown field "maxPod"'],
  [`${head}constructor: 5`, 'unknown field "constructor"'],
  [`${head}maxPods: many`, "maxPods must be a whole number"],
  [`${head}registerWithTaints: [{key: a, effect: Gone}]`, "must be one of NoSchedule"],
  [`${head}cpuManagerPolicy: dynamic`, "must be one of none, static"],
  [`${head}cpuManagerPolicy: static`, "to be greater than zero"],
  [`${head}topologyManagerPolicy: strict`, "must be one of none, best-effort"],
  [`${head}topologyManagerPolicyOptions: {near: "true"}`, "unknown Topology Manager Policy option"],
  [`${head}cpuManagerPolicyOptions: {quick: "true"}`, "unknown CPU Manager Policy option"],
  [`${head}memoryManagerPolicy: Static`, "you should specify the system reserved memory"],
  [
    `${head}memoryManagerPolicy: Static\nreservedMemory: [{numaNode: 0, limits: {memory: 1Gi}}]`,
    "is not equal to the value",
  ],
  [`${head}shutdownGracePeriodCriticalPods: 10s`, "must be <= shutdownGracePeriod {0s}"],
  [`${head}shutdownGracePeriod: 100ms`, "must be either zero or otherwise >= 1 sec"],
  [
    `${head}shutdownGracePeriod: 10s\nshutdownGracePeriodByPodPriority: [{priority: 1, shutdownGracePeriodSeconds: 1}]`,
    "Cannot specify both",
  ],
  [`${head}userNamespaces: {idsPerPod: 70000}`, "must be a multiple of 65536"],
  [`${head}fileCheckFrequency: soon`, "must be a duration"],
  [`${head}imageGCLowThresholdPercent: 90`, "must be less than imageGCHighThresholdPercent"],
  [`${head}evictionSoft: {memory.available: 1Gi}`, "grace period must be specified"],
  [`${head}crashLoopBackOff: {behavior: x}`, 'unknown field "behavior"'],
  [`${head}allowedUnsafeSysctls: [vm.swappiness]`, "not known to be in a namespace"],
  [`${head}evictionHard: {memory.available: much}`, "must be a quantity"],
  [`${head}evictionHard: {cpu.available: 1}`, "unsupported eviction signal"],
])("refuses %j", (text, words) => {
  const attempt = () => readKubeletConfiguration(text, "kubelet.yaml");
  expect(attempt).toThrow(UserError);
  expect(attempt).toThrow(words);
});

test("serial pulls are one at once", () => {
  const { config } = readKubeletConfiguration(`${head}serializeImagePulls: true`, "f");
  expect(config).toEqual({ maxParallelImagePulls: 1 });
});

test("what is shown is read as the same", () => {
  const text = JSON.stringify({
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    ...kubeletConfigurationOf(defaultConfig),
  });
  const { config } = readKubeletConfiguration(text, "f");
  expect({ ...defaultConfig, ...config }).toEqual(defaultConfig);
});

test("a duration that is written is read as it was", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000_000 }), (ms) => {
      expect(parseGoDuration(formatGoDuration(ms))).toBeCloseTo(ms, 3);
    }),
  );
});
