/**
 * What of a configuration cannot be, in upstream's words. Pure.
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/apis/config/validation/validation.go
 */
import { quantityMilliValue } from "#api";
import { formatGoDuration, messageOf } from "#base";
import { reservedMemoryOf } from "../memory/reserved.ts";
import { tlsProblems } from "../server/tls.ts";
import type { KubeletConfig } from "./settings.ts";

export interface Problem {
  words: string;
  mend?: string;
}

type Check = (config: KubeletConfig) => readonly (Problem | false)[];

const invalid = (words: string): Problem => ({ words: `invalid configuration: ${words}` });
const outside = (value: number, min: number, max: number) => value < min || value > max;
const quoted = (value: string) => JSON.stringify(value);
/** As Go shows its own type of durations. */
const shownMs = (ms: number) => `{${ms < 0 ? "-" : ""}${formatGoDuration(Math.abs(ms))}}`;

export const periodGate = "CustomCPUCFSQuotaPeriod";

function negative(value: number, name: string, flag: string): Problem | false {
  return value < 0 && invalid(`${name} (--${flag}) ${value} must not be a negative number`);
}

const numbers: Check = (config) => [
  config.nodeLeaseSeconds <= 0 && invalid("nodeLeaseDurationSeconds must be greater than 0"),
  config.nodeStatusMaxImages < -1 &&
    invalid(
      `nodeStatusMaxImages (--node-status-max-images) ${config.nodeStatusMaxImages} must be -1 or greater`,
    ),
  negative(config.eventBurst, "eventBurst", "event-burst"),
  negative(config.eventQps, "eventRecordQPS", "event-qps"),
  negative(config.kubeApiBurst, "kubeAPIBurst", "kube-api-burst"),
  negative(config.kubeApiQps, "kubeAPIQPS", "kube-api-qps"),
  negative(config.maxOpenFiles, "maxOpenFiles", "max-open-files"),
  outside(config.oomScoreAdj ?? 0, -1000, 1000) &&
    invalid(`oomScoreAdj (--oom-score-adj) ${config.oomScoreAdj} must be between -1000 and 1000, inclusive`),
  !["json", "text"].includes(config.logging.format) && {
    words: `logging.format: Invalid value: ${quoted(config.logging.format)}: Unsupported log format`,
  },
  negative(config.maxPods, "maxPods", "max-pods"),
  negative(config.podsPerCore, "podsPerCore", "pods-per-core"),
  negative(config.registryBurst, "registryBurst", "registry-burst"),
  negative(config.registryPullQps, "registryPullQPS", "registry-qps"),
];

const period: Check = ({ cpuCfsPeriodMs: ms, featureGates }) => {
  const name = `cpuCFSQuotaPeriod (--cpu-cfs-quota-period) ${shownMs(ms)}`;
  if (featureGates[periodGate])
    return [outside(ms, 1, 1000) && invalid(`${name} must be between 1ms and 1sec, inclusive`)];
  return [ms !== 100 && invalid(`${name} requires feature gate ${periodGate}`)];
};

function percentage(value: number, name: string, flag: string): Problem | false {
  return (
    outside(value, 0, 100) && invalid(`${name} (--${flag}) ${value} must be between 0 and 100, inclusive`)
  );
}

const imageGc: Check = ({ imageGcHighPercent: high, imageGcLowPercent: low, ...config }) => {
  const { imageGcMaxAgeMs: oldest, imageGcMinAgeMs: youngest } = config;
  const shown = (ms: number) => shownMs(ms).slice(1, -1);
  return [
    percentage(high, "imageGCHighThresholdPercent", "image-gc-high-threshold"),
    percentage(low, "imageGCLowThresholdPercent", "image-gc-low-threshold"),
    low >= high && {
      ...invalid(
        `imageGCLowThresholdPercent (--image-gc-low-threshold) ${low} must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) ${high}`,
      ),
      mend: "give a smaller imageGCLowThresholdPercent",
    },
    youngest < 0 && invalid(`imageMinimumGCAge ${shown(youngest)} must not be negative`),
    oldest < 0 && invalid(`imageMaximumGCAge ${shown(oldest)} must not be negative`),
    oldest > 0 &&
      oldest <= youngest &&
      invalid(`imageMaximumGCAge ${shown(oldest)} must be greater than imageMinimumGCAge ${shown(youngest)}`),
  ];
};

const verifications = [
  "NeverVerify",
  "NeverVerifyPreloadedImages",
  "NeverVerifyAllowlistedImages",
  "AlwaysVerify",
];

const imagePulls: Check = (config) => {
  const { serializeImagePulls, maxParallelImagePulls: most, imageVerification, imagesNotVerified } = config;
  const [first, second, third, last] = verifications.map(quoted);
  return [
    most < 0 && invalid(`maxParallelImagePulls ${most} must be a positive number`),
    serializeImagePulls &&
      most > 1 &&
      invalid(
        "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is set to false",
      ),
    !verifications.includes(imageVerification) &&
      invalid(
        `option ${quoted(imageVerification)} specified for imagePullCredentialsVerificationPolicy. Valid options are ${first}, ${second}, ${third} or ${last}`,
      ),
    imagesNotVerified.length > 0 &&
      imageVerification !== "NeverVerifyAllowlistedImages" &&
      invalid(
        'can\'t set `preloadedImagesVerificationAllowlist` if `imagePullCredentialsVertificationPolicy` is not "NeverVerifyAllowlistedImages"',
      ),
  ];
};

const policies = ["none", "best-effort", "restricted", "single-numa-node"];

