/**
 * `KubeletConfiguration`: upstream's file, read field by field. What nobody knows is refused; what upstream knows and this
 * kubelet has no use for is answered by name, to be told.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */
import { parse } from "yaml";
import { quantityMilliValue, quantityValue } from "#api";
import { formatGoDuration, messageOf, parseGoDuration, UserError } from "#base";
import { cpuOptionsOf } from "../cpus/options.ts";
import { checkAmount, isSignal } from "../eviction/signals.ts";
import { reservedMemoryOf } from "../memory/reserved.ts";
import { checkSysctlPattern } from "../sysctls.ts";
import { numaNodesMax } from "../topology/numa.ts";
import { topologyOptionsOf } from "../topology/options.ts";
import { defaultConfig, type KubeletConfig } from "./settings.ts";

interface Codec<T> {
  /** Throws an `Error` that says what is wrong with the value. */
  read(value: unknown): T;
  show(value: T): unknown;
}

type Field = { [K in keyof KubeletConfig]: { key: K; codec: Codec<KubeletConfig[K]> } }[keyof KubeletConfig];

function field<K extends keyof KubeletConfig>(key: K, codec: Codec<KubeletConfig[K]>): Field {
  return { key, codec } as unknown as Field;
}

const shown = <T>(value: T) => value;

const flag: Codec<boolean> = {
  read(value) {
    if (typeof value !== "boolean") throw new Error("must be true or false");
    return value;
  },
  show: shown,
};

function whole(min: number, max = Number.MAX_SAFE_INTEGER): Codec<number> {
  return {
    read(value) {
      if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max)
        throw new Error(`must be a whole number from ${min} to ${max}`);
      return value;
    },
    show: shown,
  };
}

function oneOf<T extends string>(...choices: T[]): Codec<T> {
  return {
    read(value) {
      const choice = choices.find((each) => each === value);
      if (choice === undefined) throw new Error(`must be one of ${choices.filter(Boolean).join(", ")}`);
      return choice;
    },
    show: shown,
  };
}

const text: Codec<string> = {
  read(value) {
    if (typeof value !== "string") throw new Error("must be text");
    return value;
  },
  show: shown,
};

const duration: Codec<number> = {
  read: (value) => parseGoDuration(text.read(value)),
  show: formatGoDuration,
};

const bytes: Codec<number> = {
  read: (value) => quantityValue(typeof value === "number" ? String(value) : text.read(value)),
  show: String,
};

const texts: Codec<readonly string[]> = {
  read(value) {
    if (!Array.isArray(value) || !value.every((each) => typeof each === "string"))
      throw new Error("must be a list of texts");
    return value;
  },
  show: shown,
};

const sysctls: Codec<readonly string[]> = {
  read(value) {
    const patterns = texts.read(value);
    for (const pattern of patterns) checkSysctlPattern(pattern);
    return patterns;
  },
  show: shown,
};

const map: Codec<Readonly<Record<string, string>>> = {
  read(value) {
    const entries = Object.entries(objectOf(value));
    return Object.fromEntries(entries.map(([key, each]) => [key, scalar(each)]));
  },
  show: shown,
};

/** Amounts by eviction signal. */
const bySignal: Codec<Readonly<Record<string, string>>> = {
  read(value) {
    const amounts = map.read(value);
    for (const [signal, amount] of Object.entries(amounts)) {
      checkSignal(signal);
      try {
        checkAmount(amount);
      } catch (error) {
        throw new Error(`${signal} ${messageOf(error)}`);
      }
    }
    return amounts;
  },
  show: shown,
};

const durationsBySignal: Codec<Readonly<Record<string, number>>> = {
  read: (value) =>
    Object.fromEntries(
      Object.entries(map.read(value)).map(([signal, text]) => {
        checkSignal(signal);
        return [signal, parseGoDuration(text)];
      }),
    ),
  show: (value) =>
    Object.fromEntries(Object.entries(value).map(([signal, ms]) => [signal, formatGoDuration(ms)])),
};

function checkSignal(signal: string): void {
  if (!isSignal(signal)) throw new Error(`has an unsupported eviction signal ${signal}`);
}

function scalar(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw new Error("must map names to texts");
}

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("must be a map");
  return value as Record<string, unknown>;
}

