/**
 * Who a container runs as and what it may do: the pod's and the container's security contexts, joined. Pure.
 * https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
 */
import type { corev1 } from "#api";
import type {
  Image,
  LinuxContainerSecurityContext,
  LinuxSandboxSecurityContext,
  NamespaceOption,
  SecurityProfile,
  SupplementalGroupsPolicy,
  UserNamespace,
} from "#contracts";
import { ContainerConfigError } from "./environment.ts";

/** What a container must not see of the host under `/proc` and `/sys`. */
const maskedPaths = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

function namespaceOptions(pod: Readonly<corev1.Pod>, users: UserNamespace | undefined): NamespaceOption {
  return {
    ...(users ? { usernsOptions: users } : {}),
    network: pod.spec.hostNetwork ? "NODE" : "POD",
    pid: pod.spec.hostPID ? "NODE" : pod.spec.shareProcessNamespace ? "POD" : "CONTAINER",
    ipc: pod.spec.hostIPC ? "NODE" : "POD",
  };
}

/** Unset means unconfined, unless the node is told to confine by default. */
export function seccompProfile(
  profile: Readonly<corev1.SeccompProfile> | undefined,
  byDefault: boolean,
  profileRoot: string,
): SecurityProfile {
  if (profile?.type === "RuntimeDefault" || (!profile && byDefault)) return { profileType: "RuntimeDefault" };
  if (profile?.type === "Localhost") {
    return { profileType: "Localhost", localhostRef: `${profileRoot}/${profile.localhostProfile ?? ""}` };
  }
  return { profileType: "Unconfined" };
}

/** Unset is the runtime's own, where the kernel has AppArmor. */
function appArmorOf(profile: Readonly<corev1.AppArmorProfile> | undefined): { apparmor?: SecurityProfile } {
  if (!profile) return {};
  if (profile.type === "Localhost")
    return { apparmor: { profileType: "Localhost", localhostRef: profile.localhostProfile ?? "" } };
  return {
    apparmor: { profileType: profile.type === "Unconfined" ? "Unconfined" : "RuntimeDefault" },
  };
}

/** Whether the pod can run only where AppArmor confines it. */
export function needsAppArmor({ spec }: Readonly<corev1.Pod>): boolean {
  return [...spec.containers, ...(spec.initContainers ?? [])].some(({ securityContext }) => {
    const profile = securityContext?.appArmorProfile ?? spec.securityContext?.appArmorProfile;
    return profile !== undefined && profile.type !== "Unconfined";
  });
}

function groupsOf(pod: Readonly<corev1.Pod>): number[] {
  const { supplementalGroups = [], fsGroup } = pod.spec.securityContext ?? {};
  return [...supplementalGroups, ...(fsGroup === undefined ? [] : [fsGroup])];
}

/** Unset is the runtime's own, which is `Merge`. */
function groupsPolicyOf(pod: Readonly<corev1.Pod>): { supplementalGroupsPolicy?: SupplementalGroupsPolicy } {
  const policy = pod.spec.securityContext?.supplementalGroupsPolicy;
  return policy ? { supplementalGroupsPolicy: policy as SupplementalGroupsPolicy } : {};
}

export interface SecuritySettings {
  seccompDefault: boolean;
  seccompProfileRoot: string;
}

export function sandboxSecurity(
  pod: Readonly<corev1.Pod>,
  settings: SecuritySettings,
  users?: UserNamespace,
): LinuxSandboxSecurityContext {
  const context = pod.spec.securityContext ?? {};
  const privileged = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].some(
    (c) => c.securityContext?.privileged,
  );
  return {
    namespaceOptions: namespaceOptions(pod, users),
    ...(context.runAsUser === undefined ? {} : { runAsUser: { value: context.runAsUser } }),
    // A group without a user is refused by the runtime.
    ...(context.runAsGroup === undefined || context.runAsUser === undefined
      ? {}
      : { runAsGroup: { value: context.runAsGroup } }),
    supplementalGroups: groupsOf(pod),
    ...groupsPolicyOf(pod),
    ...appArmorOf(context.appArmorProfile),
    privileged,
    seccomp: seccompProfile(
      context.seccompProfile ?? { type: "RuntimeDefault" },
      settings.seccompDefault,
      settings.seccompProfileRoot,
    ),
  };
}

/** Refuses a container that must not be root and would be. */
export function verifyNonRoot(
  pod: Readonly<corev1.Pod>,
  container: Readonly<corev1.Container>,
  image: Readonly<Pick<Image, "uid" | "username">>,
): void {
  const own = container.securityContext ?? {};
  const shared = pod.spec.securityContext ?? {};
  if (!(own.runAsNonRoot ?? shared.runAsNonRoot)) return;
  const runAsUser = own.runAsUser ?? shared.runAsUser;
  const about = `(pod: "${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})", container: ${container.name})`;
  if (runAsUser !== undefined) {
    if (runAsUser === 0)
      throw new ContainerConfigError(`container's runAsUser breaks non-root policy ${about}`);
    return;
  }
  if (image.uid && image.uid.value !== 0) return;
  if (!image.uid && image.username) {
    throw new ContainerConfigError(
      `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${about}`,
    );
  }
  throw new ContainerConfigError(`container has runAsNonRoot and image will run as root ${about}`);
}

function userOf(uid: number | undefined, username: string): Partial<LinuxContainerSecurityContext> {
  if (uid !== undefined) return { runAsUser: { value: uid } };
  return username ? { runAsUsername: username } : {};
}

export function containerSecurity(
  pod: Readonly<corev1.Pod>,
  container: Readonly<corev1.Container>,
  image: Readonly<Pick<Image, "uid" | "username">>,
  settings: SecuritySettings,
  targetId?: string,
  users?: UserNamespace,
): LinuxContainerSecurityContext {
  const own = container.securityContext ?? {};
  const shared = pod.spec.securityContext ?? {};
  const runAsUser = own.runAsUser ?? shared.runAsUser ?? image.uid?.value;
  const runAsGroup = own.runAsGroup ?? shared.runAsGroup;
  const unmasked = own.procMount === "Unmasked" || own.privileged === true;
  const namespaces = namespaceOptions(pod, users);
  const isTargeted = targetId !== undefined && namespaces.pid === "CONTAINER";
  return {
    namespaceOptions: isTargeted ? { ...namespaces, pid: "TARGET", targetId } : namespaces,
    privileged: own.privileged ?? false,
    capabilities: {
      addCapabilities: own.capabilities?.add ?? [],
      dropCapabilities: own.capabilities?.drop ?? [],
    },
    ...userOf(runAsUser, image.username),
    ...(runAsGroup === undefined ? {} : { runAsGroup: { value: runAsGroup } }),
    readonlyRootfs: own.readOnlyRootFilesystem ?? false,
    supplementalGroups: groupsOf(pod),
    ...groupsPolicyOf(pod),
    noNewPrivs: own.allowPrivilegeEscalation === false,
    maskedPaths: unmasked ? [] : maskedPaths,
    readonlyPaths: unmasked ? [] : readonlyPaths,
    ...appArmorOf(own.appArmorProfile ?? shared.appArmorProfile),
    seccomp: own.privileged
      ? { profileType: "Unconfined" }
      : seccompProfile(
          own.seccompProfile ?? shared.seccompProfile,
          settings.seccompDefault,
          settings.seccompProfileRoot,
        ),
  };
}
