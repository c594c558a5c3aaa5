/**
 * Which kernel parameters a pod may set: the safe ones, and those that the node's settings allow. Pure.
 * https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/
 */
import type { corev1 } from "#api";

const safe = new Set([
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.ping_group_range",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_wmem",
]);

type Namespace = "ipc" | "net";

/** In which namespace of the kernel a parameter lies; one that lies in none is the whole machine's. */
function namespaceOf(name: string): Namespace | undefined {
  if (/^net\./.test(name)) return "net";
  return /^(kernel\.(sem$|shm|msg)|fs\.mqueue\.)/.test(name) ? "ipc" : undefined;
}

/** `net/ipv4/tcp_syncookies` is the same parameter; the separator that comes first is the one that is meant. */
function canonical(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  return first === "/" ? name.replaceAll(/[./]/g, (c) => (c === "/" ? "." : "/")) : name;
}

const matches = (pattern: string, name: string) =>
  pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;

/** Throws an `Error` for a pattern that would let pods change the whole machine. */
export function checkSysctlPattern(pattern: string): void {
  const name = canonical(pattern.replace(/\*$/, "x"));
  if (!/^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*([./]|[-_])?\*?$/.test(pattern))
    throw new Error(`has an invalid sysctl pattern "${pattern}"`);
  if (!namespaceOf(name))
    throw new Error(`has "${pattern}", which is not known to be in a namespace of its own`);
}

/** Why the pod is not taken; undefined: it may set what it names. */
export function forbiddenSysctl(
  { spec }: Readonly<corev1.Pod>,
  allowedUnsafe: readonly string[],
): string | undefined {
  const words = (name: string, why: string) => `forbidden sysctl: "${name}" ${why}`;
  for (const { name } of spec.securityContext?.sysctls ?? []) {
    const known = canonical(name);
    const isAllowed = safe.has(known) || allowedUnsafe.some((each) => matches(canonical(each), known));
    if (!isAllowed) return words(name, "not allowlisted");
    const namespace = namespaceOf(known);
    if (namespace === "net" && spec.hostNetwork) return words(name, "not allowed with host net enabled");
    if (namespace === "ipc" && spec.hostIPC) return words(name, "not allowed with host ipc enabled");
  }
  return undefined;
}
