/** Pod. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { defineResource, keepAllButStatus, proxyVerbs } from "../meta/define-resource.ts";
import { formatTime } from "../meta/time.ts";
import { podColumns } from "./pod-columns.ts";
import { defaultPod, defaultPodSpec } from "./pod-spec/defaults.ts";
import { qosClassOf } from "./pod-spec/qos.ts";
import { validatePod, validatePodUpdate } from "./pod-spec/validate-pod.ts";
import { validatePodStatusUpdate } from "./pod-spec/validate-pod-status.ts";
import { podWarnings } from "./pod-spec/warnings.ts";

const connect = ["get", "create"];

export const pods = defineResource<corev1.Pod>({
  group: "",
  version: "v1",
  resource: "pods",
  kind: "Pod",
  typeName: "io.k8s.api.core.v1.Pod",
  namespaced: true,
  shortNames: ["po"],
  categories: ["all"],
  hasGeneration: true,
  subresources: {
    attach: { kind: "PodAttachOptions", verbs: connect },
    binding: { kind: "Binding", verbs: ["create"] },
    ephemeralcontainers: { kind: "Pod", verbs: ["get", "patch", "update"] },
    eviction: { kind: "Eviction", group: "policy", version: "v1", verbs: ["create"] },
    exec: { kind: "PodExecOptions", verbs: connect },
    log: { kind: "Pod", verbs: ["get"] },
    portforward: { kind: "PodPortForwardOptions", verbs: connect },
    proxy: { kind: "PodProxyOptions", verbs: proxyVerbs },
    resize: { kind: "Pod", verbs: ["get", "patch", "update"] },
    status: { kind: "Pod", verbs: ["get", "patch", "update"] },
  },
  gracePeriodSeconds: (pod) => pod.spec.terminationGracePeriodSeconds ?? 30,
  defaults(pod) {
    pod.spec ??= {} as corev1.PodSpec;
    defaultPodSpec(pod.spec);
    defaultPod(pod.spec);
  },
  onCreate(pod, { nowMs }) {
    pod.status = { phase: "Pending", qosClass: qosClassOf(pod.spec) };
    if (!pod.spec.schedulingGates?.length) return;
    const condition: corev1.PodCondition = {
      type: "PodScheduled",
      status: "False",
      reason: "SchedulingGated",
      message: "Scheduling is blocked due to non-empty scheduling gates",
      lastTransitionTime: formatTime(nowMs),
    };
    pod.status.conditions = [condition];
  },
  onUpdate(pod, old) {
    pod.status = old.status;
  },
  onStatusUpdate(pod, old) {
    keepAllButStatus(pod, old);
    if (old.metadata.ownerReferences) pod.metadata.ownerReferences = old.metadata.ownerReferences;
    else delete pod.metadata.ownerReferences;
    if (old.status?.qosClass) pod.status.qosClass ??= old.status.qosClass;
  },
  validate: validatePod,
  warnings: podWarnings,
  validateUpdate: validatePodUpdate,
  validateStatusUpdate: validatePodStatusUpdate,
  selectableFields: {
    "spec.nodeName": (pod) => pod.spec.nodeName ?? "",
    "spec.restartPolicy": (pod) => pod.spec.restartPolicy ?? "",
    "spec.schedulerName": (pod) => pod.spec.schedulerName ?? "",
    "spec.serviceAccountName": (pod) => pod.spec.serviceAccountName ?? "",
    "spec.hostNetwork": (pod) => String(pod.spec.hostNetwork ?? false),
    "status.phase": (pod) => pod.status?.phase ?? "",
    "status.podIP": (pod) => pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? "",
    // Accepted, and never set: as upstream.
    "status.podIPs": () => "",
    "status.nominatedNodeName": (pod) => pod.status?.nominatedNodeName ?? "",
  },
  columns: podColumns,
});
