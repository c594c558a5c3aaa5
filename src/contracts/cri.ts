/**
 * What the kubelet needs of a container runtime: the calls of the Container Runtime Interface v1 that it makes, with
 * the field names of the wire in camelCase. Requests may leave fields out; answers carry every field (protobuf's
 * defaults), messages excepted. Times are nanoseconds since the epoch.
 * https://kubernetes.io/docs/concepts/architecture/cri/
 */
import { messageOf } from "#base";

export interface PodSandboxMetadata {
  name: string;
  uid: string;
  namespace: string;
  attempt: number;
}

export interface ContainerMetadata {
  name: string;
  attempt: number;
}

export interface ImageSpec {
  image: string;
  /** As the pod names it: runtimes judge signatures by it, and show it. */
  userSpecifiedImage?: string;
  annotations?: Record<string, string>;
}

/** An optional number: absent is not zero. */
export interface Int64Value {
  value: number;
}

export interface DNSConfig {
  servers: string[];
  searches: string[];
  options: string[];
}

export interface PortMapping {
  protocol: "TCP" | "UDP" | "SCTP";
  containerPort: number;
  hostPort: number;
  hostIp: string;
}

export type NamespaceMode = "POD" | "CONTAINER" | "NODE" | "TARGET";

/** So many ids of the container, from `containerId` on, are those of the host from `hostId` on. */
export interface IdMapping {
  containerId: number;
  hostId: number;
  length: number;
}

export interface UserNamespace {
  mode: "POD" | "NODE";
  uids?: IdMapping[];
  gids?: IdMapping[];
}

export interface NamespaceOption {
  network: NamespaceMode;
  pid: NamespaceMode;
  ipc: NamespaceMode;
  targetId?: string;
  usernsOptions?: UserNamespace;
}

export type SupplementalGroupsPolicy = "Merge" | "Strict";

export interface SecurityProfile {
  profileType: "RuntimeDefault" | "Unconfined" | "Localhost";
  localhostRef?: string;
}

export interface SELinuxOption {
  user: string;
  role: string;
  type: string;
  level: string;
}

export interface LinuxContainerResources {
  cpuPeriod?: number;
  cpuQuota?: number;
  cpuShares?: number;
  memoryLimitInBytes?: number;
  oomScoreAdj?: number;
  cpusetCpus?: string;
  cpusetMems?: string;
  /** `pageSize` as the kernel writes it: `2MB`. */
  hugepageLimits?: { pageSize: string; limit: number }[];
  memorySwapLimitInBytes?: number;
  unified?: Record<string, string>;
}

export interface LinuxSandboxSecurityContext {
  namespaceOptions: NamespaceOption;
  runAsUser?: Int64Value;
  runAsGroup?: Int64Value;
  supplementalGroups?: number[];
  supplementalGroupsPolicy?: SupplementalGroupsPolicy;
  readonlyRootfs?: boolean;
  privileged?: boolean;
  seccomp?: SecurityProfile;
  apparmor?: SecurityProfile;
  selinuxOptions?: SELinuxOption;
}

export interface PodSandboxConfig {
  metadata: PodSandboxMetadata;
  hostname: string;
  logDirectory: string;
  dnsConfig?: DNSConfig;
  portMappings: PortMapping[];
  labels: Record<string, string>;
  annotations: Record<string, string>;
  linux: {
    cgroupParent: string;
    securityContext: LinuxSandboxSecurityContext;
    sysctls?: Record<string, string>;
    resources?: LinuxContainerResources;
  };
}

export type MountPropagation =
  | "PROPAGATION_PRIVATE"
  | "PROPAGATION_HOST_TO_CONTAINER"
  | "PROPAGATION_BIDIRECTIONAL";

export interface Mount {
  containerPath: string;
  hostPath: string;
  readonly: boolean;
  /** What is mounted below is read-only too. */
  recursiveReadOnly?: boolean;
  propagation: MountPropagation;
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
}

export interface Device {
  containerPath: string;
  hostPath: string;
  /** Of `r`, `w` and `m`: read, write, make. */
  permissions: string;
}

