/** The runtime's configuration of a pod's sandbox and of each container. Pure. */
import type { corev1 } from "#api";
import type {
  ContainerConfig,
  Device,
  DNSConfig,
  Image,
  LinuxContainerResources,
  Mount,
  PodSandboxConfig,
  UserNamespace,
} from "#contracts";
import { expand } from "./environment.ts";
import { containerAnnotations, containerLabels, sandboxLabels } from "./labels.ts";
import { hostnameOf } from "./pod-network-config.ts";
import { containerSecurity, type SecuritySettings, sandboxSecurity } from "./security-context.ts";

/** Below the folder of the pod's logs. */
export function logPathOf({ name }: Readonly<corev1.Container>, restartCount: number): string {
  return `${name}/${restartCount}.log`;
}

/** `<namespace>_<name>_<uid>`: the folder of a pod's logs. */
export function logDirectoryName(pod: {
  metadata: { namespace?: string; name: string; uid: string };
}): string {
  return `${pod.metadata.namespace}_${pod.metadata.name}_${pod.metadata.uid}`;
}

export interface SandboxInput {
  pod: Readonly<corev1.Pod>;
  attempt: number;
  logDirectory: string;
  cgroupParent: string;
  dns: DNSConfig;
  /** `setHostnameAsFQDN` puts the whole name in place of the short one. */
  domainName: string;
  security: SecuritySettings;
  users?: UserNamespace | undefined;
}

/** What fits into the kernel's name of a node. */
const kernelHostnameMax = 64;

/** https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-sethostnameasfqdn-field */
function kernelHostname(pod: Readonly<corev1.Pod>, domainName: string): string {
  if (!pod.spec.setHostnameAsFQDN || !domainName) return hostnameOf(pod);
  if (domainName.length <= kernelHostnameMax) return domainName;
  const why = `FQDN ${domainName} is too long (${kernelHostnameMax} characters is the max, ${domainName.length} characters requested)`;
  throw new Error(`failed to construct FQDN from pod hostname and cluster domain, ${why}`);
}

/** Throws an `Error` for a name that no kernel takes. */
export function sandboxConfig(input: SandboxInput): PodSandboxConfig {
  const { pod } = input;
  const ports = pod.spec.containers.flatMap((c) => c.ports ?? []);
  const hostname = kernelHostname(pod, input.domainName);
  return {
    metadata: {
      name: pod.metadata.name,
      uid: pod.metadata.uid,
      namespace: pod.metadata.namespace ?? "",
      attempt: input.attempt,
    },
    // The host's network namespace brings the host's own name.
    hostname: pod.spec.hostNetwork ? "" : hostname,
    logDirectory: input.logDirectory,
    dnsConfig: input.dns,
    portMappings: ports
      .filter((p) => p.hostPort && !pod.spec.hostNetwork)
      .map((p) => ({
        protocol: (p.protocol ?? "TCP") as "TCP" | "UDP" | "SCTP",
        containerPort: p.containerPort,
        hostPort: p.hostPort!,
        hostIp: p.hostIP ?? "",
      })),
    labels: sandboxLabels(pod),
    annotations: pod.metadata.annotations ?? {},
    linux: {
      cgroupParent: input.cgroupParent,
      securityContext: sandboxSecurity(pod, input.security, input.users),
      sysctls: Object.fromEntries((pod.spec.securityContext?.sysctls ?? []).map((s) => [s.name, s.value])),
    },
  };
}

export interface ContainerInput {
  pod: Readonly<corev1.Pod>;
  container: Readonly<corev1.Container>;
  image: Readonly<Image>;
  environment: ReadonlyMap<string, string>;
  mounts: Mount[];
  devices: Device[];
  cdiDevices: { name: string }[];
  /** Beside the kubelet's own. */
  annotations: Readonly<Record<string, string>>;
  restartCount: number;
  resources: LinuxContainerResources;
  security: SecuritySettings;
  /** The container whose processes this one shall see. */
  targetId?: string | undefined;
  users?: UserNamespace | undefined;
}

/** What is mounted shows itself to the container's users as its own. */
function mapped(mounts: Mount[], users: UserNamespace | undefined): Mount[] {
  const { uids, gids } = users ?? {};
  if (!uids || !gids) return mounts;
  return mounts.map((mount) => ({ ...mount, uidMappings: uids, gidMappings: gids }));
}

export function containerConfig(input: ContainerInput): ContainerConfig {
  const { pod, container, environment, users } = input;
  const expanded = (words: readonly string[] | undefined) => (words ?? []).map((w) => expand(w, environment));
  return {
    metadata: { name: container.name, attempt: input.restartCount },
    image: {
      image: input.image.id,
      annotations: {},
      ...(container.image ? { userSpecifiedImage: container.image } : {}),
    },
    command: expanded(container.command),
    args: expanded(container.args),
    workingDir: container.workingDir ?? "",
    envs: [...environment].map(([key, value]) => ({ key, value })),
    mounts: mapped(input.mounts, users),
    devices: input.devices,
    ...(input.cdiDevices.length > 0 ? { CDIDevices: input.cdiDevices } : {}),
    labels: containerLabels(pod, container.name),
    annotations: { ...input.annotations, ...containerAnnotations(pod, container, input.restartCount) },
    logPath: logPathOf(container, input.restartCount),
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    ...(container.lifecycle?.stopSignal ? { stopSignal: container.lifecycle.stopSignal } : {}),
    linux: {
      resources: input.resources,
      securityContext: containerSecurity(pod, container, input.image, input.security, input.targetId, users),
    },
  };
}
