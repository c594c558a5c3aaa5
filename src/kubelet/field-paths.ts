/**
 * The downward API: fields of a pod and resources of its containers as text.
 * https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
 */
import { type corev1, parseQuantity } from "#api";
import { containerNamed } from "./pod-containers.ts";

/** A field that does not exist: the container cannot be made. */
export class FieldPathError extends Error {
  override name = "FieldPathError";
}

/** Keys of a map, sorted, as `key="value"` lines. */
function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.keys(map ?? {})
    .sort()
    .map((key) => `${key}=${JSON.stringify(map![key])}`)
    .join("\n");
}

const subscript = /^metadata\.(annotations|labels)\['(.*)'\]$/;

export function fieldValue(
  pod: Readonly<corev1.Pod>,
  fieldPath: string,
  podIps: readonly string[],
  hostIps: readonly string[],
): string {
  const match = subscript.exec(fieldPath);
  if (match) return pod.metadata[match[1] as "annotations" | "labels"]?.[match[2]!] ?? "";
  switch (fieldPath) {
    case "metadata.name":
      return pod.metadata.name;
    case "metadata.namespace":
      return pod.metadata.namespace ?? "";
    case "metadata.uid":
      return pod.metadata.uid;
    case "metadata.labels":
      return formatMap(pod.metadata.labels);
    case "metadata.annotations":
      return formatMap(pod.metadata.annotations);
    case "spec.nodeName":
      return pod.spec.nodeName ?? "";
    case "spec.serviceAccountName":
      return pod.spec.serviceAccountName ?? "default";
    case "status.podIP":
      return podIps[0] ?? "";
    case "status.podIPs":
      return podIps.join(",");
    case "status.hostIP":
      return hostIps[0] ?? "";
    case "status.hostIPs":
      return hostIps.join(",");
  }
  throw new FieldPathError(`unsupported fieldPath: ${fieldPath}`);
}

/** The value of `limits.memory` and its like in units of the divisor, rounded up; a missing limit is the node's. */
export function resourceFieldValue(
  selector: Readonly<corev1.ResourceFieldSelector>,
  container: Readonly<corev1.Container>,
  allocatable: Readonly<Record<string, string>>,
): string {
  const [kind, ...rest] = selector.resource.split(".");
  const name = rest.join(".");
  if ((kind !== "limits" && kind !== "requests") || name === "") {
    throw new FieldPathError(`unsupported container resource : ${selector.resource}`);
  }
  const { limits, requests } = container.resources ?? {};
  const raw =
    kind === "limits" ? (limits?.[name] ?? allocatable[name]) : (requests?.[name] ?? limits?.[name]);
  const value = parseQuantity(raw ?? "0")?.nanos ?? 0n;
  const divisor = parseQuantity(selector.divisor ?? "1")?.nanos || 1_000_000_000n;
  return String(divisor > 0n ? (value + divisor - 1n) / divisor : 0n);
}

export function findContainer(
  pod: Readonly<corev1.Pod>,
  name: string | undefined,
): Readonly<corev1.Container> {
  const found = containerNamed(pod, name);
  if (!found) throw new FieldPathError(`container ${name} not found`);
  return found;
}