const placing: Check = ({ topologyManagerPolicy: policy, topologyManagerScope: scope, swapBehavior }) => [
  !policies.includes(policy) &&
    invalid(
      `topologyManagerPolicy (--topology-manager-policy) ${quoted(policy)} must be one of: [${policies.map(quoted).join(" ")}]`,
    ),
  !["container", "pod"].includes(scope) &&
    invalid(
      `topologyManagerScope (--topology-manager-scope) ${quoted(scope)} must be one of: "container", or "pod"`,
    ),
  !["", "NoSwap", "LimitedSwap"].includes(swapBehavior) &&
    invalid(`memorySwap.swapBehavior ${quoted(swapBehavior)} must be one of: "", "LimitedSwap" or "NoSwap"`),
];

const shutdown: Check = (config) => {
  const { shutdownGraceMs: all, shutdownGraceCriticalMs: critical, shutdownGraceByPriority } = config;
  const tooShort = (name: string, ms: number) =>
    ms > 0 && ms < 1000 && invalid(`${name} ${shownMs(ms)} must be either zero or otherwise >= 1 sec`);
  return [
    critical > all &&
      invalid(
        `shutdownGracePeriodCriticalPods ${shownMs(critical)} must be <= shutdownGracePeriod ${shownMs(all)}`,
      ),
    tooShort("shutdownGracePeriod", all),
    tooShort("shutdownGracePeriodCriticalPods", critical),
    shutdownGraceByPriority.length > 0 &&
      (all > 0 || critical > 0) &&
      invalid(
        "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time",
      ),
  ];
};

const restarts: Check = ({ crashBackoffMaxMs: ms }) => [
  outside(ms, 1000, 300_000) &&
    invalid(
      `CrashLoopBackOff.MaxContainerRestartPeriod (got: ${ms / 1000} seconds) must be set between 1s and 300s`,
    ),
];

const logs: Check = (config) => [
  config.containerLogMaxWorkers < 1 && invalid("containerLogMaxWorkers must be greater than or equal to 1"),
  config.containerLogMonitorMs < 3000 &&
    invalid("containerLogMonitorInterval must be a positive time duration greater than or equal to 3s"),
  config.containerLogMaxFiles <= 1 && invalid("containerLogMaxFiles must be greater than 1"),
];

const enforcements = [
  "pods",
  "system-reserved",
  "system-reserved-compressible",
  "kube-reserved",
  "kube-reserved-compressible",
  "none",
];

const enforced: Check = ({ enforceNodeAllocatable: given }) =>
  given.map((name, index) => {
    const field = "enforceNodeAllocatable (--enforce-node-allocatable)";
    if (given.indexOf(name) < index) return invalid(`duplicated enforcements ${quoted(name)} in ${field}`);
    const valid = enforcements.map(quoted);
    if (!enforcements.includes(name))
      return invalid(
        `option ${quoted(name)} specified for ${field}. Valid options are ${valid.slice(0, -1).join(", ")} or ${valid.at(-1)}`,
      );
    return (
      name === "none" &&
      given.length > 1 &&
      invalid(`${field} may not contain additional enforcements when "none" is specified`)
    );
  });

function port(value: number, name: string, flag: string, words: string): Problem | false {
  return (
    outside(value, 0, 65_535) && invalid(`${name} (--${flag}) ${value} must be between ${words}, inclusive`)
  );
}

const server: Check = (config) => [
  port(config.port, "port", "port", "1 and 65535"),
  port(config.readOnlyPort, "readOnlyPort", "read-only-port", "0 and 65535"),
  port(config.healthzPort, "healthzPort", "healthz-port", "1 and 65535"),
  !["Webhook", "AlwaysAllow"].includes(config.authorization.mode) && {
    words: `unknown authorization mode ${config.authorization.mode}`,
    mend: "give authorization: {mode: Webhook} or AlwaysAllow",
  },
  ...tlsProblems(config).map((words) => ({ words })),
];

const strategies = ["Watch", "Cache", "Get"];

const objects: Check = ({ changeDetection }) => [
  !strategies.includes(changeDetection) && {
    words: `unknown configmap and secret manager mode: ${quoted(changeDetection)}`,
    mend: `give one of ${strategies.join(", ")}`,
  },
];

const processors: Check = (config) => {
  const reserves = [config.kubeReserved.cpu, config.systemReserved.cpu];
  const isKeptBack = config.reservedCpus || reserves.some((amount) => quantityMilliValue(amount) > 0);
  return [
    config.cpuManagerPolicy === "static" &&
      !isKeptBack && {
        words: "the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero",
        mend: "give systemReserved: {cpu: 500m}, or reservedSystemCPUs",
      },
  ];
};

const memory: Check = (config) => {
  if (config.memoryManagerPolicy !== "Static") return [];
  try {
    reservedMemoryOf(config);
    return [];
  } catch (error) {
    const mend = "give reservedMemory: [{numaNode: 0, limits: {memory: …}}] with that sum";
    return [{ words: messageOf(error), mend }];
  }
};

const eviction: Check = ({ evictionSoft, evictionSoftGracePeriodMs }) =>
  Object.keys(evictionSoft).map(
    (signal) =>
      evictionSoftGracePeriodMs[signal] === undefined && {
        words: `grace period must be specified for the soft eviction threshold ${signal}`,
        mend: `give evictionSoftGracePeriod: {${signal}: 1m}`,
      },
  );

const checks: readonly Check[] = [
  numbers,
  period,
  imageGc,
  imagePulls,
  placing,
  shutdown,
  restarts,
  logs,
  enforced,
  server,
  objects,
  processors,
  memory,
  eviction,
];

export function problemsOf(config: KubeletConfig): Problem[] {
  return checks.flatMap((check) => check(config)).filter((each) => each !== false);
}
