/**
 * Validation of pods: what a running pod allows to be changed is little.
 * https://kubernetes.io/docs/concepts/workloads/pods/#pod-update-and-replacement
 */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, required } from "../../meta/field-error.ts";
import { validateGatedUpdate } from "./gated-update.ts";
import { qosClassOf } from "./qos.ts";
import { sameJson } from "./template.ts";
import { validateTolerations } from "./validate-scheduling.ts";
import { validatePodSpec } from "./validate-spec.ts";

type Pod = Readonly<corev1.Pod>;
type Spec = Readonly<corev1.PodSpec>;

const int32Max = 2147483647;
export const mirrorAnnotation = "kubernetes.io/config.mirror";
const allowed =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** What holds for a pod at any time; its metadata is checked elsewhere. */
export function validatePodAlways(pod: Pod): FieldError[] {
  return [
    ...validatePodSpec(pod.spec, "spec", { name: pod.metadata.name, isPod: true }),
    ...(pod.spec.serviceAccountName ? [] : tokensOfNobody(pod.spec)),
  ];
}

function tokensOfNobody(spec: Spec): FieldError[] {
  const detail = "must not be specified when serviceAccountName is not set";
  return (spec.volumes ?? []).flatMap((volume, i) =>
    (volume.projected?.sources ?? []).flatMap((source, j) =>
      source.serviceAccountToken
        ? [forbiddenField(`spec.volumes[${i}].projected.sources[${j}].serviceAccountToken`, detail)]
        : [],
    ),
  );
}

export function validatePod(pod: Pod): FieldError[] {
  const errors = validatePodAlways(pod);
  if (pod.spec.ephemeralContainers?.length)
    errors.push(forbiddenField("spec.ephemeralContainers", "cannot be set on create"));
  if (pod.spec.nodeName && pod.spec.schedulingGates?.length) {
    errors.push(forbiddenField("spec.nodeName", "cannot be set until all schedulingGates have been cleared"));
  }
  return errors;
}

export function validatePodUpdate(pod: Pod, old: Pod): FieldError[] {
  const isSame = sameJson(pod.spec, old.spec);
  const errors: FieldError[] = isSame ? [] : validatePodAlways(pod);
  for (const list of ["containers", "initContainers"] as const) {
    const [now, before] = [pod.spec[list] ?? [], old.spec[list] ?? []];
    if (now.length !== before.length)
      return [...errors, forbiddenField(`spec.${list}`, "pod updates may not add or remove containers")];
    errors.push(...imageErrors(now, `spec.${list}`));
  }
  errors.push(...deadlineErrors(pod.spec, old.spec), ...tolerationErrors(pod.spec, old.spec));
  errors.push(...gateErrors(pod.spec, old.spec));
  if (isSame) return errors;
  if (qosClassOf(pod.spec) !== (old.status?.qosClass ?? qosClassOf(old.spec)))
    errors.push(invalid("metadata", pod.status?.qosClass ?? "", "Pod QoS is immutable"));
  const isGated = (old.spec.schedulingGates ?? []).length > 0;
  if (isGated) errors.push(...validateGatedUpdate(pod.spec, old.spec));
  const changed = changedFields(comparable(pod.spec, old.spec, isGated), old.spec);
  if (changed.length > 0) errors.push(forbiddenField("spec", `${allowed}\n changed: ${changed.join(", ")}`));
  return errors;
}

function imageErrors(containers: readonly corev1.Container[], path: string): FieldError[] {
  return containers.flatMap(({ image = "" }, i) => {
    const field = `${path}[${i}].image`;
    if (!image) return [required(field)];
    return image.trim() === image
      ? []
      : [invalid(field, image, "must not have leading or trailing whitespace")];
  });
}

function deadlineErrors(spec: Spec, old: Spec): FieldError[] {
  const [now, before] = [spec.activeDeadlineSeconds, old.activeDeadlineSeconds];
  const field = "spec.activeDeadlineSeconds";
  if (now === undefined) {
    return before === undefined
      ? []
      : [invalid(field, null, "must not update from a positive integer to nil value")];
  }
  if (now < 0 || now > int32Max) return [invalid(field, now, `must be between 0 and ${int32Max}, inclusive`)];
  return before !== undefined && before < now
    ? [invalid(field, now, "must be less than or equal to previous value")]
    : [];
}

