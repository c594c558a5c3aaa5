/** PrioritySort: higher priority first, then first come, first served. */
import { defineSchedulerPlugin } from "../define-plugin.ts";

export const prioritySort = defineSchedulerPlugin({
  name: "PrioritySort",
  wakes: [],
  compare: (a, b) => (b.pod.spec.priority ?? 0) - (a.pod.spec.priority ?? 0) || a.queuedMs - b.queuedMs,
});
