/**
 * Whether what has ended runs again: the container's own rules and policy come before the pod's. Pure.
 * https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restart-rules
 */
import type { corev1 } from "#api";
import type { ObservedPod } from "./pod-state.ts";

type Container = Readonly<corev1.Container>;

/** What the first rule that an exit code matches asks for. */
function actionOf(container: Container, exitCode: number): string | undefined {
  // A policy of its own is what gives a container rules.
  if (container.restartPolicy === undefined) return undefined;
  return container.restartPolicyRules?.find(({ exitCodes }) => {
    const isNamed = exitCodes?.values?.includes(exitCode) ?? false;
    return exitCodes && (exitCodes.operator === "In" ? isNamed : !isNamed);
  })?.action;
}

export function restartsAfter(pod: Readonly<corev1.Pod>, container: Container, exitCode: number): boolean {
  if (actionOf(container, exitCode) !== undefined) return true;
  const policy = container.restartPolicy ?? pod.spec.restartPolicy ?? "Always";
  return policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
}

/** Whether any end of it could be followed by another run. */
export function couldRestart(pod: Readonly<corev1.Pod>, container: Container): boolean {
  const policy = container.restartPolicy ?? pod.spec.restartPolicy ?? "Always";
  return policy !== "Never" || (container.restartPolicyRules?.length ?? 0) > 0;
}

function allContainers({ spec }: Readonly<corev1.Pod>): readonly Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers];
}

/** Some end of a container of the pod makes all of them begin anew. */
export function couldRestartAll(pod: Readonly<corev1.Pod>): boolean {
  return allContainers(pod).some(({ restartPolicyRules = [] }) =>
    restartPolicyRules.some(({ action }) => action === "RestartAllContainers"),
  );
}

/**
 * When a container last ended in a way that makes all of them begin anew, in nanoseconds: what was made before that has
 * to go, and counts as if it had never been. 0: never.
 */
export function restartedAllAt(pod: Readonly<corev1.Pod>, state: ObservedPod): number {
  if (!couldRestartAll(pod)) return 0;
  const specs = new Map(allContainers(pod).map((each) => [each.name, each]));
  let at = 0;
  for (const { name, state: now, exitCode, finishedAt } of state.containers) {
    const spec = specs.get(name);
    if (spec && now === "CONTAINER_EXITED" && actionOf(spec, exitCode) === "RestartAllContainers")
      at = Math.max(at, finishedAt);
  }
  return at;
}

/** Something of the pod that was made before still runs. */
export function isRestartingAll(pod: Readonly<corev1.Pod>, state: ObservedPod): boolean {
  const at = restartedAllAt(pod, state);
  const own = new Set(allContainers(pod).map(({ name }) => name));
  return (
    at > 0 &&
    state.containers.some(
      (each) => own.has(each.name) && each.state === "CONTAINER_RUNNING" && each.createdAt < at,
    )
  );
}
