/** SchedulingGates: pods that are not ready to be scheduled. https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/ */
import { defineSchedulerPlugin } from "../define-plugin.ts";

export const schedulingGates = defineSchedulerPlugin({
  name: "SchedulingGates",
  wakes: [],
  gate(pod) {
    const gates = pod.spec.schedulingGates ?? [];
    return gates.length > 0
      ? `waiting for scheduling gates: [${gates.map((gate) => gate.name).join(" ")}]`
      : undefined;
  },
});