export interface LinuxContainerSecurityContext {
  namespaceOptions: NamespaceOption;
  capabilities?: { addCapabilities: string[]; dropCapabilities: string[] };
  privileged?: boolean;
  runAsUser?: Int64Value;
  runAsUsername?: string;
  runAsGroup?: Int64Value;
  readonlyRootfs?: boolean;
  supplementalGroups?: number[];
  supplementalGroupsPolicy?: SupplementalGroupsPolicy;
  noNewPrivs?: boolean;
  maskedPaths?: string[];
  readonlyPaths?: string[];
  seccomp?: SecurityProfile;
  apparmor?: SecurityProfile;
  selinuxOptions?: SELinuxOption;
}

export interface ContainerConfig {
  metadata: ContainerMetadata;
  image: ImageSpec;
  command: string[];
  args: string[];
  workingDir: string;
  envs: { key: string; value: string }[];
  mounts: Mount[];
  devices?: Device[];
  CDIDevices?: { name: string }[];
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** Relative to the sandbox's log directory. */
  logPath: string;
  stdin: boolean;
  stdinOnce: boolean;
  tty: boolean;
  /** Instead of the image's; runtimes older than containerd 2.1 do not know it. */
  stopSignal?: string;
  linux: { resources: LinuxContainerResources; securityContext: LinuxContainerSecurityContext };
}

export type PodSandboxState = "SANDBOX_READY" | "SANDBOX_NOTREADY";
export type ContainerState =
  | "CONTAINER_CREATED"
  | "CONTAINER_RUNNING"
  | "CONTAINER_EXITED"
  | "CONTAINER_UNKNOWN";

export interface PodSandbox {
  id: string;
  metadata: PodSandboxMetadata;
  state: PodSandboxState;
  /** "" is the default one. */
  runtimeHandler?: string;
  createdAt: number;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface PodSandboxStatus extends PodSandbox {
  network?: { ip: string; additionalIps: { ip: string }[] };
}

export interface Container {
  id: string;
  podSandboxId: string;
  metadata: ContainerMetadata;
  image: ImageSpec;
  imageRef: string;
  state: ContainerState;
  createdAt: number;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface ContainerStatus {
  id: string;
  metadata: ContainerMetadata;
  state: ContainerState;
  createdAt: number;
  startedAt: number;
  finishedAt: number;
  exitCode: number;
  image: ImageSpec;
  imageRef: string;
  reason: string;
  message: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  mounts: Mount[];
  logPath: string;
  /** Who its first process runs as; runtimes older than containerd 2.0 do not tell. */
  user?: { linux?: { uid: number; gid: number; supplementalGroups: number[] } | null } | null;
  /** Absent or `RUNTIME_DEFAULT` where the runtime knows of no signal but the image's. */
  stopSignal?: string;
}

export interface Image {
  id: string;
  repoTags: string[];
  repoDigests: string[];
  size: number;
  uid?: Int64Value;
  username: string;
  pinned: boolean;
}

export interface RuntimeCondition {
  type: string;
  status: boolean;
  reason: string;
  message: string;
}

/** One way to run containers; the default one has no name. */
export interface RuntimeHandler {
  name: string;
  features?: { recursiveReadOnlyMounts: boolean; userNamespaces: boolean } | null;
}

export interface RuntimeStatus {
  /** `RuntimeReady` and `NetworkReady`. */
  conditions: RuntimeCondition[];
  /** Empty where the runtime does not tell. */
  runtimeHandlers: RuntimeHandler[];
  features?: { supplementalGroupsPolicy: boolean } | null;
}

export interface RuntimeVersion {
  version: string;
  runtimeName: string;
  runtimeVersion: string;
  runtimeApiVersion: string;
}

export interface ExecSyncResult {
  stdout: Uint8Array;
  stderr: Uint8Array;
  exitCode: number;
}

export interface StreamOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

export interface AuthConfig {
  username?: string;
  password?: string;
  auth?: string;
  serverAddress?: string;
  identityToken?: string;
  registryToken?: string;
}

export interface FilesystemUsage {
  timestamp: number;
  fsId?: { mountpoint: string };
  usedBytes?: { value: number };
  inodesUsed?: { value: number };
}

export interface ContainerStats {
  attributes: { id: string; metadata: ContainerMetadata; labels: Record<string, string> };
  cpu?: { timestamp: number; usageCoreNanoSeconds?: { value: number } };
  memory?: {
    timestamp: number;
    workingSetBytes?: { value: number };
    usageBytes?: { value: number };
    rssBytes?: { value: number };
    pageFaults?: { value: number };
    majorPageFaults?: { value: number };
  };
  writableLayer?: FilesystemUsage;
}

/** Something happened to this container or sandbox: look again. */
export interface ContainerEvent {
  containerId: string;
  containerEventType:
    | "CONTAINER_CREATED_EVENT"
    | "CONTAINER_STARTED_EVENT"
    | "CONTAINER_STOPPED_EVENT"
    | "CONTAINER_DELETED_EVENT";
  podSandboxStatus?: PodSandboxStatus;
}

/** A call that the runtime refused; `code` is gRPC's name of the reason (`NOT_FOUND`, `UNAVAILABLE`…). */
export class RuntimeError extends Error {
  override name = "RuntimeError";
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** `NOT_FOUND` as Go's clients write it, who write Canceled with one l. */
function codeName(code: string): string {
  const words = code.replace("CANCELLED", "CANCELED").toLowerCase().split("_");
  return words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
}

/** An error of the runtime in the words that other kubelets pass on, and that people look for. */
export function rpcWords(error: unknown): string {
  if (!(error instanceof RuntimeError)) return messageOf(error);
  return `rpc error: code = ${codeName(error.code)} desc = ${error.message}`;
}

export function isRuntimeNotFound(error: unknown): boolean {
  return error instanceof RuntimeError && error.code === "NOT_FOUND";
}

export interface ContainerRuntime {
  version(): Promise<RuntimeVersion>;
  status(): Promise<RuntimeStatus>;
  updatePodCidr(podCidr: string): Promise<void>;

