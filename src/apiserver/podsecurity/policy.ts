/**
 * Which standards a namespace asks for by its labels, and what of a pod is against them.
 * https://kubernetes.io/docs/concepts/security/pod-security-admission/
 */
import { type FieldError, invalid } from "#api";
import { baselineChecks } from "./baseline.ts";
import type { Check, CheckedPod, Violation } from "./check.ts";
import { restrictedChecks } from "./restricted.ts";

const levels = ["privileged", "baseline", "restricted"] as const;
type Level = (typeof levels)[number];

/** The newest version of the standards that there is. */
const latestMinor = 36;

export interface Standard {
  level: Level;
  /** `latest` or `v1.25`. */
  version: string;
}

export interface NamespacePolicy {
  /** Pods against it are refused. */
  enforce: Standard;
  /** Pods against it are told of. */
  warn: Standard;
}

type Labels = Readonly<Record<string, string>> | undefined;

const prefix = "pod-security.kubernetes.io/";

/** Labels that cannot be understood ask for the strictest, where pods are refused, and for nothing, where they are told of. */
export function policyOf(labels: Labels): NamespacePolicy {
  return {
    enforce: standardOf(labels, "enforce", "restricted"),
    warn: standardOf(labels, "warn", "privileged"),
  };
}

function standardOf(labels: Labels, mode: string, unclear: Level): Standard {
  const level = labels?.[prefix + mode] ?? "privileged";
  const version = labels?.[`${prefix}${mode}-version`] ?? "latest";
  return {
    level: isLevel(level) ? level : unclear,
    version: isVersion(version) ? version : "latest",
  };
}

function isLevel(text: string): text is Level {
  return levels.some((level) => level === text);
}

function isVersion(text: string): boolean {
  return text === "latest" || /^v1\.([0-9]|[1-9][0-9]{1,8})$/.test(text);
}

/** What is wrong with the labels of a namespace. */
export function labelErrors(labels: Labels): FieldError[] {
  return ["enforce", "audit", "warn"].flatMap((mode) => {
    const errors: FieldError[] = [];
    const check = (label: string, isGood: (text: string) => boolean, why: string) => {
      const value = labels?.[label];
      if (value !== undefined && !isGood(value))
        errors.push(invalid(`metadata.labels[${label}]`, value, why));
    };
    check(prefix + mode, isLevel, `must be one of ${levels.join(", ")}`);
    check(`${prefix}${mode}-version`, isVersion, 'must be "latest" or "v1.x"');
    return errors;
  });
}

export function isStricter(a: Standard, b: Standard): boolean {
  if (a.level === "privileged") return false;
  return a.version !== b.version || levels.indexOf(a.level) > levels.indexOf(b.level);
}

export function nameOf({ level, version }: Standard): string {
  return `"${level}:${version}"`;
}

/** In the order in which they are told. */
export function violationsOf({ level, version }: Standard, pod: Omit<CheckedPod, "minor">): Violation[] {
  if (level === "privileged") return [];
  const asked = version === "latest" ? latestMinor : Number(version.slice("v1.".length));
  const minor = Math.min(asked, latestMinor);
  return checksOf(level)
    .filter(({ since }) => since <= minor)
    .flatMap((check) => check.find({ ...pod, minor }) ?? []);
}

function checksOf(level: Level): readonly Check[] {
  if (level === "baseline") return baselineChecks;
  return [...baselineChecks.filter(({ overlaps }) => !overlaps), ...restrictedChecks];
}

/** `privileged (container "c" must not set securityContext.privileged=true), …` */
export function detailsOf(violations: readonly Violation[]): string {
  return violations.map(({ reason, detail }) => `${reason} (${detail})`).join(", ");
}
