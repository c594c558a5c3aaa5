/**
 * What a kubelet can be told, with upstream's defaults but where a comment says why not. Quantities and thresholds stay as
 * they are written: who uses them reads them.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */

import type { TlsSettings } from "../server/tls.ts";
import type { TopologyPolicy } from "../topology/hints.ts";

type Amounts = Readonly<Record<string, string>>;

export interface ShutdownPeriod {
  /** Pods of this priority, up to the next higher one. */
  priority: number;
  shutdownGracePeriodSeconds: number;
}

/** The Node object, and how it is kept. */
interface NodeSettings {
  maxPods: number;
  /** 0: however many processors there are. */
  podsPerCore: number;
  nodeLabels: Record<string, string>;
  /** What a cloud calls this machine. */
  providerId: string;
  nodeStatusMs: number;
  nodeStatusReportMs: number;
  /** -1: all of them. */
  nodeStatusMaxImages: number;
  nodeLeaseSeconds: number;
  registerNode: boolean;
  registerTaints: readonly { key: string; value?: string; effect: string }[];
}

/** Pods, wherever they come from. */
interface PodSettings {
  /** The resolver settings that pods with the policy `Default` get. */
  resolvConf: string;
  /** What pods ask for names, and below what their own are found. */
  clusterDns: readonly string[];
  clusterDomain: string;
  /** A folder with pods of this node alone, or one file; empty: none. */
  staticPodPath: string;
  fileCheckMs: number;
  /** Who is asked for more of them, how, and how often; empty: nobody. */
  staticPodUrl: string;
  staticPodUrlHeaders: Readonly<Record<string, readonly string[]>>;
  httpCheckMs: number;
  /** How long a pod, and what its volumes show, may stay unlooked at. */
  syncMs: number;
  /** How the kubelet hears of new contents of ConfigMaps and Secrets. */
  changeDetection: "Watch" | "Cache" | "Get";
  crashBackoffMaxMs: number;
  /** Containers that name no seccomp profile get the runtime's. */
  seccompDefault: boolean;
  allowedUnsafeSysctls: readonly string[];
  /** Of each pod with users of its own; a multiple of 65536. */
  userIdsPerPod: number;
}

interface ImageSettings {
  serializeImagePulls: boolean;
  /** 0: as many as come. */
  maxParallelImagePulls: number;
  /** Pulls a second; 0: no limit. */
  registryPullQps: number;
  registryBurst: number;
  /** Which images that are there a pod has to have the right credentials for. */
  imageVerification: string;
  imagesNotVerified: readonly string[];
  imageGcHighPercent: number;
  imageGcLowPercent: number;
  imageGcMinAgeMs: number;
  /** 0: age alone removes no image. */
  imageGcMaxAgeMs: number;
}

interface LogSettings {
  containerLogMaxBytes: number;
  containerLogMaxFiles: number;
  /** So many logs are turned over at once. */
  containerLogMaxWorkers: number;
  containerLogMonitorMs: number;
}

/** Processors, memory and processes, and who has how much of them. */
interface ResourceSettings {
  /** Absolute path in every cgroup hierarchy, below which the pods' groups lie. */
  cgroupRoot: string;
  /** What is kept back from pods. */
  systemReserved: Amounts;
  kubeReserved: Amounts;
  /** `0-1,4`: processors for everything but pods. */
  reservedCpus: string;
  enforceNodeAllocatable: readonly string[];
  /** Processes in one pod; -1 is without a limit. */
  podPidsLimit: number;
  /** Limits of CPU are enforced. */
  cpuCfsQuota: boolean;
  cpuCfsPeriodMs: number;
  /** `static`: whole processors of guaranteed pods are theirs alone. */
  cpuManagerPolicy: string;
  cpuManagerOptions: Readonly<Record<string, string>>;
  cpuManagerReconcileMs: number;
  /** `Static`: the memory of guaranteed pods lies on as few NUMA nodes as can be. */
  memoryManagerPolicy: string;
  reservedMemory: readonly { numaNode: number; limits: Amounts }[];
  topologyManagerPolicy: TopologyPolicy;
  /** What lies together: a container, or the whole pod. */
  topologyManagerScope: "container" | "pod";
  topologyManagerOptions: Readonly<Record<string, string>>;
  /** `LimitedSwap`: burstable pods have their share of the machine's swap. */
  swapBehavior: string;
  /** The kernel kills one process of a container that has no memory left, as of cgroups v1 it always does; false: all of it. */
  singleProcessOomKill: boolean;
  /** The node has a disk of a known size, which pods ask for and are held to. */
  localStorageIsolation: boolean;
}