  /** Answers the sandbox's id. */
  runPodSandbox(config: PodSandboxConfig, runtimeHandler?: string): Promise<string>;
  /** Idempotent: its containers are killed and its network is torn down. */
  stopPodSandbox(sandboxId: string): Promise<void>;
  removePodSandbox(sandboxId: string): Promise<void>;
  podSandboxStatus(sandboxId: string): Promise<PodSandboxStatus>;
  listPodSandboxes(labels?: Record<string, string>): Promise<PodSandbox[]>;

  createContainer(
    sandboxId: string,
    config: ContainerConfig,
    sandboxConfig: PodSandboxConfig,
  ): Promise<string>;
  startContainer(containerId: string): Promise<void>;
  /** Idempotent: the stop signal, then after `timeoutSeconds` KILL. */
  stopContainer(containerId: string, timeoutSeconds: number): Promise<void>;
  /** Sends a signal to the container's first process. */
  signalContainer(containerId: string, signal: string): Promise<void>;
  removeContainer(containerId: string): Promise<void>;
  listContainers(labels?: Record<string, string>): Promise<Container[]>;
  containerStatus(containerId: string): Promise<ContainerStatus>;
  /**
   * Writes a running container's state into an archive at `location`, within `timeoutSeconds`; rejects with a
   * `RuntimeError` `UNIMPLEMENTED` where the runtime has no such call.
   */
  checkpointContainer(containerId: string, location: string, timeoutSeconds: number): Promise<void>;
  updateContainerResources(containerId: string, linux: LinuxContainerResources): Promise<void>;
  reopenContainerLog(containerId: string): Promise<void>;

  /** Rejects with `RuntimeError` `DEADLINE_EXCEEDED` when the command takes longer; 0 is without a limit. */
  execSync(containerId: string, command: string[], timeoutSeconds: number): Promise<ExecSyncResult>;
  /** The three streaming calls answer a URL of the runtime's own streaming server. */
  exec(containerId: string, command: string[], options: StreamOptions): Promise<string>;
  attach(containerId: string, options: StreamOptions): Promise<string>;
  portForward(sandboxId: string, ports: number[]): Promise<string>;

  /** Ends with a `RuntimeError` `UNIMPLEMENTED` where the runtime has no event stream. */
  containerEvents(signal: AbortSignal): AsyncIterable<ContainerEvent>;
  listContainerStats(): Promise<ContainerStats[]>;

  listImages(): Promise<Image[]>;
  imageStatus(image: string): Promise<Image | undefined>;
  /** Answers the image's reference (its id). */
  pullImage(image: string, auth?: AuthConfig, sandboxConfig?: PodSandboxConfig): Promise<string>;
  removeImage(image: string): Promise<void>;
  imageFsInfo(): Promise<FilesystemUsage[]>;
  /** Idempotent: what the present image holds, at this folder, read-only. Rejects where the runtime has no such means. */
  mountImage(image: string, target: string): Promise<void>;
  /** Idempotent: the folder is gone. */
  unmountImage(target: string): Promise<void>;
}
