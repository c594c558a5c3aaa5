/**
 * Validation of pods: what a running pod allows to be changed is little.
 * https://kubernetes.io/docs/concepts/workloads/pods/#pod-update-and-replacement
 */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, required } from "../../meta/field-error.ts";
import { sameJson } from "./template.ts";
import { validatePodSpec } from "./validate-spec.ts";

type Pod = Readonly<corev1.Pod>;
type Spec = Readonly<corev1.PodSpec>;

const allowed =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

export function validatePod(pod: Pod): FieldError[] {
  const errors = validatePodSpec(pod.spec, "spec");
  if (pod.spec.nodeName && pod.spec.schedulingGates?.length) {
    errors.push(forbiddenField("spec.nodeName", "cannot be set until all schedulingGates have been cleared"));
  }
  return errors;
}

export function validatePodUpdate(pod: Pod, old: Pod): FieldError[] {
  const errors: FieldError[] = [];
  for (const list of ["containers", "initContainers"] as const) {
    const [now, before] = [pod.spec[list] ?? [], old.spec[list] ?? []];
    if (now.length !== before.length) {
      return [forbiddenField(`spec.${list}`, "pod updates may not add or remove containers")];
    }
    for (const [i, container] of now.entries()) {
      if (!container.image) errors.push(required(`spec.${list}[${i}].image`));
      else if (container.image.trim() !== container.image) {
        errors.push(
          invalid(
            `spec.${list}[${i}].image`,
            container.image,
            "must not have leading or trailing whitespace",
          ),
        );
      }
    }
  }
  errors.push(...deadlineErrors(pod.spec, old.spec), ...tolerationErrors(pod.spec, old.spec));
  errors.push(...gateErrors(pod.spec, old.spec));
  const changed = changedFields(comparable(pod.spec, old.spec), old.spec);
  if (changed.length > 0) errors.push(forbiddenField("spec", `${allowed}\n changed: ${changed.join(", ")}`));
  return errors;
}

function deadlineErrors(spec: Spec, old: Spec): FieldError[] {
  const [now, before] = [spec.activeDeadlineSeconds, old.activeDeadlineSeconds];
  const field = "spec.activeDeadlineSeconds";
  if (now === undefined) {
    return before === undefined
      ? []
      : [invalid(field, null, "must not update from a positive integer to nil value")];
  }
  if (now < 1 || now > 2147483647)
    return [invalid(field, now, "must be between 1 and 2147483647, inclusive")];
  return before !== undefined && before < now
    ? [invalid(field, now, "must be less than or equal to previous value")]
    : [];
}

function tolerationErrors(spec: Spec, old: Spec): FieldError[] {
  const bare = (t: corev1.Toleration) => ({ ...t, tolerationSeconds: undefined });
  const now = (spec.tolerations ?? []).map(bare);
  const isKept = (t: corev1.Toleration) => now.some((n) => sameJson(n, bare(t)));
  if ((old.tolerations ?? []).every(isKept)) return [];
  return [
    forbiddenField(
      "spec.tolerations",
      "existing toleration can not be modified except its tolerationSeconds",
    ),
  ];
}

function gateErrors(spec: Spec, old: Spec): FieldError[] {
  const before = new Set((old.schedulingGates ?? []).map((g) => g.name));
  const isNew = (spec.schedulingGates ?? []).some((g) => !before.has(g.name));
  return isNew
    ? [forbiddenField("spec.schedulingGates", "only deletion is allowed, but found new scheduling gates")]
    : [];
}

/** The new spec with all that may change as it was before. */
function comparable(spec: Spec, old: Spec): Spec {
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
  if (old.schedulingGates?.length) kept.push("nodeSelector", "affinity");
  const values: Record<string, unknown> = Object.fromEntries(kept.map((name) => [name, old[name]]));
  if (spec.initContainers) values.initContainers = withImages(spec.initContainers, old.initContainers);
  return Object.assign(result, values);
}

function changedFields(spec: Spec, old: Spec): string[] {
  const names = new Set([...Object.keys(spec), ...Object.keys(old)]) as Set<keyof corev1.PodSpec>;
  return [...names].filter((name) => !sameJson(spec[name], old[name])).sort();
}

/** A container that ended for good cannot come back to life. */
export function validatePodStatusUpdate(pod: Pod, old: Pod): FieldError[] {
  if (old.spec.restartPolicy === "Always") return [];
  const now = new Map((pod.status?.containerStatuses ?? []).map((c) => [c.name, c]));
  const hasOwnPolicy = new Set((old.spec.containers ?? []).filter((c) => c.restartPolicy).map((c) => c.name));
  const errors: FieldError[] = [];
  for (const [i, before] of (old.status?.containerStatuses ?? []).entries()) {
    const ended = before.state?.terminated;
    if (!ended || hasOwnPolicy.has(before.name)) continue;
    if (old.spec.restartPolicy === "OnFailure" && ended.exitCode !== 0) continue;
    const after = now.get(before.name);
    if (after && !after.state?.terminated) {
      errors.push(
        forbiddenField(
          `status.containerStatuses[${i}].state`,
          "may not be transitioned to non-terminated state",
        ),
      );
    }
  }
  return errors;
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
  const errors = validatePodSpec(pod.spec, "spec").filter((e) =>
    e.field.startsWith("spec.ephemeralContainers"),
  );
  const now = new Map((pod.spec.ephemeralContainers ?? []).map((c) => [c.name, c]));
  for (const before of old.spec.ephemeralContainers ?? []) {
    const container = now.get(before.name);
    const what = JSON.stringify(before.name);
    if (!container) {
      errors.push(
        forbiddenField(
          "spec.ephemeralContainers",
          `existing ephemeral containers ${what} may not be removed\n`,
        ),
      );
    } else if (!sameJson(container, before)) {
      errors.push(
        forbiddenField(
          "spec.ephemeralContainers",
          `existing ephemeral containers ${what} may not be changed\n`,
        ),
      );
    }
  }
  return errors;
}
