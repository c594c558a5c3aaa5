/**
 * What the level "baseline" forbids, in the order in which it is told.
 * https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
 */
import type { corev1 } from "#api";
import {
  type Check,
  type CheckedPod,
  type Container,
  containersOf,
  hasUserNamespace,
  named,
  plural,
  quoted,
  type SecurityContext,
  setters,
  sorted,
  type Violation,
} from "./check.ts";

const defaultCapabilities = new Set([
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
]);

/** With the version of the standards that knows them as safe. */
const safeSysctls = new Map([
  ["kernel.shm_rmid_forced", 0],
  ["net.ipv4.ip_local_port_range", 0],
  ["net.ipv4.tcp_syncookies", 0],
  ["net.ipv4.ping_group_range", 0],
  ["net.ipv4.ip_unprivileged_port_start", 0],
  ["net.ipv4.ip_local_reserved_ports", 27],
  ["net.ipv4.tcp_keepalive_time", 29],
  ["net.ipv4.tcp_fin_timeout", 29],
  ["net.ipv4.tcp_keepalive_intvl", 29],
  ["net.ipv4.tcp_keepalive_probes", 29],
  ["net.ipv4.tcp_rmem", 32],
  ["net.ipv4.tcp_wmem", 32],
]);

const seLinuxTypes = new Map([
  ["", 0],
  ["container_t", 0],
  ["container_init_t", 0],
  ["container_kvm_t", 0],
  ["container_engine_t", 31],
]);

const appArmorAnnotation = "container.apparmor.security.beta.kubernetes.io/";

function appArmorProfile({ metadata, spec, ...pod }: CheckedPod): Violation | undefined {
  const isBad = (context: { appArmorProfile?: { type: string } } | undefined) =>
    context?.appArmorProfile !== undefined &&
    !["RuntimeDefault", "Localhost"].includes(context.appArmorProfile.type);
  const bad = containersOf({ metadata, spec, ...pod }).filter(({ securityContext }) =>
    isBad(securityContext),
  );
  const podIsBad = isBad(spec.securityContext);
  const types = [...(podIsBad ? [spec.securityContext] : []), ...bad.map((each) => each.securityContext)];
  const details: string[] = [];
  const who = setters(podIsBad, bad);
  if (who) {
    const values = quoted(sorted(types.map((context) => context!.appArmorProfile!.type)));
    details.push(`${who} must not set AppArmor profile type to ${values}`);
  }
  const annotations = Object.entries(metadata.annotations ?? {})
    .filter(([key, value]) => key.startsWith(appArmorAnnotation) && !isSafeAppArmor(value))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .sort();
  if (annotations.length > 0) details.push(`${plural("annotation", annotations)} ${annotations.join(", ")}`);
  if (details.length === 0) return undefined;
  return { reason: plural("forbidden AppArmor profile", types), detail: details.join("; ") };
}

function isSafeAppArmor(profile: string): boolean {
  return profile === "" || profile === "runtime/default" || profile.startsWith("localhost/");
}

function hostNamespaces({ spec }: CheckedPod): Violation | undefined {
  const shared = (["hostIPC", "hostNetwork", "hostPID"] as const).filter((name) => spec[name]);
  return shared.length > 0 ? { reason: "host namespaces", detail: shared.join(", ") } : undefined;
}

function hostPorts(pod: CheckedPod): Violation | undefined {
  const portsOf = ({ ports }: Container) => (ports ?? []).flatMap(({ hostPort }) => hostPort || []);
  const bad = containersOf(pod).filter((container) => portsOf(container).length > 0);
  if (bad.length === 0) return undefined;
  const ports = sorted(bad.flatMap(portsOf).map(String));
  const detail = `${named(bad)} ${bad.length === 1 ? "uses" : "use"} ${plural("hostPort", ports)} ${ports.join(", ")}`;
  return { reason: "hostPort", detail };
}

function hostsOf({ livenessProbe, readinessProbe, startupProbe, lifecycle }: Container): string[] {
  const handlers = [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop];
  return handlers.flatMap((handler) => [handler?.httpGet?.host, handler?.tcpSocket?.host].filter(isText));
}

function isText(value: string | undefined): value is string {
  return Boolean(value);
}

function probeHosts(pod: CheckedPod): Violation | undefined {
  const bad = containersOf(pod).filter((container) => hostsOf(container).length > 0);
  if (bad.length === 0) return undefined;
  const hosts = sorted(bad.flatMap(hostsOf));
  const names = sorted(bad.map(({ name = "" }) => name));
  const who = `${plural("container", names)} ${quoted(names)} ${names.length === 1 ? "uses" : "use"}`;
  return {
    reason: "probe or lifecycle host",
    detail: `${who} ${plural("probe or lifecycle host", hosts)} ${quoted(hosts)}`,
  };
}

function privileged(pod: CheckedPod): Violation | undefined {
  const bad = containersOf(pod).filter(({ securityContext }) => securityContext?.privileged);
  if (bad.length === 0) return undefined;
  return { reason: "privileged", detail: `${named(bad)} must not set securityContext.privileged=true` };
}

