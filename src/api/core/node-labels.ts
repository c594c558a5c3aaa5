/** Labels of nodes that have other names by now. https://kubernetes.io/docs/reference/labels-annotations-taints/ */
import type { corev1, metav1 } from "../generated/types/index.ts";
import { labelValueErrors } from "../validation/names.ts";

const deprecated: ReadonlyMap<string, string> = new Map([
  ["beta.kubernetes.io/arch", 'deprecated since v1.14; use "kubernetes.io/arch" instead'],
  ["beta.kubernetes.io/os", 'deprecated since v1.14; use "kubernetes.io/os" instead'],
  [
    "failure-domain.beta.kubernetes.io/region",
    'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  ],
  [
    "failure-domain.beta.kubernetes.io/zone",
    'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  ],
  [
    "beta.kubernetes.io/instance-type",
    'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
  ],
  ["app.kubernetes.io/created-by", "deprecated since v1.9"],
  [
    "scheduler.alpha.kubernetes.io/preferAvoidPods",
    "deprecated since v1.22; use Taints and Tolerations instead",
  ],
  ["node-role.kubernetes.io/master", 'use "node-role.kubernetes.io/control-plane" instead'],
]);

export function nodeLabelDeprecation(key: string): string | undefined {
  return deprecated.get(key);
}

export function nodeSelectorWarnings(
  selector: Readonly<metav1.LabelSelector> | undefined,
  path: string,
): string[] {
  const warnings: string[] = [];
  for (const [i, { key }] of (selector?.matchExpressions ?? []).entries()) {
    const message = deprecated.get(key);
    if (message) warnings.push(`${path}.matchExpressions[${i}].key: ${key} is ${message}`);
  }
  for (const key of Object.keys(selector?.matchLabels ?? {})) {
    const message = deprecated.get(key);
    if (message) warnings.push(`${path}.matchLabels.${key}: ${message}`);
  }
  return warnings;
}

/** `checksValues`: where values that no label can have were never refused. */
export function nodeTermWarnings(
  term: Readonly<corev1.NodeSelectorTerm> | undefined,
  path: string,
  checksValues: boolean,
): string[] {
  const warnings: string[] = [];
  for (const [i, { key, values = [] }] of (term?.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${i}]`;
    const message = deprecated.get(key);
    if (message) warnings.push(`${at}.key: ${key} is ${message}`);
    if (!checksValues) continue;
    for (const [j, value] of values.entries())
      for (const e of labelValueErrors(value)) warnings.push(`${at}.values[${j}]: ${value} is invalid, ${e}`);
  }
  return warnings;
}
