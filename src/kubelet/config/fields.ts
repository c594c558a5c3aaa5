/**
 * Upstream's fields that this kubelet does something with: what each is called here, and how it is read.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */
import { cpuOptionsOf } from "../cpus/options.ts";
import { checkSysctlPattern } from "../sysctls.ts";
import { numaNodesMax } from "../topology/numa.ts";
import { topologyOptionsOf } from "../topology/options.ts";
import { authenticationCodec, authorizationCodec } from "./access.ts";
import {
  bySignal,
  bytes,
  type Codec,
  checked,
  duration,
  durationsBySignal,
  flag,
  inside,
  int32,
  listOf,
  map,
  mapOf,
  objectOf,
  oneOf,
  optionalInt32,
  signedDuration,
  text,
  textAs,
  texts,
  whole,
} from "./codecs.ts";
import { defaultConfig, type KubeletConfig, type LoggingSettings } from "./settings.ts";

export interface Field<T = unknown> {
  readonly key: keyof KubeletConfig;
  readonly codec: Codec<T>;
  /** Nothing, zero and "" stand for the default: files that programs write are full of them. */
  readonly emptyIsDefault: boolean;
}

function field<K extends keyof KubeletConfig>(key: K, codec: Codec<KubeletConfig[K]>): Field {
  return { key, codec: codec as Codec<unknown>, emptyIsDefault: false };
}

function defaulted<K extends keyof KubeletConfig>(key: K, codec: Codec<KubeletConfig[K]>): Field {
  return { ...field(key, codec), emptyIsDefault: true };
}

type Fields = Readonly<Record<string, Field>>;

const taints = listOf(({ key, value, effect }) => ({
  key: text.read(key),
  ...(value === undefined ? {} : { value: text.read(value) }),
  effect: oneOf("NoSchedule", "PreferNoSchedule", "NoExecute").read(effect),
}));

const node: Fields = {
  maxPods: defaulted("maxPods", int32),
  nodeLeaseDurationSeconds: defaulted("nodeLeaseSeconds", int32),
  nodeStatusMaxImages: field("nodeStatusMaxImages", int32),
  nodeStatusReportFrequency: defaulted("nodeStatusReportMs", duration),
  nodeStatusUpdateFrequency: defaulted("nodeStatusMs", duration),
  podsPerCore: field("podsPerCore", int32),
  providerID: field("providerId", text),
  registerNode: field("registerNode", flag),
  registerWithTaints: field("registerTaints", taints),
};

const sysctls = checked(texts, (patterns) => {
  for (const pattern of patterns) checkSysctlPattern(pattern);
});

const userIds = checked(whole(65_536, 2 ** 31), (count) => {
  if (count % 65_536 !== 0) throw new Error("must be a multiple of 65536");
});

const webAddress = checked(text, (url) => {
  if (url && !/^https?:\/\/[^/]/.test(url)) throw new Error("must be an address such as https://HOST/PATH");
});

const pods: Fields = {
  allowedUnsafeSysctls: field("allowedUnsafeSysctls", sysctls),
  clusterDNS: field("clusterDns", texts),
  clusterDomain: field("clusterDomain", text),
  configMapAndSecretChangeDetectionStrategy: defaulted(
    "changeDetection",
    textAs<KubeletConfig["changeDetection"]>(),
  ),
  crashLoopBackOff: field("crashBackoffMaxMs", inside("maxContainerRestartPeriod", duration)),
  fileCheckFrequency: defaulted("fileCheckMs", duration),
  resolvConf: field("resolvConf", text),
  seccompDefault: field("seccompDefault", flag),
  httpCheckFrequency: defaulted("httpCheckMs", duration),
  staticPodPath: field("staticPodPath", text),
  staticPodURL: field("staticPodUrl", webAddress),
  // Upstream shows no headers either: there may be a token among them.
  staticPodURLHeader: field("staticPodUrlHeaders", { ...mapOf(texts), show: () => undefined }),
  syncFrequency: defaulted("syncMs", duration),
  userNamespaces: field("userIdsPerPod", inside("idsPerPod", userIds)),
};

const images: Fields = {
  imageGCHighThresholdPercent: field("imageGcHighPercent", int32),
  imageGCLowThresholdPercent: field("imageGcLowPercent", int32),
  imageMaximumGCAge: field("imageGcMaxAgeMs", signedDuration),
  imageMinimumGCAge: defaulted("imageGcMinAgeMs", signedDuration),
  imagePullCredentialsVerificationPolicy: defaulted("imageVerification", text),
  maxParallelImagePulls: field("maxParallelImagePulls", { ...int32, show: (most) => most || undefined }),
  preloadedImagesVerificationAllowlist: field("imagesNotVerified", texts),
  registryBurst: defaulted("registryBurst", int32),
  registryPullQPS: field("registryPullQps", int32),
  serializeImagePulls: field("serializeImagePulls", flag),
};

const logs: Fields = {
  containerLogMaxFiles: field("containerLogMaxFiles", int32),
  containerLogMaxSize: defaulted("containerLogMaxBytes", bytes),
  containerLogMaxWorkers: field("containerLogMaxWorkers", int32),
  containerLogMonitorInterval: field("containerLogMonitorMs", signedDuration),
};

const reservedMemory = listOf(({ numaNode, limits }) => ({
  numaNode: whole(0, numaNodesMax).read(numaNode),
  limits: map.read(limits),
}));