export function procMount(pod: CheckedPod): Violation | undefined {
  const typeOf = ({ securityContext }: Container) => securityContext?.procMount ?? "Default";
  const bad = containersOf(pod).filter((container) => typeOf(container) !== "Default");
  if (bad.length === 0) return undefined;
  const types = quoted(sorted(bad.map(typeOf)));
  return { reason: "procMount", detail: `${named(bad)} must not set securityContext.procMount to ${types}` };
}

type SELinuxOptions = Readonly<corev1.SELinuxOptions>;

function seLinuxOptions(pod: CheckedPod): Violation | undefined {
  const isBadType = ({ type = "" }: SELinuxOptions) => (seLinuxTypes.get(type) ?? 1000) > pod.minor;
  const isBad = (options: SELinuxOptions | undefined): options is SELinuxOptions =>
    options !== undefined && (isBadType(options) || Boolean(options.user) || Boolean(options.role));
  const bad = containersOf(pod).filter(({ securityContext }) => isBad(securityContext?.seLinuxOptions));
  const own = pod.spec.securityContext?.seLinuxOptions;
  const who = setters(isBad(own), bad);
  if (!who) return undefined;
  const all = [own, ...bad.map(({ securityContext }) => securityContext?.seLinuxOptions)].filter(isBad);
  const types = sorted(all.filter(isBadType).map(({ type }) => type ?? ""));
  const wrong = [
    ...(types.length > 0 ? [`${plural("type", types)} ${quoted(types)}`] : []),
    ...(all.some(({ user }) => user) ? ["user may not be set"] : []),
    ...(all.some(({ role }) => role) ? ["role may not be set"] : []),
  ];
  const detail = `${who} set forbidden securityContext.seLinuxOptions: ${wrong.join("; ")}`;
  return { reason: "seLinuxOptions", detail };
}

function sysctls({ spec, minor }: CheckedPod): Violation | undefined {
  const bad = (spec.securityContext?.sysctls ?? [])
    .map(({ name }) => name)
    .filter((name) => (safeSysctls.get(name) ?? 1000) > minor);
  return bad.length > 0 ? { reason: "forbidden sysctls", detail: bad.join(", ") } : undefined;
}

function hostProcess(pod: CheckedPod): Violation | undefined {
  const bad = containersOf(pod).filter(({ securityContext }) => securityContext?.windowsOptions?.hostProcess);
  const who = setters(Boolean(pod.spec.securityContext?.windowsOptions?.hostProcess), bad);
  if (!who) return undefined;
  return {
    reason: "hostProcess",
    detail: `${who} must not set securityContext.windowsOptions.hostProcess=true`,
  };
}

function addedCapabilities(pod: CheckedPod): Violation | undefined {
  const added = ({ securityContext }: Container) =>
    (securityContext?.capabilities?.add ?? []).filter((name) => !defaultCapabilities.has(name));
  const bad = containersOf(pod).filter((container) => added(container).length > 0);
  if (bad.length === 0) return undefined;
  const names = quoted(sorted(bad.flatMap(added)));
  return {
    reason: "non-default capabilities",
    detail: `${named(bad)} must not include ${names} in securityContext.capabilities.add`,
  };
}

function hostPathVolumes({ spec }: CheckedPod): Violation | undefined {
  const names = (spec.volumes ?? []).filter(({ hostPath }) => hostPath).map(({ name }) => name);
  if (names.length === 0) return undefined;
  return { reason: "hostPath volumes", detail: `${plural("volume", names)} ${quoted(names)}` };
}

export function isSafeSeccomp(context: Pick<SecurityContext, "seccompProfile"> | undefined): boolean {
  return ["RuntimeDefault", "Localhost"].includes(context?.seccompProfile?.type ?? "");
}

/** Profiles that switch it off. */
export function seccompProfile(pod: CheckedPod): Violation | undefined {
  const isBad = (context: Pick<SecurityContext, "seccompProfile"> | undefined) =>
    context?.seccompProfile !== undefined && !isSafeSeccomp(context);
  const bad = containersOf(pod).filter(({ securityContext }) => isBad(securityContext));
  const own = pod.spec.securityContext;
  const who = setters(isBad(own), bad);
  if (!who) return undefined;
  const all = [own, ...bad.map(({ securityContext }) => securityContext)].filter(isBad);
  const types = quoted(sorted(all.map((context) => context?.seccompProfile?.type ?? "")));
  return {
    reason: "seccompProfile",
    detail: `${who} must not set securityContext.seccompProfile.type to ${types}`,
  };
}

export const baselineChecks: readonly Check[] = [
  { since: 0, find: appArmorProfile },
  { since: 0, find: hostNamespaces },
  { since: 0, find: hostPorts },
  { since: 34, find: probeHosts },
  { since: 0, find: privileged },
  { since: 0, find: (pod) => (hasUserNamespace(pod) ? undefined : procMount(pod)) },
  { since: 0, find: seLinuxOptions },
  { since: 0, find: sysctls },
  { since: 0, find: hostProcess },
  { since: 0, overlaps: true, find: addedCapabilities },
  { since: 0, overlaps: true, find: hostPathVolumes },
  { since: 19, overlaps: true, find: seccompProfile },
];
