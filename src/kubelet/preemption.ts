/**
 * Whom a critical pod displaces where it finds no room: the node needs it more than any other. Pure.
 * https://kubernetes.io/docs/tasks/administer-cluster/guaranteed-scheduling-critical-addon-pods/
 */
import { type corev1, podAmounts, qosClassOf, quantityMilliValue, quantityValue } from "#api";
import { isCritical } from "./critical.ts";

type Pod = Readonly<corev1.Pod>;

/** How much of a resource is missing: thousandths of a processor, bytes, or pieces. */
export interface Need {
  readonly name: string;
  readonly amount: number;
}

/** The words upstream has for it. */
export const preempting = {
  reason: "Preempting",
  message: "Preempted in order to admit critical pod",
  condition: "Pod was preempted by Kubelet to accommodate a critical pod.",
} as const;

/** What a pod asks for, in the units of `Need`. */
export function requestOf(pod: Pod, name: string): number {
  if (name === "pods") return 1;
  const amount = podAmounts(pod, "requests")[name];
  return name === "cpu" ? quantityMilliValue(amount) : quantityValue(amount);
}

function isPreemptable(pod: Pod, by: Pod): boolean {
  if (isCritical(by) && !isCritical(pod)) return true;
  return (by.spec.priority ?? 0) > (pod.spec.priority ?? 0);
}

/** What is still missing once these pods are gone. */
function without(needs: readonly Need[], pods: readonly Pod[]): Need[] {
  return needs
    .map(({ name, amount }) => ({
      name,
      amount: pods.reduce((left, pod) => left - requestOf(pod, name), amount),
    }))
    .filter(({ amount }) => amount > 0);
}

/** How far the end of one pod falls short, each resource counting the same. */
function distance(needs: readonly Need[], pod: Pod): number {
  return needs.reduce((sum, { name, amount }) => {
    const left = amount - requestOf(pod, name);
    return left > 0 ? sum + (left / amount) ** 2 : sum;
  }, 0);
}

function isSmaller(a: Pod, b: Pod): boolean {
  for (const name of ["memory", "cpu"]) {
    const difference = requestOf(a, name) - requestOf(b, name);
    if (difference !== 0) return difference < 0;
  }
  return true;
}

function impossible(needs: readonly Need[]): Error {
  const list = needs.map(({ name, amount }) => `(res: ${name}, q: ${amount}), `).join("");
  return new Error(`no set of running pods found to reclaim resources: [${list}]`);
}

/** As few as can be: again and again the one that gives most of what is missing. */
function nearest(pods: readonly Pod[], needs: readonly Need[]): Pod[] {
  const chosen: Pod[] = [];
  const left = [...pods];
  for (let missing = [...needs]; missing.length > 0; ) {
    if (left.length === 0) throw impossible(missing);
    const best = left.reduce((a, b) => {
      const [one, other] = [distance(missing, a), distance(missing, b)];
      return other < one || (other === one && isSmaller(b, a)) ? b : a;
    });
    missing = without(missing, [best]);
    chosen.push(best);
    left.splice(left.indexOf(best), 1);
  }
  return chosen;
}

/** Of the guaranteed ones only those without whom it cannot be done, then of the burstable ones. Throws an `Error`. */
export function podsToPreempt(pod: Pod, others: readonly Pod[], needs: readonly Need[]): Pod[] {
  const candidates = others.filter((other) => isPreemptable(other, pod));
  const of = (qos: string) => candidates.filter(({ spec }) => qosClassOf(spec) === qos);
  const [bestEffort, burstable, guaranteed] = [of("BestEffort"), of("Burstable"), of("Guaranteed")];
  const unreachable = without(needs, candidates);
  if (unreachable.length > 0) throw impossible(unreachable);
  const first = nearest(guaranteed, without(needs, [...bestEffort, ...burstable]));
  const second = nearest(burstable, without(needs, [...bestEffort, ...first]));
  const third = nearest(bestEffort, without(needs, [...second, ...first]));
  return [...third, ...second, ...first];
}