interface EvictionSettings {
  evictionHard: Amounts;
  /** What `evictionHard` does not name has its default instead of none. */
  mergeEvictionDefaults: boolean;
  evictionSoft: Amounts;
  evictionSoftGracePeriodMs: Readonly<Record<string, number>>;
  evictionMinimumReclaim: Amounts;
  evictionPressureTransitionMs: number;
  evictionMaxPodGracePeriodSeconds: number;
}

/** How long the machine's shutdown waits for pods, and how much of that is left to critical ones; 0: not at all. */
interface ShutdownSettings {
  shutdownGraceMs: number;
  shutdownGraceCriticalMs: number;
  shutdownGraceByPriority: readonly ShutdownPeriod[];
}

/** Who those are that ask without a certificate, and how long an answer about a token is good for. */
export interface AuthenticationSettings {
  readonly anonymous: boolean;
  readonly tokens: boolean;
  readonly tokenMs: number;
}

/** Whether the API server is asked what they may, and how long its answers are good for. */
export interface AuthorizationSettings {
  readonly mode: string;
  readonly allowedMs: number;
  readonly deniedMs: number;
}

/** The kubelet's own server, and what of it is measured for those who ask. */
export interface ServerSettings extends TlsSettings {
  enableServer: boolean;
  /** Where it listens; empty and 0: where the distribution says. */
  address: string;
  port: number;
  /** Without TLS and without asking who it is; 0: not at all. */
  readOnlyPort: number;
  /** Where the kubelet says that it is well; 0: nowhere else than in its server. */
  healthzPort: number;
  healthzBindAddress: string;
  authentication: AuthenticationSettings;
  authorization: AuthorizationSettings;
  /** A stream on which nothing is said for so long is closed. */
  streamingIdleMs: number;
  /** Logs, exec, attach and port-forward. */
  enableDebuggingHandlers: boolean;
  /** `/logs/` shows what lies below `/var/log`. */
  showsSystemLogs: boolean;
  /** Below zero: volumes are not measured. */
  volumeStatsMs: number;
}

/** How often the API server is spoken to, of what and how much is told. */
interface TalkSettings {
  /** Requests a second but for the node's own state; 0: no limit. */
  kubeApiQps: number;
  kubeApiBurst: number;
  eventQps: number;
  eventBurst: number;
  logging: LoggingSettings;
}

export interface LoggingSettings {
  readonly format: string;
  /** From 4 on the kubelet's log has what is for those who look for faults. */
  readonly verbosity: number;
}

/** The process that the kubelet is in; undefined and 0: it stays as it is, being other components' as well. */
interface ProcessSettings {
  oomScoreAdj: number | undefined;
  maxOpenFiles: number;
}

/** The machine as the kubelet wants it. */
interface MachineSettings {
  /** Unlike upstream's, whose nodes are nobody's own machines, this kubelet starts beside swap. */
  failSwapOn: boolean;
  /** Unlike upstream's (since 1.35), this kubelet knows cgroups v1 as well as v2. */
  failCgroupV1: boolean;
  /** A container runtime that the machine already has; empty: one of our own. */
  runtimeEndpoint: string;
  /** Of all that a runtime is asked but what takes long by its nature. */
  runtimeRequestMs: number;
  /** What the kernel's parameters are not set to is an error; otherwise they stay as they are. */
  protectKernelDefaults: boolean;
  featureGates: Readonly<Record<string, boolean>>;
}

export interface KubeletConfig
  extends NodeSettings,
    PodSettings,
    ImageSettings,
    LogSettings,
    ResourceSettings,
    EvictionSettings,
    ShutdownSettings,
    ServerSettings,
    TalkSettings,
    ProcessSettings,
    MachineSettings {}

