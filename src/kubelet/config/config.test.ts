import fc from "fast-check";
import { expect, test } from "vitest";
import { formatGoDuration, parseGoDuration, UserError } from "#base";
import { kubeletConfigurationOf, readKubeletConfiguration } from "./file.ts";
import { defaultConfig } from "./settings.ts";

const head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

const read = (content: string, defaults?: object) =>
  readKubeletConfiguration([{ file: "kubelet.yaml", content }], defaults);

test("reads upstream's fields, and names those that change nothing", () => {
  const text = `${head}maxPods: 50
evictionHard: {memory.available: 1Gi, nodefs.available: 5%}
containerLogMaxSize: 1Mi
evictionPressureTransitionPeriod: 1m30s
crashLoopBackOff: {maxContainerRestartPeriod: 20s}
staticPodPath: /etc/kubernetes/manifests
cgroupDriver: systemd
tracing: {}
enableProfilingHandler: false
featureGates: {NodeSwap: true}
logging: {format: text}
enforceNodeAllocatable: [pods, system-reserved]
`;
  expect(read(text)).toEqual({
    config: {
      maxPods: 50,
      evictionHard: { "memory.available": "1Gi", "nodefs.available": "5%" },
      containerLogMaxBytes: 1024 * 1024,
      evictionPressureTransitionMs: 90_000,
      crashBackoffMaxMs: 20_000,
      featureGates: { NodeSwap: true },
      logging: { format: "text", verbosity: 0 },
      enforceNodeAllocatable: ["pods", "system-reserved"],
      staticPodPath: "/etc/kubernetes/manifests",
    },
    unused: [
      "cgroupDriver",
      "tracing",
      "enforceNodeAllocatable.system-reserved",
      "logging.format",
      "featureGates.NodeSwap",
    ],
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
  [
    `${head}topologyManagerPolicy: strict`,
    'must be one of: ["none" "best-effort" "restricted" "single-numa-node"]',
  ],
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
  [`${head}maxPods: -1`, "invalid configuration: maxPods (--max-pods) -1 must not be a negative number"],
  [`${head}podsPerCore: -1`, "podsPerCore (--pods-per-core) -1 must not be a negative number"],
  [
    `${head}nodeStatusMaxImages: -2`,
    "nodeStatusMaxImages (--node-status-max-images) -2 must be -1 or greater",
  ],
  [`${head}nodeLeaseDurationSeconds: -1`, "nodeLeaseDurationSeconds must be greater than 0"],
  [`${head}registryPullQPS: -1`, "registryPullQPS (--registry-qps) -1 must not be a negative number"],
  [`${head}maxParallelImagePulls: 0`, "maxParallelImagePulls 0 must be a positive number"],
  [
    `${head}serializeImagePulls: true\nmaxParallelImagePulls: 2`,
    "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is set to false",
  ],
  [
    `${head}cpuCFSQuotaPeriod: 200ms`,
    "cpuCFSQuotaPeriod (--cpu-cfs-quota-period) {200ms} requires feature gate CustomCPUCFSQuotaPeriod",
  ],
  [
    `${head}cpuCFSQuotaPeriod: 2s\nfeatureGates: {CustomCPUCFSQuotaPeriod: true}`,
    "cpuCFSQuotaPeriod (--cpu-cfs-quota-period) {2s} must be between 1ms and 1sec, inclusive",
  ],
  [
    `${head}imageGCHighThresholdPercent: 101\ncontainerLogMaxFiles: 1`,
    "[invalid configuration: imageGCHighThresholdPercent (--image-gc-high-threshold) 101 must be between 0 and 100, inclusive, invalid configuration: containerLogMaxFiles must be greater than 1]",
  ],
  [`${head}imageMaximumGCAge: 1m`, "imageMaximumGCAge 1m0s must be greater than imageMinimumGCAge 2m0s"],
  [`${head}imageMinimumGCAge: -1s`, "imageMinimumGCAge -1s must not be negative"],
  [`${head}imagePullCredentialsVerificationPolicy: Always`, 'option "Always" specified for'],
  [`${head}preloadedImagesVerificationAllowlist: [a]`, "can't set `preloadedImagesVerificationAllowlist`"],
  [`${head}containerLogMaxWorkers: 0`, "containerLogMaxWorkers must be greater than or equal to 1"],
  [`${head}containerLogMonitorInterval: 2s`, "must be a positive time duration greater than or equal to 3s"],
  [`${head}topologyManagerScope: node`, 'must be one of: "container", or "pod"'],
  [
    `${head}memorySwap: {swapBehavior: All}`,
    'swapBehavior "All" must be one of: "", "LimitedSwap" or "NoSwap"',
  ],
  [
    `${head}crashLoopBackOff: {maxContainerRestartPeriod: 10m}`,
    "MaxContainerRestartPeriod (got: 600 seconds) must be set between 1s and 300s",
  ],
  [`${head}enforceNodeAllocatable: [pods, none]`, 'may not contain additional enforcements when "none"'],
  [`${head}enforceNodeAllocatable: [pods, pods]`, 'duplicated enforcements "pods"'],
  [`${head}enforceNodeAllocatable: [all]`, 'Valid options are "pods", "system-reserved"'],
  [
    `${head}configMapAndSecretChangeDetectionStrategy: Poll`,
    'unknown configmap and secret manager mode: "Poll"',
  ],
  [`${head}featureGates: {NodeSwap: maybe}`, "featureGates must be true or false"],
])("refuses %j", (text, words) => {
  const attempt = () => read(text);
  expect(attempt).toThrow(UserError);
  expect(attempt).toThrow(words);
});

test.each([
  ["serializeImagePulls: true", { serializeImagePulls: true, maxParallelImagePulls: 1 }],
  ["serializeImagePulls: false", { serializeImagePulls: false, maxParallelImagePulls: 0 }],
  ["maxParallelImagePulls: 1", { serializeImagePulls: true, maxParallelImagePulls: 1 }],
  ["maxParallelImagePulls: 8", { serializeImagePulls: false, maxParallelImagePulls: 8 }],
  ["nodeStatusUpdateFrequency: 5s", { nodeStatusMs: 5000, nodeStatusReportMs: 5000 }],
  ["podPidsLimit: -7", { podPidsLimit: -1 }],
])("one setting decides over another: %s", (text, config) => {
  expect(read(head + text).config).toEqual(config);
});

test("eviction has the distribution's defaults for what is not named, where it is asked for", () => {
  const defaults = { evictionHard: { "nodefs.available": "5%", "imagefs.available": "5%" } };
  const hard = (text: string) => read(head + text, defaults).config.evictionHard;
  const given = "evictionHard: {nodefs.available: 1Gi}\n";
  expect(hard(given)).toEqual({ "nodefs.available": "1Gi" });
  expect(hard(`${given}mergeDefaultEvictionSettings: true`)).toEqual({
    "nodefs.available": "1Gi",
    "imagefs.available": "5%",
  });
});

test("the zeros of a file that kubeadm wrote stand for the defaults", () => {
  const written = `${head}authentication: {anonymous: {enabled: false}, webhook: {cacheTTL: 0s, enabled: true}}
containerRuntimeEndpoint: ""
cpuManagerReconcilePeriod: 0s
crashLoopBackOff: {}
evictionPressureTransitionPeriod: 0s
fileCheckFrequency: 0s
httpCheckFrequency: 0s
imageMaximumGCAge: 0s
imageMinimumGCAge: 0s
maxPods: 0
memorySwap: {}
nodeStatusReportFrequency: 0s
nodeStatusUpdateFrequency: 0s
runtimeRequestTimeout: 0s
shutdownGracePeriod: 0s
shutdownGracePeriodCriticalPods: 0s
streamingConnectionIdleTimeout: 0s
syncFrequency: 0s
volumeStatsAggPeriod: 0s
`;
  const { config } = read(written);
  expect({ ...defaultConfig, ...config }).toEqual(defaultConfig);
});

test("what is shown is read as the same", () => {
  const text = JSON.stringify({
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    ...kubeletConfigurationOf(defaultConfig),
  });
  const { config } = read(text);
  expect({ ...defaultConfig, ...config }).toEqual(defaultConfig);
});

test("a duration that is written is read as it was", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000_000 }), (ms) => {
      expect(parseGoDuration(formatGoDuration(ms))).toBeCloseTo(ms, 3);
    }),
  );
});
