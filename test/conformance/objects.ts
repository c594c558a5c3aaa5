/** Small objects that many tests need. */
import type { corev1, Draft } from "#api";

/** A container that waits until it is told to stop. */
export function sleeper(image: string, more: Draft<corev1.Container> = {}): Draft<corev1.Container> {
  const command = ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1 & wait; done"];
  return { name: "main", image, command, imagePullPolicy: "IfNotPresent", ...more };
}

export function podSpec(image: string, more: Draft<corev1.PodSpec> = {}): Draft<corev1.PodSpec> {
  return { containers: [sleeper(image)], terminationGracePeriodSeconds: 1, ...more };
}

export function podTemplate(image: string, labels: Record<string, string>): Draft<corev1.PodTemplateSpec> {
  return { metadata: { labels }, spec: podSpec(image) };
}
