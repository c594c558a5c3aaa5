/** What a DeviceTaintRule's status says of the evictions it causes, as upstream words it. */
import type { corev1 } from "#api";
import type { TaintRule } from "./tainted-devices.ts";

interface Counts {
  readonly pending: readonly Readonly<corev1.Pod>[];
  readonly selected: { readonly offered: number; readonly allocated: number };
  readonly evicted: number;
}

interface RuleCondition {
  type: "EvictionInProgress";
  status: "True" | "False";
  reason: string;
  message: string;
}

const counted = (count: number, one: string, many: string) => (count === 1 ? `1 ${one}` : `${count} ${many}`);

export function ruleCondition({ spec }: TaintRule, { pending, selected, evicted }: Counts): RuleCondition {
  const namespaces = new Set(pending.map(({ metadata }) => metadata.namespace)).size;
  const where = counted(namespaces, "namespace", "different namespaces");
  const sentences: string[] = [];
  let reason = "OtherEffect";
  const isPending = spec.taint.effect === "NoExecute" && pending.length > 0;
  if (isPending) {
    reason = "PodsPendingEviction";
    sentences.push(`${counted(pending.length, "pod needs", "pods need")} to be evicted in ${where}.`);
  } else if (spec.taint.effect === "NoExecute") {
    reason = evicted > 0 ? "Completed" : "NotStarted";
  } else if (spec.taint.effect === "None") {
    reason = "NoEffect";
    sentences.push(
      `${counted(selected.offered, "published device", "published devices")} selected.`,
      `${counted(selected.allocated, "allocated device", "allocated devices")} selected.`,
      `${counted(pending.length, "pod", "pods")} would be evicted in ${where} if the effect was NoExecute.`,
      "This information will not be updated again. Recreate the DeviceTaintRule to trigger an update.",
    );
  } else sentences.push("Eviction only happens for the NoExecute effect.");
  if (evicted > 0)
    sentences.push(`${counted(evicted, "pod", "pods")} evicted since starting the controller.`);
  const status = isPending ? "True" : "False";
  return { type: "EvictionInProgress", status, reason, message: sentences.join(" ") };
}