/** A list of objects, each read by `read`. */
function listOf<T>(read: (value: Record<string, unknown>) => T): Codec<readonly T[]> {
  return {
    read(value) {
      if (!Array.isArray(value)) throw new Error("must be a list");
      return value.map((each) => read(objectOf(each)));
    },
    show: shown,
  };
}

/** One value inside an object of its own. */
function inside<T>(name: string, codec: Codec<T>): Codec<T> {
  return {
    read(value) {
      const { [name]: inner, ...others } = objectOf(value);
      const [other] = Object.keys(others);
      if (other !== undefined) throw new Error(`unknown field "${other}"`);
      if (inner === undefined) throw new Error(`needs ${name}`);
      return codec.read(inner);
    },
    show: (value) => ({ [name]: codec.show(value) }),
  };
}

const taints = listOf(({ key, value, effect }) => ({
  key: text.read(key),
  ...(value === undefined ? {} : { value: text.read(value) }),
  effect: oneOf("NoSchedule", "PreferNoSchedule", "NoExecute").read(effect),
}));

/** Options of a policy; `check` throws an `Error` for those that are none. */
function policyOptions(check: (given: Readonly<Record<string, string>>) => unknown): typeof map {
  return {
    read(value) {
      const given = map.read(value);
      check(given);
      return given;
    },
    show: shown,
  };
}

const reservedMemory = listOf(({ numaNode, limits }) => ({
  numaNode: whole(0, numaNodesMax).read(numaNode),
  limits: map.read(limits),
}));

const userIds: Codec<number> = {
  read(value) {
    const count = whole(65_536, 2 ** 31).read(value);
    if (count % 65_536 !== 0) throw new Error("must be a multiple of 65536");
    return count;
  },
  show: shown,
};

const shutdownPeriods = listOf(({ priority, shutdownGracePeriodSeconds }) => ({
  priority: whole(-2_147_483_648, 2_147_483_647).read(priority),
  shutdownGracePeriodSeconds: whole(0).read(shutdownGracePeriodSeconds),
}));

const percent = whole(0, 100);

const fields: Readonly<Record<string, Field>> = {
  allowedUnsafeSysctls: field("allowedUnsafeSysctls", sysctls),
  clusterDNS: field("clusterDns", texts),
  clusterDomain: field("clusterDomain", text),
  containerLogMaxFiles: field("containerLogMaxFiles", whole(2)),
  containerLogMaxSize: field("containerLogMaxBytes", bytes),
  containerRuntimeEndpoint: field("runtimeEndpoint", text),
  cpuCFSQuota: field("limitsCpu", flag),
  cpuManagerPolicy: field<"cpuManagerPolicy">("cpuManagerPolicy", oneOf<string>("none", "static")),
  cpuManagerPolicyOptions: field("cpuManagerOptions", policyOptions(cpuOptionsOf)),
  crashLoopBackOff: field("crashBackoffMaxMs", inside("maxContainerRestartPeriod", duration)),
  enableSystemLogHandler: field("showsSystemLogs", flag),
  enforceNodeAllocatable: field("enforceNodeAllocatable", texts),
  evictionHard: field("evictionHard", bySignal),
  evictionMaxPodGracePeriod: field("evictionMaxPodGracePeriodSeconds", whole(0)),
  evictionMinimumReclaim: field("evictionMinimumReclaim", bySignal),
  evictionPressureTransitionPeriod: field("evictionPressureTransitionMs", duration),
  evictionSoft: field("evictionSoft", bySignal),
  evictionSoftGracePeriod: field("evictionSoftGracePeriodMs", durationsBySignal),
  failSwapOn: field("failSwapOn", flag),
  fileCheckFrequency: field("fileCheckMs", duration),
  imageGCHighThresholdPercent: field("imageGcHighPercent", percent),
  imageGCLowThresholdPercent: field("imageGcLowPercent", percent),
  imageMaximumGCAge: field("imageGcMaxAgeMs", duration),
  imageMinimumGCAge: field("imageGcMinAgeMs", duration),
  imagePullCredentialsVerificationPolicy: field(
    "imageVerification",
    oneOf<string>(
      "NeverVerify",
      "NeverVerifyPreloadedImages",
      "NeverVerifyAllowlistedImages",
      "AlwaysVerify",
    ),
  ),
  kubeReserved: field("kubeReserved", map),
  maxParallelImagePulls: field("maxParallelImagePulls", whole(1)),
  maxPods: field("maxPods", whole(0, 10_000)),
  memoryManagerPolicy: field("memoryManagerPolicy", oneOf<string>("None", "Static")),
  memorySwap: field("swapBehavior", inside("swapBehavior", oneOf<string>("NoSwap", "LimitedSwap"))),
  mergeDefaultEvictionSettings: field("mergesEvictionDefaults", flag),
  nodeLeaseDurationSeconds: field("nodeLeaseSeconds", whole(1)),
  nodeStatusMaxImages: field("nodeImagesMax", whole(-1)),
  nodeStatusReportFrequency: field("nodeStatusReportMs", duration),
  nodeStatusUpdateFrequency: field("nodeStatusMs", duration),
  podPidsLimit: field("podPidsLimit", whole(-1)),
  podsPerCore: field("podsPerCore", whole(0)),
  providerID: field("providerId", text),
  preloadedImagesVerificationAllowlist: field("imagesNotVerified", texts),
  registerNode: field("registerNode", flag),
  registerWithTaints: field("registerTaints", taints),
  reservedMemory: field("reservedMemory", reservedMemory),
  reservedSystemCPUs: field("reservedCpus", text),
  resolvConf: field("resolvConf", text),
  seccompDefault: field("seccompDefault", flag),
  shutdownGracePeriod: field("shutdownGraceMs", duration),
  shutdownGracePeriodByPodPriority: field("shutdownGraceByPriority", shutdownPeriods),
  shutdownGracePeriodCriticalPods: field("shutdownGraceCriticalMs", duration),
  singleProcessOOMKill: field("singleProcessOomKill", flag),
  staticPodPath: field("staticPodPath", text),
  systemReserved: field("systemReserved", map),
  topologyManagerPolicy: field(
    "topologyManagerPolicy",
    oneOf("none", "best-effort", "restricted", "single-numa-node"),
  ),
  topologyManagerPolicyOptions: field("topologyManagerOptions", policyOptions(topologyOptionsOf)),
  topologyManagerScope: field("topologyManagerScope", oneOf("container", "pod")),
  userNamespaces: field("userIdsPerPod", inside("idsPerPod", userIds)),
};