const resources: Fields = {
  cpuCFSQuota: field("cpuCfsQuota", flag),
  cpuCFSQuotaPeriod: field("cpuCfsPeriodMs", signedDuration),
  cpuManagerPolicy: defaulted<"cpuManagerPolicy">("cpuManagerPolicy", oneOf<string>("none", "static")),
  cpuManagerPolicyOptions: field("cpuManagerOptions", checked(map, cpuOptionsOf)),
  cpuManagerReconcilePeriod: defaulted("cpuManagerReconcileMs", duration),
  enforceNodeAllocatable: field("enforceNodeAllocatable", texts),
  kubeReserved: field("kubeReserved", map),
  localStorageCapacityIsolation: field("localStorageIsolation", flag),
  memoryManagerPolicy: defaulted<"memoryManagerPolicy">(
    "memoryManagerPolicy",
    oneOf<string>("None", "Static"),
  ),
  memorySwap: field("swapBehavior", inside("swapBehavior", text)),
  podPidsLimit: field("podPidsLimit", whole(Number.MIN_SAFE_INTEGER)),
  reservedMemory: field("reservedMemory", reservedMemory),
  reservedSystemCPUs: field("reservedCpus", text),
  singleProcessOOMKill: field("singleProcessOomKill", flag),
  systemReserved: field("systemReserved", map),
  topologyManagerPolicy: defaulted("topologyManagerPolicy", textAs<KubeletConfig["topologyManagerPolicy"]>()),
  topologyManagerPolicyOptions: field("topologyManagerOptions", checked(map, topologyOptionsOf)),
  topologyManagerScope: defaulted("topologyManagerScope", textAs<KubeletConfig["topologyManagerScope"]>()),
};

const eviction: Fields = {
  evictionHard: field("evictionHard", bySignal),
  evictionMaxPodGracePeriod: field("evictionMaxPodGracePeriodSeconds", whole(0)),
  evictionMinimumReclaim: field("evictionMinimumReclaim", bySignal),
  evictionPressureTransitionPeriod: defaulted("evictionPressureTransitionMs", duration),
  evictionSoft: field("evictionSoft", bySignal),
  evictionSoftGracePeriod: field("evictionSoftGracePeriodMs", durationsBySignal),
  mergeDefaultEvictionSettings: field("mergeEvictionDefaults", flag),
};

const shutdownPeriods = listOf(({ priority, shutdownGracePeriodSeconds }) => ({
  priority: int32.read(priority),
  shutdownGracePeriodSeconds: whole(0).read(shutdownGracePeriodSeconds),
}));

const shutdown: Fields = {
  shutdownGracePeriod: field("shutdownGraceMs", duration),
  shutdownGracePeriodByPodPriority: field("shutdownGraceByPriority", shutdownPeriods),
  shutdownGracePeriodCriticalPods: field("shutdownGraceCriticalMs", duration),
};

const server: Fields = {
  address: defaulted("address", text),
  authentication: field("authentication", authenticationCodec(defaultConfig.authentication)),
  authorization: field("authorization", authorizationCodec(defaultConfig.authorization)),
  enableDebuggingHandlers: field("enableDebuggingHandlers", flag),
  enableServer: field("enableServer", flag),
  enableSystemLogHandler: field("showsSystemLogs", flag),
  healthzBindAddress: defaulted("healthzBindAddress", text),
  healthzPort: field("healthzPort", int32),
  port: defaulted("port", int32),
  readOnlyPort: field("readOnlyPort", int32),
  streamingConnectionIdleTimeout: defaulted("streamingIdleMs", duration),
  tlsCertFile: field("tlsCertFile", text),
  tlsCipherSuites: field("tlsCipherSuites", texts),
  tlsMinVersion: defaulted("tlsMinVersion", text),
  tlsPrivateKeyFile: field("tlsKeyFile", text),
  volumeStatsAggPeriod: defaulted("volumeStatsMs", signedDuration),
};

const logging: Codec<LoggingSettings> = {
  read(value) {
    const { format, verbosity } = objectOf(value);
    return {
      format: (format == null ? "" : text.read(format)) || defaultConfig.logging.format,
      verbosity: verbosity == null ? 0 : whole(0, 2 ** 31).read(verbosity),
    };
  },
  // There is one form.
  show: ({ verbosity }) => ({ format: "json", verbosity }),
};

const talk: Fields = {
  eventBurst: defaulted("eventBurst", int32),
  eventRecordQPS: field("eventQps", int32),
  kubeAPIBurst: defaulted("kubeApiBurst", int32),
  kubeAPIQPS: field("kubeApiQps", int32),
  logging: field("logging", logging),
};

const ofProcess: Fields = {
  maxOpenFiles: defaulted("maxOpenFiles", {
    ...whole(Number.MIN_SAFE_INTEGER),
    show: (most) => most || undefined,
  }),
  oomScoreAdj: field("oomScoreAdj", optionalInt32),
};

const machine: Fields = {
  runtimeRequestTimeout: defaulted("runtimeRequestMs", duration),
  containerRuntimeEndpoint: field("runtimeEndpoint", text),
  failCgroupV1: field("failCgroupV1", flag),
  failSwapOn: field("failSwapOn", flag),
  featureGates: field("featureGates", mapOf(flag)),
  protectKernelDefaults: field("protectKernelDefaults", flag),
};

export const fields: Fields = {
  ...node,
  ...pods,
  ...images,
  ...logs,
  ...resources,
  ...eviction,
  ...shutdown,
  ...server,
  ...talk,
  ...ofProcess,
  ...machine,
};
