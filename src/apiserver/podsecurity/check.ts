/**
 * One rule of the Pod Security Standards, and the words in which all of them speak.
 * https://kubernetes.io/docs/concepts/security/pod-security-standards/
 */
import type { corev1 } from "#api";

export interface CheckedPod {
  readonly metadata: Readonly<{ annotations?: Record<string, string> }>;
  readonly spec: Readonly<corev1.PodSpec>;
  /** Of the standards: 36 for v1.36. */
  readonly minor: number;
}

/** Why a pod is not as it should be: in short, and where. */
export interface Violation {
  reason: string;
  detail: string;
}

export interface Check {
  /** The first version of the standards that has it. */
  since: number;
  /** A stricter one of the level above says the same: there this one is left out. */
  overlaps?: boolean;
  find(pod: CheckedPod): Violation | undefined;
}

export type Container = Readonly<corev1.Container | corev1.EphemeralContainer>;
export type SecurityContext = Readonly<corev1.SecurityContext>;

export function containersOf({ spec }: CheckedPod): Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
}

/** Sorted, each once. */
export function sorted(values: Iterable<string>): string[] {
  return [...new Set(values)].sort();
}

export function quoted(values: readonly string[]): string {
  return values.map((value) => `"${value}"`).join(", ");
}

export function plural(word: string, { length }: { length: number }): string {
  return length === 1 ? word : `${word}s`;
}

/** `container "a"`, `containers "a", "b"`. */
export function named(containers: readonly Container[]): string {
  const names = containers.map(({ name = "" }) => name);
  return `${plural("container", names)} ${quoted(names)}`;
}

/** Those who set something: `pod and container "a"`; undefined where nobody did. */
export function setters(isPod: boolean, containers: readonly Container[]): string | undefined {
  const all = [...(isPod ? ["pod"] : []), ...(containers.length > 0 ? [named(containers)] : [])];
  return all.length > 0 ? all.join(" and ") : undefined;
}

/** Some checks make no sense there since v1.25. */
export function isWindows({ spec, minor }: CheckedPod): boolean {
  return minor >= 25 && spec.os?.name === "windows";
}

/** Root of a user namespace is nobody outside: since v1.35 some checks let it pass. */
export function hasUserNamespace({ spec, minor }: CheckedPod): boolean {
  return minor >= 35 && spec.hostUsers === false;
}
