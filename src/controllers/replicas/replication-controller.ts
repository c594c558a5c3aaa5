/** ReplicationController: a ReplicaSet of before. https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller/ */
import { type appsv1, type corev1, replicationControllers } from "#api";
import { readVerbs, rule } from "../kit/define-controller.ts";
import { defineReplicas } from "./replicas.ts";

export const replicationController = defineReplicas<corev1.ReplicationController>({
  name: "replication-controller",
  type: replicationControllers,
  rules: [
    rule("", ["replicationcontrollers"], readVerbs),
    rule("", ["replicationcontrollers/status"], ["update"]),
  ],
  view(controller) {
    const selector = { matchLabels: controller.spec?.selector ?? {} };
    return { ...controller, spec: { ...controller.spec, selector } } as appsv1.ReplicaSet;
  },
  unview({ spec, status, ...rest }) {
    const selector = spec.selector?.matchLabels ?? {};
    const { terminatingReplicas: _, ...known } = status ?? { replicas: 0 };
    return { ...rest, spec: { ...spec, selector }, status: known } as corev1.ReplicationController;
  },
});