/** Upstream's, without an effect here: Knarr decides these itself, or has no such part. */
const unusedFields = new Set(
  (
    "address authentication authorization cgroupDriver cgroupRoot cgroupsPerQOS " +
    "configMapAndSecretChangeDetectionStrategy containerLogMaxWorkers containerLogMonitorInterval " +
    "contentType cpuCFSQuotaPeriod cpuManagerReconcilePeriod enableContentionProfiling " +
    "enableControllerAttachDetach enableDebugFlagsHandler enableDebuggingHandlers enableProfilingHandler " +
    "enableServer enableSystemLogQuery eventBurst eventRecordQPS failCgroupV1 " +
    "featureGates hairpinMode healthzBindAddress healthzPort httpCheckFrequency " +
    "imagePullServiceAccountTokenAttribution imageServiceEndpoint iptablesDropBit iptablesMasqueradeBit kernelMemcgNotification " +
    "kubeAPIBurst kubeAPIQPS kubeReservedCgroup kubeletCgroups localStorageCapacityIsolation logging " +
    "makeIPTablesUtilChains maxOpenFiles memoryThrottlingFactor oomScoreAdj podCIDR " +
    "port protectKernelDefaults qosReserved readOnlyPort registryBurst " +
    "registryPullQPS rotateCertificates runOnce runtimeRequestTimeout serializeImagePulls serverTLSBootstrap showHiddenMetricsForVersion " +
    "staticPodURL staticPodURLHeader streamingConnectionIdleTimeout syncFrequency " +
    "systemCgroups systemReservedCgroup tlsCertFile tlsCipherSuites tlsCurvePreferences tlsMinVersion tlsPrivateKeyFile " +
    "tracing volumePluginDir volumeStatsAggPeriod"
  ).split(" "),
);

const version = "kubelet.config.k8s.io/v1beta1";
const kind = "KubeletConfiguration";
const fileMaxBytes = 1024 * 1024;

export interface ReadConfiguration {
  config: Partial<KubeletConfig>;
  /** Fields that stand in the file and change nothing here. */
  unused: readonly string[];
}

