/**
 * What the kubelet writes on sandboxes and containers, so that a later kubelet finds everything it needs there.
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kuberuntime/labels.go
 */
import { createHash } from "node:crypto";
import type { corev1 } from "#api";

const podNameLabel = "io.kubernetes.pod.name";
const podNamespaceLabel = "io.kubernetes.pod.namespace";
export const podUidLabel = "io.kubernetes.pod.uid";
export const containerNameLabel = "io.kubernetes.container.name";
export const containerHashAnnotation = "io.kubernetes.container.hash";
export const restartCountAnnotation = "io.kubernetes.container.restartCount";
export const terminationMessagePathAnnotation = "io.kubernetes.container.terminationMessagePath";
export const terminationMessagePolicyAnnotation = "io.kubernetes.container.terminationMessagePolicy";
const gracePeriodAnnotation = "io.kubernetes.pod.terminationGracePeriod";

/** Labels of a sandbox: the pod's own beside ours. */
export function sandboxLabels(pod: Readonly<corev1.Pod>): Record<string, string> {
  return { ...pod.metadata.labels, ...identityLabels(pod) };
}

function identityLabels(pod: Readonly<corev1.Pod>): Record<string, string> {
  return {
    [podNameLabel]: pod.metadata.name,
    [podNamespaceLabel]: pod.metadata.namespace ?? "",
    [podUidLabel]: pod.metadata.uid,
  };
}

export function containerLabels(pod: Readonly<corev1.Pod>, container: string): Record<string, string> {
  return { ...identityLabels(pod), [containerNameLabel]: container };
}

export function containerAnnotations(
  pod: Readonly<corev1.Pod>,
  container: Readonly<corev1.Container>,
  restartCount: number,
): Record<string, string> {
  return {
    [containerHashAnnotation]: containerHash(container),
    [restartCountAnnotation]: String(restartCount),
    [terminationMessagePathAnnotation]: container.terminationMessagePath ?? "/dev/termination-log",
    [terminationMessagePolicyAnnotation]: container.terminationMessagePolicy ?? "File",
    [gracePeriodAnnotation]: String(pod.spec.terminationGracePeriodSeconds ?? 30),
  };
}

/** Changes when a running container has to be replaced: of all that may change in a pod, that is the image. */
export function containerHash(container: Readonly<corev1.Container>): string {
  return createHash("sha256")
    .update(JSON.stringify([container.name, container.image]))
    .digest("hex")
    .slice(0, 16);
}