function tolerationErrors(spec: Spec, old: Spec): FieldError[] {
  const bare = (t: corev1.Toleration) => ({ ...t, tolerationSeconds: undefined });
  const now = (spec.tolerations ?? []).map(bare);
  const isKept = (t: corev1.Toleration) => now.some((n) => sameJson(n, bare(t)));
  if ((old.tolerations ?? []).every(isKept))
    return validateTolerations(spec.tolerations ?? [], "spec.tolerations");
  const detail = "existing toleration can not be modified except its tolerationSeconds";
  return [forbiddenField("spec.tolerations", detail)];
}

function gateErrors(spec: Spec, old: Spec): FieldError[] {
  const before = new Set((old.schedulingGates ?? []).map((gate) => gate.name));
  return (spec.schedulingGates ?? []).flatMap(({ name }, i) =>
    before.has(name)
      ? []
      : [
          forbiddenField(
            `spec.schedulingGates[${i}].name`,
            `only deletion is allowed, but found new scheduling gate '${name}'`,
          ),
        ],
  );
}

/** The new spec with all that may change as it was before. */
function comparable(spec: Spec, old: Spec, isGated: boolean): Spec {
  const withImages = (
    list: readonly corev1.Container[] | undefined,
    before: readonly corev1.Container[] | undefined,
  ) => list?.map((c, i) => ({ ...c, image: before?.[i]?.image }) as corev1.Container);
  const result: corev1.PodSpec = { ...spec, containers: withImages(spec.containers, old.containers) ?? [] };
  const kept: (keyof corev1.PodSpec)[] = ["activeDeadlineSeconds", "tolerations", "schedulingGates"];
  const hadNegativeGrace =
    (old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1;
  if (hadNegativeGrace) kept.push("terminationGracePeriodSeconds");
  // While gates hold the pod back, where it may run can still be narrowed.
  if (isGated) kept.push("nodeSelector");
  const values: Record<string, unknown> = Object.fromEntries(kept.map((name) => [name, old[name]]));
  if (spec.initContainers) values.initContainers = withImages(spec.initContainers, old.initContainers);
  if (isGated) values.affinity = withNodeAffinity(spec.affinity, old.affinity);
  return Object.assign(result, values);
}

function withNodeAffinity(
  affinity: Readonly<corev1.Affinity> | undefined,
  old: Readonly<corev1.Affinity> | undefined,
): corev1.Affinity | undefined {
  const { nodeAffinity, ...others } = affinity ?? {};
  const result = { ...others, ...(old?.nodeAffinity ? { nodeAffinity: old.nodeAffinity } : {}) };
  return old === undefined && Object.keys(result).length === 0 ? undefined : result;
}

function changedFields(spec: Spec, old: Spec): string[] {
  const names = new Set([...Object.keys(spec), ...Object.keys(old)]) as Set<keyof corev1.PodSpec>;
  return [...names].filter((name) => !sameJson(spec[name], old[name])).sort();
}

/** The `ephemeralcontainers` subresource: everything but the list stays. In place. */
export function keepAllButEphemeralContainers(pod: corev1.Pod, old: Pod): void {
  const { ephemeralContainers } = pod.spec;
  pod.spec = { ...old.spec, ...(ephemeralContainers ? { ephemeralContainers } : {}) };
  if (!ephemeralContainers) delete pod.spec.ephemeralContainers;
  pod.status = old.status;
}

/** Ephemeral containers can only be added. */
export function validateEphemeralContainersUpdate(pod: Pod, old: Pod): FieldError[] {
  if (old.metadata.annotations?.[mirrorAnnotation] !== undefined)
    return [forbiddenField("", "static pods do not support ephemeral containers")];
  const errors = validatePodAlways(pod);
  const field = "spec.ephemeralContainers";
  const now = new Map((pod.spec.ephemeralContainers ?? []).map((c) => [c.name, c]));
  for (const before of old.spec.ephemeralContainers ?? []) {
    const container = now.get(before.name);
    const what = `existing ephemeral containers ${JSON.stringify(before.name)} may not be`;
    if (!container) errors.push(forbiddenField(field, `${what} removed\n`));
    else if (!sameJson(container, before)) errors.push(forbiddenField(field, `${what} changed\n`));
  }
  return errors;
}