/** Throws `UserError`; `file` is named in it. */
export function readKubeletConfiguration(content: string, file: string): ReadConfiguration {
  const wrong = (problem: string, mend: string) => new UserError(`${file}: ${problem}`, mend);
  if (content.length > fileMaxBytes)
    throw wrong("the file is too large", `give at most ${fileMaxBytes} bytes`);
  let whole: Record<string, unknown>;
  try {
    whole = objectOf(parse(content, { maxAliasCount: 100, logLevel: "error" }));
  } catch (error) {
    throw wrong(messageOf(error), `write a ${kind} as YAML or JSON`);
  }
  const { apiVersion, kind: actual, ...rest } = whole;
  if (apiVersion !== version || actual !== kind)
    throw wrong(`it is ${apiVersion} ${actual}`, `write apiVersion: ${version} and kind: ${kind}`);
  const config: Partial<KubeletConfig> = {};
  const unused: string[] = [];
  for (const [name, value] of Object.entries(rest)) {
    const known = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (!known) {
      if (!unusedFields.has(name))
        throw wrong(`unknown field "${name}"`, "see the KubeletConfiguration reference of Kubernetes 1.36");
      unused.push(name);
      continue;
    }
    if (value === null) continue;
    try {
      Object.assign(config, { [known.key]: known.codec.read(value) });
    } catch (error) {
      throw wrong(`${name} ${messageOf(error)}`, "see the KubeletConfiguration reference of Kubernetes 1.36");
    }
  }
  // Where pulls are one after the other, that is how many there may be at once.
  if (rest.serializeImagePulls === true) config.maxParallelImagePulls = 1;
  checkTogether({ ...defaultConfig, ...config }, wrong);
  return { config, unused };
}

function wrongShutdown(config: KubeletConfig): string | undefined {
  const { shutdownGraceMs: all, shutdownGraceCriticalMs: critical, shutdownGraceByPriority } = config;
  const shownMs = (ms: number) => `{${formatGoDuration(ms)}}`;
  if (critical > all)
    return `invalid configuration: shutdownGracePeriodCriticalPods ${shownMs(critical)} must be <= shutdownGracePeriod ${shownMs(all)}`;
  if (all !== 0 && all < 1000)
    return `invalid configuration: shutdownGracePeriod ${shownMs(all)} must be either zero or otherwise >= 1 sec`;
  if (critical !== 0 && critical < 1000)
    return `invalid configuration: shutdownGracePeriodCriticalPods ${shownMs(critical)} must be either zero or otherwise >= 1 sec`;
  if (shutdownGraceByPriority.length > 0 && all > 0)
    return "invalid configuration: Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time";
  return undefined;
}

/** What no field says alone; upstream's words. */
function checkTogether(config: KubeletConfig, wrong: (problem: string, mend: string) => UserError): void {
  if (config.imageGcLowPercent >= config.imageGcHighPercent)
    throw wrong(
      `imageGCLowThresholdPercent (--image-gc-low-threshold) ${config.imageGcLowPercent} must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) ${config.imageGcHighPercent}`,
      "give a smaller imageGCLowThresholdPercent",
    );
  const reservesCpu = [config.kubeReserved.cpu, config.systemReserved.cpu].some(
    (amount) => quantityMilliValue(amount) > 0,
  );
  if (config.cpuManagerPolicy === "static" && !config.reservedCpus && !reservesCpu)
    throw wrong(
      "the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero",
      "give systemReserved: {cpu: 500m}, or reservedSystemCPUs",
    );
  const shutdownProblem = wrongShutdown(config);
  if (shutdownProblem)
    throw wrong(shutdownProblem, "see the KubeletConfiguration reference of Kubernetes 1.36");
  if (config.memoryManagerPolicy === "Static") {
    try {
      reservedMemoryOf(config);
    } catch (error) {
      throw wrong(
        messageOf(error),
        "give reservedMemory: [{numaNode: 0, limits: {memory: …}}] with that sum",
      );
    }
  }
  for (const signal of Object.keys(config.evictionSoft))
    if (config.evictionSoftGracePeriodMs[signal] === undefined)
      throw wrong(
        `grace period must be specified for the soft eviction threshold ${signal}`,
        `give evictionSoftGracePeriod: {${signal}: 1m}`,
      );
}

/** The settings in upstream's form: what `/configz` shows. */
export function kubeletConfigurationOf(config: KubeletConfig): Record<string, unknown> {
  const shownFields = Object.entries(fields).map(([name, { key, codec }]) => [
    name,
    (codec as Codec<unknown>).show(config[key]),
  ]);
  return Object.fromEntries(shownFields);
}
