/**
 * What is valid in a pod but hardly meant: told, not refused.
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/api/pod/warnings.go
 */
import type { corev1, metav1 } from "../../generated/types/index.ts";
import { parseQuantity } from "../../meta/quantity.ts";
import { ipWarnings } from "../../validation/addresses.ts";
import { dnsLabelErrors } from "../../validation/names.ts";
import { nodeLabelDeprecation, nodeTermWarnings } from "../node-labels.ts";

type Spec = Readonly<corev1.PodSpec>;
type Container = Readonly<corev1.Container>;
type Annotations = Readonly<Record<string, string>>;
interface Place {
  readonly container: Container;
  readonly at: string;
}

const deprecatedAnnotations: readonly (readonly [string, string])[] = [
  [
    "scheduler.alpha.kubernetes.io/critical-pod",
    'non-functional in v1.16+; use the "priorityClassName" field instead',
  ],
  ["security.alpha.kubernetes.io/sysctls", 'non-functional in v1.11+; use the "sysctls" field instead'],
  [
    "security.alpha.kubernetes.io/unsafe-sysctls",
    'non-functional in v1.11+; use the "sysctls" field instead',
  ],
];
const deprecatedVolumes: readonly (readonly [keyof corev1.Volume, string])[] = [
  ["photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"],
  ["gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"],
  ["scaleIO", "deprecated in v1.16, non-functional in v1.22+"],
  ["flocker", "deprecated in v1.22, non-functional in v1.25+"],
  ["storageos", "deprecated in v1.22, non-functional in v1.25+"],
  ["quobyte", "deprecated in v1.22, non-functional in v1.25+"],
  ["glusterfs", "deprecated in v1.25, non-functional in v1.26+"],
  ["cephfs", "deprecated in v1.28, non-functional in v1.31+"],
  ["rbd", "deprecated in v1.28, non-functional in v1.31+"],
];
const seccompPod = "seccomp.security.alpha.kubernetes.io/pod";
const seccompContainer = "container.seccomp.security.alpha.kubernetes.io/";
const appArmorContainer = "container.apparmor.security.beta.kubernetes.io/";
const seccompMessage = 'non-functional in v1.27+; use the "seccompProfile" field instead';
const noPodMatched = "a null labelSelector results in matching no pod";

const quoted = (text: unknown) => JSON.stringify(text ?? "");

/** Of a pod, whose path is empty, and of a template, whose path is that of the template. */
function podSpecWarnings(
  spec: Spec,
  metadata: Readonly<metav1.ObjectMeta> | undefined,
  path: string,
): string[] {
  const at = path ? `${path}.spec` : "spec";
  const annotationsAt = path ? `${path}.metadata.annotations` : "metadata.annotations";
  const places = containersOf(spec, at);
  return [
    ...schedulingWarnings(spec, at),
    ...annotationWarnings(spec, metadata?.annotations, annotationsAt, places, path !== ""),
    ...volumeWarnings(spec, at),
    ...listWarnings(spec, at),
    ...fractionWarnings(spec.overhead, `${at}.overhead`),
    ...places.flatMap(containerWarnings),
    ...portWarnings(places),
    ...((spec.terminationGracePeriodSeconds ?? 0) < 0
      ? [
          `${at}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`,
        ]
      : []),
    ...affinityWarnings(spec, at),
    ...addressWarnings(spec, at),
  ];
}

/** Changes of pods come from machines, and often. */
export function podWarnings(pod: Readonly<corev1.Pod>, old: Readonly<corev1.Pod> | undefined): string[] {
  if (!pod.spec || old) return [];
  const rule = "this is used in the Pod's hostname, which can result in surprising behavior";
  return [...nameWarnings(pod, rule), ...podSpecWarnings(pod.spec, pod.metadata, "")];
}

export function podTemplateWarnings(
  template: Readonly<corev1.PodTemplateSpec> | undefined,
  path: string,
): string[] {
  return template?.spec ? podSpecWarnings(template.spec, template.metadata, path) : [];
}

