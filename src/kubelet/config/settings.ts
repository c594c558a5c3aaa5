/**
 * What a kubelet can be told, with upstream's defaults. Quantities and thresholds stay as they are written: who uses
 * them reads them.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */

import type { TopologyPolicy } from "../topology/hints.ts";

type Amounts = Readonly<Record<string, string>>;

export interface ShutdownPeriod {
  /** Pods of this priority, up to the next higher one. */
  priority: number;
  shutdownGracePeriodSeconds: number;
}

export interface KubeletConfig {
  maxPods: number;
  /** No more pods than so many for each processor; 0 is without this limit. */
  podsPerCore: number;
  /** What a cloud calls the machine. */
  providerId: string;
  /** So many images stand in the node's status; -1: all. */
  nodeImagesMax: number;
  /** What pods ask for names, and below what their own are found. */
  clusterDns: readonly string[];
  clusterDomain: string;
  /** Limits of processor time are the kernel's to hold; false: they are nobody's. */
  limitsCpu: boolean;
  /** Thresholds that a file leaves out keep their defaults. */
  mergesEvictionDefaults: boolean;
  maxParallelImagePulls: number;
  /** Which images that are there a pod has to have the right credentials for. */
  imageVerification: string;
  imagesNotVerified: readonly string[];
  containerLogMaxBytes: number;
  containerLogMaxFiles: number;
  /** Containers that name no seccomp profile get the runtime's. */
  seccompDefault: boolean;
  /** Absolute path in every cgroup hierarchy, below which the pods' groups lie. */
  cgroupRoot: string;
  nodeLabels: Record<string, string>;
  /** The resolver settings that pods with the policy `Default` get. */
  resolvConf: string;
  /** A folder with pods of this node alone, or one file; empty: none. */
  staticPodPath: string;
  fileCheckMs: number;
  /** What is kept back from pods. */
  systemReserved: Amounts;
  kubeReserved: Amounts;
  /** `0-1,4`: processors for everything but pods. */
  reservedCpus: string;
  enforceNodeAllocatable: readonly string[];
  /** Processes in one pod; -1 is without a limit. */
  podPidsLimit: number;
  evictionHard: Amounts;
  evictionSoft: Amounts;
  evictionSoftGracePeriodMs: Readonly<Record<string, number>>;
  evictionMinimumReclaim: Amounts;
  evictionPressureTransitionMs: number;
  evictionMaxPodGracePeriodSeconds: number;
  imageGcHighPercent: number;
  imageGcLowPercent: number;
  imageGcMinAgeMs: number;
  /** 0: age alone removes no image. */
  imageGcMaxAgeMs: number;
  crashBackoffMaxMs: number;
  nodeStatusMs: number;
  nodeStatusReportMs: number;
  nodeLeaseSeconds: number;
  registerNode: boolean;
  registerTaints: readonly { key: string; value?: string; effect: string }[];
  allowedUnsafeSysctls: readonly string[];
  /** `static`: whole processors of guaranteed pods are theirs alone. */
  cpuManagerPolicy: string;
  cpuManagerOptions: Readonly<Record<string, string>>;
  /** `Static`: the memory of guaranteed pods lies on as few NUMA nodes as can be. */
  memoryManagerPolicy: string;
  reservedMemory: readonly { numaNode: number; limits: Amounts }[];
  topologyManagerPolicy: TopologyPolicy;
  /** What lies together: a container, or the whole pod. */
  topologyManagerScope: "container" | "pod";
  topologyManagerOptions: Readonly<Record<string, string>>;
  /** How long the machine's shutdown waits for pods, and how much of that is left to critical ones; 0: not at all. */
  shutdownGraceMs: number;
  shutdownGraceCriticalMs: number;
  shutdownGraceByPriority: readonly ShutdownPeriod[];
  /** `LimitedSwap`: burstable pods have their share of the machine's swap. */
  swapBehavior: string;
  /** The kernel kills one process of a container that has no memory left, as of cgroups v1 it always does; false: all of it. */
  singleProcessOomKill: boolean;
  /** Of each pod with users of its own; a multiple of 65536. */
  userIdsPerPod: number;
  /** `/logs/` of the kubelet's server shows what lies below `/var/log`. */
  showsSystemLogs: boolean;
  /** A container runtime that the machine already has; empty: one of our own. */
  runtimeEndpoint: string;
  /** Unlike upstream's, whose nodes are nobody's own machines, this kubelet starts beside swap. */
  failSwapOn: boolean;
}

export const defaultConfig: KubeletConfig = {
  maxPods: 110,
  podsPerCore: 0,
  providerId: "",
  nodeImagesMax: 50,
  clusterDns: [],
  clusterDomain: "",
  limitsCpu: true,
  mergesEvictionDefaults: false,
  maxParallelImagePulls: 4,
  imageVerification: "NeverVerifyPreloadedImages",
  imagesNotVerified: [],
  containerLogMaxBytes: 10 * 1024 * 1024,
  containerLogMaxFiles: 5,
  seccompDefault: false,
  cgroupRoot: "/kubepods",
  nodeLabels: {},
  resolvConf: "/etc/resolv.conf",
  staticPodPath: "",
  fileCheckMs: 20_000,
  systemReserved: {},
  kubeReserved: {},
  reservedCpus: "",
  enforceNodeAllocatable: ["pods"],
  podPidsLimit: -1,
  evictionHard: {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
  },
  evictionSoft: {},
  evictionSoftGracePeriodMs: {},
  evictionMinimumReclaim: {},
  evictionPressureTransitionMs: 300_000,
  evictionMaxPodGracePeriodSeconds: 0,
  imageGcHighPercent: 85,
  imageGcLowPercent: 80,
  imageGcMinAgeMs: 120_000,
  imageGcMaxAgeMs: 0,
  crashBackoffMaxMs: 300_000,
  nodeStatusMs: 10_000,
  nodeStatusReportMs: 300_000,
  nodeLeaseSeconds: 40,
  registerNode: true,
  registerTaints: [],
  allowedUnsafeSysctls: [],
  cpuManagerPolicy: "none",
  cpuManagerOptions: {},
  memoryManagerPolicy: "None",
  reservedMemory: [],
  topologyManagerPolicy: "none",
  topologyManagerScope: "container",
  topologyManagerOptions: {},
  shutdownGraceMs: 0,
  shutdownGraceCriticalMs: 0,
  shutdownGraceByPriority: [],
  swapBehavior: "NoSwap",
  singleProcessOomKill: false,
  userIdsPerPod: 65_536,
  showsSystemLogs: true,
  runtimeEndpoint: "",
  failSwapOn: false,
};
