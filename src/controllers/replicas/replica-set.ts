/** ReplicaSet. https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/ */
import { replicaSets } from "#api";
import { readVerbs, rule } from "../kit/define-controller.ts";
import { defineReplicas } from "./replicas.ts";

export const replicaSetController = defineReplicas({
  name: "replicaset-controller",
  type: replicaSets,
  rules: [rule("apps", ["replicasets"], readVerbs), rule("apps", ["replicasets/status"], ["update"])],
  view: (replicaSet) => replicaSet,
  unview: (replicaSet) => replicaSet,
});