interface Workload {
  readonly metadata: Readonly<metav1.ObjectMeta>;
  readonly spec?: { readonly template?: Readonly<corev1.PodTemplateSpec> };
}

/** Of kinds whose pods take their name over. */
export function namedWorkloadWarnings(object: Workload, old: Workload | undefined): string[] {
  return [...workloadNameWarnings(object, old), ...workloadWarnings(object, old)];
}

export function workloadWarnings(object: Workload, old: Workload | undefined): string[] {
  return isUnchanged(object, old) ? [] : podTemplateWarnings(object.spec?.template, "spec.template");
}

export function workloadNameWarnings(
  object: Pick<Workload, "metadata">,
  old: Pick<Workload, "metadata"> | undefined,
): string[] {
  if (old) return [];
  const rule = "this is used in Pod names and hostnames, which can result in surprising behavior";
  return nameWarnings(object, rule);
}

/** What was told when it was written is not told with every label that changes. */
export function isUnchanged(
  object: Pick<Workload, "metadata">,
  old: Pick<Workload, "metadata"> | undefined,
): boolean {
  return old !== undefined && object.metadata.generation === old.metadata.generation;
}

function nameWarnings(
  { metadata }: { readonly metadata: Readonly<metav1.ObjectMeta> },
  rule: string,
): string[] {
  const errors = dnsLabelErrors(metadata.name ?? "");
  if (errors.length === 0) return [];
  return [`metadata.name: ${rule}; a DNS label is recommended: [${errors.join(" ")}]`];
}

function containersOf(spec: Spec, at: string): Place[] {
  const place = (list: string) => (container: Container | corev1.EphemeralContainer, i: number) => ({
    container: container as Container,
    at: `${at}.${list}[${i}]`,
  });
  return [
    ...(spec.initContainers ?? []).map(place("initContainers")),
    ...(spec.containers ?? []).map(place("containers")),
    ...(spec.ephemeralContainers ?? []).map(place("ephemeralContainers")),
  ];
}

