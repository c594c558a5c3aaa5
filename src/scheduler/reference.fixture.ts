/** A scheduler that is slow and obvious: every rule as the documentation words it, over all pods and nodes each time. */
import {
  type corev1,
  isTolerated,
  type metav1,
  quantityMilliValue,
  requiredNodes,
  selectorMatches,
} from "#api";

type Placed = { pod: corev1.Pod; node: corev1.Node };

const cpuOf = (pod: corev1.Pod) =>
  pod.spec.containers.reduce((sum, c) => sum + quantityMilliValue(c.resources?.requests?.cpu ?? "0"), 0);
const portsOf = (pod: corev1.Pod) =>
  pod.spec.containers.flatMap((c) => (c.ports ?? []).flatMap((p) => p.hostPort ?? []));
const labelOf = (node: corev1.Node, key: string) => node.metadata.labels?.[key];
const matches = (selector: metav1.LabelSelector | undefined, { metadata }: corev1.Pod) =>
  selector !== undefined && selectorMatches(selector, metadata.labels ?? {});

function roomFor(pod: corev1.Pod, node: corev1.Node, there: readonly corev1.Pod[]): boolean {
  const { cpu = "0", pods = "0" } = node.status?.allocatable ?? {};
  const used = there.reduce((sum, each) => sum + cpuOf(each), 0);
  const wanted = cpuOf(pod);
  const taken = there.flatMap(portsOf);
  return (
    there.length < Number(pods) &&
    (wanted === 0 || used + wanted <= quantityMilliValue(cpu)) &&
    !portsOf(pod).some((port) => taken.includes(port))
  );
}

function welcome(pod: corev1.Pod, node: corev1.Node): boolean {
  const traits = { name: node.metadata.name, labels: node.metadata.labels ?? {} };
  const tainted = (node.spec?.taints ?? []).some(
    (t) => t.effect !== "PreferNoSchedule" && !isTolerated(pod, t),
  );
  return !tainted && !node.spec?.unschedulable && (requiredNodes(pod)?.(traits) ?? true);
}

function nearEnough(pod: corev1.Pod, node: corev1.Node, placed: readonly Placed[]): boolean {
  const terms = pod.spec.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  // Pods on nodes that are in no domain are nobody's company, as upstream has it.
  const company = placed.filter(
    (each) =>
      terms.every((term) => matches(term.labelSelector, each.pod)) &&
      terms.some(({ topologyKey }) => labelOf(each.node, topologyKey) !== undefined),
  );
  const first = company.length === 0 && terms.every((term) => matches(term.labelSelector, pod));
  return terms.every(({ topologyKey }) => {
    const here = labelOf(node, topologyKey);
    if (here === undefined) return false;
    return first || company.some((each) => labelOf(each.node, topologyKey) === here);
  });
}

function farEnough(pod: corev1.Pod, node: corev1.Node, placed: readonly Placed[]): boolean {
  const avoids = (who: corev1.Pod, whom: corev1.Pod, there: corev1.Node) =>
    (who.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).some(
      ({ topologyKey, labelSelector }) =>
        matches(labelSelector, whom) &&
        labelOf(node, topologyKey) !== undefined &&
        labelOf(node, topologyKey) === labelOf(there, topologyKey),
    );
  return !placed.some((each) => avoids(pod, each.pod, each.node) || avoids(each.pod, pod, each.node));
}

function evenEnough(
  pod: corev1.Pod,
  node: corev1.Node,
  placed: readonly Placed[],
  nodes: readonly corev1.Node[],
): boolean {
  const all = (pod.spec.topologySpreadConstraints ?? []).filter(
    (c) => c.whenUnsatisfiable === "DoNotSchedule",
  );
  const counted = nodes.filter((each) =>
    all.every(({ topologyKey }) => labelOf(each, topologyKey) !== undefined),
  );
  return all.every(({ topologyKey, labelSelector, maxSkew }) => {
    const here = labelOf(node, topologyKey);
    if (here === undefined) return false;
    const among = counted.filter((each) => welcomeByLabels(pod, each));
    const count = (domain: string | undefined) =>
      placed.filter(
        (each) =>
          among.includes(each.node) &&
          labelOf(each.node, topologyKey) === domain &&
          matches(labelSelector, each.pod),
      ).length;
    const least = Math.min(...new Set(among.map((each) => labelOf(each, topologyKey))).values().map(count));
    const self = matches(labelSelector, pod) ? 1 : 0;
    return count(here) + self - (Number.isFinite(least) ? least : 0) <= maxSkew;
  });
}

function welcomeByLabels(pod: corev1.Pod, node: corev1.Node): boolean {
  return requiredNodes(pod)?.({ name: node.metadata.name, labels: node.metadata.labels ?? {} }) ?? true;
}

/** The names of the nodes that will do. */
export function nodesThatFit(
  pod: corev1.Pod,
  nodes: readonly corev1.Node[],
  pods: readonly corev1.Pod[],
): string[] {
  const placed = pods.flatMap((each) => {
    const node = nodes.find(({ metadata }) => metadata.name === each.spec.nodeName);
    return node ? [{ pod: each, node }] : [];
  });
  return nodes
    .filter((node) => {
      const there = placed.filter((each) => each.node === node).map((each) => each.pod);
      return (
        welcome(pod, node) &&
        roomFor(pod, node, there) &&
        nearEnough(pod, node, placed) &&
        farEnough(pod, node, placed) &&
        evenEnough(pod, node, placed, nodes)
      );
    })
    .map(({ metadata }) => metadata.name);
}
