/**
 * What every pod gets beside its own defaults: tolerations of short node failures.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#defaulttolerationseconds
 */
import { type corev1, pods, type ResourceDefinition } from "#api";
import type { AdmissionStep, Attributes } from "./admission.ts";

const tolerationSeconds = 300;
const nodeFailures = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

export const defaultTolerationSeconds: AdmissionStep = {
  name: "DefaultTolerationSeconds",
  mutate(attributes) {
    const pod = podOf(attributes);
    if (!pod || attributes.operation !== "CREATE") return;
    const tolerations = pod.spec.tolerations ?? [];
    const missing = nodeFailures.filter((key) => !tolerations.some((t) => tolerates(t, key)));
    if (missing.length === 0) return;
    const added = missing.map(
      (key): corev1.Toleration => ({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds }),
    );
    pod.spec.tolerations = [...tolerations, ...added];
  },
};

function tolerates(toleration: Readonly<corev1.Toleration>, key: string): boolean {
  return (
    (!toleration.key || toleration.key === key) && (!toleration.effect || toleration.effect === "NoExecute")
  );
}

function podOf({ definition, subresource, object }: Attributes): corev1.Pod | undefined {
  if (definition !== (pods as ResourceDefinition) || subresource !== "" || !object) return undefined;
  return object as corev1.Pod;
}