function schedulingWarnings(spec: Spec, at: string): string[] {
  const warnings: string[] = [];
  for (const key of Object.keys(spec.nodeSelector ?? {})) {
    const message = nodeLabelDeprecation(key);
    if (message) warnings.push(`${at}.nodeSelector[${key}]: ${message}`);
  }
  const node = spec.affinity?.nodeAffinity;
  const nodeAt = `${at}.affinity.nodeAffinity`;
  const hard = node?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const hardAt = `${nodeAt}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`;
  for (const [i, term] of hard.entries()) warnings.push(...nodeTermWarnings(term, `${hardAt}[${i}]`, false));
  const softAt = `${nodeAt}.preferredDuringSchedulingIgnoredDuringExecution`;
  for (const [i, soft] of (node?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries())
    warnings.push(...nodeTermWarnings(soft.preference, `${softAt}[${i}].preference`, true));
  for (const [i, { topologyKey, labelSelector }] of (spec.topologySpreadConstraints ?? []).entries()) {
    const field = `${at}.topologySpreadConstraints[${i}]`;
    const message = nodeLabelDeprecation(topologyKey);
    if (message) warnings.push(`${field}.topologyKey: ${topologyKey} is ${message}`);
    if (!labelSelector) warnings.push(`${field}.labelSelector: ${noPodMatched}`);
  }
  return warnings;
}

function annotationWarnings(
  spec: Spec,
  annotations: Annotations | undefined,
  at: string,
  places: readonly Place[],
  isTemplate: boolean,
): string[] {
  if (!annotations) return [];
  const warnings: string[] = [];
  const check = (key: string, message: string) => {
    if (Object.hasOwn(annotations, key)) warnings.push(`${at}[${key}]: ${message}`);
  };
  for (const [key, message] of deprecatedAnnotations) check(key, message);
  if (!spec.securityContext?.seccompProfile) check(seccompPod, seccompMessage);
  for (const { container } of places) {
    const own = container.securityContext;
    if (!own?.seccompProfile) check(`${seccompContainer}${container.name}`, seccompMessage);
    if (!isTemplate || spec.securityContext?.appArmorProfile || own?.appArmorProfile) continue;
    const message = 'deprecated since v1.30; use the "appArmorProfile" field instead';
    check(`${appArmorContainer}${container.name}`, message);
  }
  return warnings;
}

function volumeWarnings(spec: Spec, at: string): string[] {
  const warnings: string[] = [];
  for (const [i, volume] of (spec.volumes ?? []).entries()) {
    const field = `${at}.volumes[${i}]`;
    warnings.push(...volumeSourceWarnings(volume, field));
    const claim = volume.ephemeral?.volumeClaimTemplate?.spec;
    if (claim) warnings.push(...claimSpecWarnings(claim, `${field}.ephemeral.volumeClaimTemplate.spec`));
  }
  return warnings;
}

/** Of a volume of a pod, or of the spec of a PersistentVolume. */
export function volumeSourceWarnings(
  source: { readonly [kind in keyof corev1.Volume]?: unknown },
  at: string,
): string[] {
  return deprecatedVolumes.flatMap(([kind, message]) =>
    source[kind] === undefined ? [] : [`${at}.${kind}: ${message}`],
  );
}

/** Of a claim for storage, or of the template of one. */
export function claimSpecWarnings(spec: Readonly<corev1.PersistentVolumeClaimSpec>, at: string): string[] {
  const { requests, limits } = spec.resources ?? {};
  return [
    ...fractionWarning(requests?.storage, `${at}.resources.requests[storage]`),
    ...fractionWarning(limits?.storage, `${at}.resources.limits[storage]`),
  ];
}

function listWarnings(spec: Spec, at: string): string[] {
  const warnings: string[] = [];
  const addresses = new Set<string>();
  for (const [i, { ip }] of (spec.hostAliases ?? []).entries()) {
    if (addresses.has(ip)) warnings.push(`${at}.hostAliases[${i}].ip: duplicate ip ${quoted(ip)}`);
    addresses.add(ip);
  }
  const names = new Set<string>();
  for (const [i, { name = "" }] of (spec.imagePullSecrets ?? []).entries()) {
    const field = `${at}.imagePullSecrets[${i}].name`;
    if (names.has(name)) warnings.push(`${field}: duplicate name ${quoted(name)}`);
    if (name === "") warnings.push(`${field}: invalid empty name ""`);
    names.add(name);
  }
  return warnings;
}

function fractionWarning(value: metav1.Quantity | undefined, at: string): string[] {
  if (value === undefined || !/[mun.]/.test(String(value))) return [];
  const nanos = parseQuantity(value)?.nanos ?? 0n;
  if (nanos % 1_000_000_000n === 0n) return [];
  return [`${at}: fractional byte value ${quoted(String(value))} is invalid, must be an integer`];
}

function fractionWarnings(list: Readonly<Record<string, metav1.Quantity>> | undefined, at: string): string[] {
  if (!list) return [];
  return ["memory", "ephemeral-storage"].flatMap((name) => fractionWarning(list[name], `${at}[${name}]`));
}

function containerWarnings({ container, at }: Place): string[] {
  return [
    ...fractionWarnings(container.resources?.limits, `${at}.resources.limits`),
    ...fractionWarnings(container.resources?.requests, `${at}.resources.requests`),
    ...envWarnings(container, at),
  ];
}

/** A variable may build on its former value; otherwise the first one is lost. */
function envWarnings({ env = [] }: Container, at: string): string[] {
  const warnings: string[] = [];
  const seen = new Set<string>();
  for (const [i, { name, value = "", valueFrom }] of env.entries()) {
    const reference = `$(${name})`;
    const builds = !valueFrom && value !== reference && value.includes(reference);
    if (seen.has(name) && !builds) {
      const message = `hides previous definition of ${quoted(name)}, which may be dropped when using apply`;
      warnings.push(`${at}.env[${i}]: ${message}`);
    }
    seen.add(name);
  }
  return warnings;
}

interface KnownPort {
  readonly port: Readonly<corev1.ContainerPort>;
  readonly at: string;
}

function portWarnings(places: readonly Place[]): string[] {
  const warnings: string[] = [];
  const known = new Map<string, KnownPort[]>();
  const named = new Map<string, string>();
  for (const { container, at } of places) {
    for (const [i, port] of (container.ports ?? []).entries()) {
      const field = `${at}.ports[${i}]`;
      const { name, hostIP = "", hostPort = 0, containerPort, protocol } = port;
      if (hostIP !== "" && hostPort === 0) {
        const text = `{Name:${name ?? ""} HostPort:0 ContainerPort:${containerPort} Protocol:${protocol} HostIP:${hostIP}}`;
        warnings.push(`${field}: hostIP set without hostPort: ${text}`);
      }
      const key = `${containerPort}/${protocol}`;
      const others = known.get(key) ?? [];
      warnings.push(...others.flatMap((other) => overlapWarning(port, field, other)));
      known.set(key, [...others, { port, at: field }]);
      if (!name || isFinishedFirst(container, at)) continue;
      const first = named.get(name);
      if (first === undefined) named.set(name, field);
      else {
        const use = `services and probes that select ports by name will use ${first}`;
        warnings.push(`${field}: duplicate port name ${quoted(name)} with ${first}, ${use}`);
      }
    }
  }
  return warnings;
}

/** Init containers but sidecars have ended when the ports of others matter. */
function isFinishedFirst({ restartPolicy }: Container, at: string): boolean {
  return at.includes(".initContainers[") && restartPolicy !== "Always";
}

function overlapWarning(port: Readonly<corev1.ContainerPort>, at: string, other: KnownPort): string[] {
  const { hostIP = "", hostPort = 0 } = port;
  const { hostIP: otherIp = "", hostPort: otherPort = 0 } = other.port;
  if (hostIP === otherIp && hostPort === otherPort)
    return [`${at}: duplicate port definition with ${other.at}`];
  if (hostPort === 0 || otherPort === 0) return [`${at}: overlapping port definition with ${other.at}`];
  if (hostPort === otherPort && (hostIP === "") !== (otherIp === ""))
    return [`${at}: dangerously ambiguous port definition with ${other.at}`];
  return [];
}

function affinityWarnings({ affinity }: Spec, at: string): string[] {
  const warnings: string[] = [];
  for (const kind of ["podAffinity", "podAntiAffinity"] as const) {
    const hardAt = `${at}.affinity.${kind}.requiredDuringSchedulingIgnoredDuringExecution`;
    const softAt = `${at}.affinity.${kind}.preferredDuringSchedulingIgnoredDuringExecution`;
    const terms = affinity?.[kind];
    for (const [i, term] of (terms?.requiredDuringSchedulingIgnoredDuringExecution ?? []).entries())
      if (!term.labelSelector) warnings.push(`${hardAt}[${i}].labelSelector: ${noPodMatched}`);
    for (const [i, soft] of (terms?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
      if (!soft.podAffinityTerm?.labelSelector)
        warnings.push(`${softAt}[${i}].podAffinityTerm.labelSelector: ${noPodMatched}`);
    }
  }
  return warnings;
}

function addressWarnings(spec: Spec, at: string): string[] {
  return [
    ...(spec.dnsConfig?.nameservers ?? []).flatMap((ip, i) =>
      ipWarnings(`${at}.dnsConfig.nameservers[${i}]`, ip),
    ),
    ...(spec.hostAliases ?? []).flatMap(({ ip }, i) => ipWarnings(`${at}.hostAliases[${i}].ip`, ip)),
  ];
}
