/** What NetworkPolicies see of a pod. Pure. */
import type { corev1 } from "#api";
import type { Family, PodFacts } from "./model.ts";

export function familyOf(address: string): Family {
  return address.includes(":") ? "ip6" : "ip";
}

function hasEnded({ status }: Readonly<corev1.Pod>): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/**
 * Undefined for pods without an address of their own: those on the node's network are the node, and those that have ended
 * have given theirs back. `addresses` are known before the pod's status tells them.
 */
export function factsOf(
  pod: Readonly<corev1.Pod>,
  family: Family,
  nodeName: string,
  addresses: readonly string[] = [],
): PodFacts | undefined {
  const { metadata, spec, status } = pod;
  if (spec.hostNetwork || hasEnded(pod)) return undefined;
  const told = [status?.podIP ?? "", ...(status?.podIPs ?? []).map(({ ip }) => ip ?? "")].filter(Boolean);
  const address = (told.length > 0 ? told : addresses).find((each) => familyOf(each) === family);
  if (!address) return undefined;
  // Sidecars listen too.
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  const ports = [...sidecars, ...spec.containers].flatMap(({ ports: own = [] }) =>
    own.flatMap(({ name, protocol = "TCP", containerPort }) =>
      name ? [{ name, protocol: protocol.toLowerCase(), port: containerPort }] : [],
    ),
  );
  return {
    namespace: metadata.namespace ?? "",
    labels: metadata.labels ?? {},
    address,
    ports,
    local: spec.nodeName === nodeName,
  };
}
