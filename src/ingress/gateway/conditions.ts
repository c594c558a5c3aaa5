/** Conditions of the Gateway API's objects. https://gateway-api.sigs.k8s.io/geps/gep-1364/ */
import type { metav1 } from "#api";

/** A condition without the times that only the object itself knows. */
export interface Verdict {
  type: string;
  holds: boolean;
  reason: string;
  message: string;
}

export function holds(type: string, reason = type, message = ""): Verdict {
  return { type, holds: true, reason, message };
}

export function fails(type: string, reason: string, message: string): Verdict {
  return { type, holds: false, reason, message };
}

/** Those that did not change their status keep their time. */
export function conditionsOf(
  verdicts: readonly Verdict[],
  before: readonly metav1.Condition[] | undefined,
  generation: number | undefined,
  now: string,
): metav1.Condition[] {
  return verdicts.map(({ type, holds: isSo, reason, message }) => {
    const status = isSo ? "True" : "False";
    const known = before?.find((each) => each.type === type);
    return {
      type,
      status,
      reason,
      message,
      observedGeneration: generation ?? 0,
      lastTransitionTime: known?.status === status ? known.lastTransitionTime : now,
    };
  });
}
