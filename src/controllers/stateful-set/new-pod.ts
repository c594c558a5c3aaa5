/**
 * A pod of a StatefulSet, with its name, its host name and its own volumes.
 * https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#pod-identity
 */
import type { corev1, Draft } from "#api";
import { podFromTemplate } from "../kit/pods.ts";
import { revisionHashLabel } from "../kit/revisions.ts";
import { identityLabels, type StatefulSet } from "./identity.ts";
import { withClaims } from "./volume-claims.ts";

export function statefulPod(
  set: StatefulSet,
  template: Readonly<corev1.PodTemplateSpec>,
  ordinal: number,
  revision: string,
): Draft<corev1.Pod> {
  const { generateName: _generated, ...metadata } = podFromTemplate(template, set).metadata ?? {};
  const name = `${set.metadata.name}-${ordinal}`;
  const { serviceName } = set.spec;
  const volumes = withClaims(set, template.spec?.volumes, ordinal);
  return {
    metadata: {
      ...metadata,
      name,
      labels: { ...metadata.labels, ...identityLabels(set, ordinal), [revisionHashLabel]: revision },
    },
    spec: {
      ...(template.spec as corev1.PodSpec),
      ...(volumes ? { volumes } : {}),
      hostname: name,
      ...(serviceName ? { subdomain: serviceName } : {}),
    },
  };
}