const images: ImageSettings = {
  // Upstream pulls one after the other, five a second. Here four come at once, as quick as they can.
  serializeImagePulls: false,
  maxParallelImagePulls: 4,
  registryPullQps: 0,
  registryBurst: 10,
  imageVerification: "NeverVerifyPreloadedImages",
  imagesNotVerified: [],
  imageGcHighPercent: 85,
  imageGcLowPercent: 80,
  imageGcMinAgeMs: 120_000,
  imageGcMaxAgeMs: 0,
};

const resources: ResourceSettings = {
  cgroupRoot: "/kubepods",
  systemReserved: {},
  kubeReserved: {},
  reservedCpus: "",
  enforceNodeAllocatable: ["pods"],
  podPidsLimit: -1,
  cpuCfsQuota: true,
  cpuCfsPeriodMs: 100,
  cpuManagerPolicy: "none",
  cpuManagerOptions: {},
  // Upstream's ten seconds are long for who shares a processor that is somebody's own now.
  cpuManagerReconcileMs: 2000,
  memoryManagerPolicy: "None",
  reservedMemory: [],
  topologyManagerPolicy: "none",
  topologyManagerScope: "container",
  topologyManagerOptions: {},
  swapBehavior: "NoSwap",
  singleProcessOomKill: false,
  localStorageIsolation: true,
};

const eviction: EvictionSettings = {
  evictionHard: {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
  },
  mergeEvictionDefaults: false,
  evictionSoft: {},
  evictionSoftGracePeriodMs: {},
  evictionMinimumReclaim: {},
  evictionPressureTransitionMs: 300_000,
  evictionMaxPodGracePeriodSeconds: 0,
};

const node: NodeSettings = {
  maxPods: 110,
  podsPerCore: 0,
  nodeLabels: {},
  providerId: "",
  nodeStatusMs: 10_000,
  nodeStatusReportMs: 300_000,
  nodeStatusMaxImages: 50,
  nodeLeaseSeconds: 40,
  registerNode: true,
  registerTaints: [],
};

const pods: PodSettings = {
  resolvConf: "/etc/resolv.conf",
  clusterDns: [],
  clusterDomain: "",
  staticPodPath: "",
  fileCheckMs: 20_000,
  staticPodUrl: "",
  staticPodUrlHeaders: {},
  httpCheckMs: 20_000,
  syncMs: 60_000,
  changeDetection: "Watch",
  crashBackoffMaxMs: 300_000,
  seccompDefault: false,
  allowedUnsafeSysctls: [],
  userIdsPerPod: 65_536,
};

const server: ServerSettings = {
  enableServer: true,
  address: "",
  port: 0,
  readOnlyPort: 0,
  // Upstream's is 10248. Here many nodes may share a machine and its loopback address.
  healthzPort: 0,
  healthzBindAddress: "127.0.0.1",
  authentication: { anonymous: false, tokens: true, tokenMs: 120_000 },
  authorization: { mode: "Webhook", allowedMs: 300_000, deniedMs: 30_000 },
  streamingIdleMs: 4 * 3_600_000,
  tlsCertFile: "",
  tlsKeyFile: "",
  tlsMinVersion: "VersionTLS12",
  tlsCipherSuites: [],
  enableDebuggingHandlers: true,
  showsSystemLogs: true,
  volumeStatsMs: 60_000,
};

export const defaultConfig: KubeletConfig = {
  ...node,
  ...pods,
  ...images,
  ...resources,
  ...eviction,
  containerLogMaxBytes: 10 * 1024 * 1024,
  containerLogMaxFiles: 5,
  containerLogMaxWorkers: 1,
  containerLogMonitorMs: 10_000,
  shutdownGraceMs: 0,
  shutdownGraceCriticalMs: 0,
  shutdownGraceByPriority: [],
  ...server,
  // Upstream's client has 50 and 100: here the API server looks after itself, by priority and fairness.
  kubeApiQps: 0,
  kubeApiBurst: 100,
  eventQps: 50,
  eventBurst: 100,
  logging: { format: "json", verbosity: 0 },
  oomScoreAdj: undefined,
  maxOpenFiles: 0,
  failSwapOn: false,
  failCgroupV1: false,
  runtimeEndpoint: "",
  runtimeRequestMs: 120_000,
  protectKernelDefaults: false,
  featureGates: {},
};
