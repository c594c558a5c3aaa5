/**
 * What every node may do, whatever stands on it; the node authorizer adds what its pods need.
 * https://kubernetes.io/docs/reference/access-authn-authz/node/
 */
import type { rbacv1 } from "#api";
import { read, rule } from "./roles.ts";

export const nodeRules: readonly rbacv1.PolicyRule[] = [
  rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
  rule("authorization.k8s.io", ["subjectaccessreviews", "localsubjectaccessreviews"], ["create"]),
  rule("", ["services"], read),
  // Admission keeps a node to itself and to its own pods.
  rule("", ["nodes"], ["create", "get", "list", "patch", "update", "watch"]),
  rule("", ["nodes/status"], ["patch", "update"]),
  rule(["", "events.k8s.io"], ["events"], ["create", "patch", "update"]),
  rule("", ["pods"], ["create", "delete"]),
  rule("", ["pods/status"], ["patch", "update"]),
  rule("", ["pods/eviction"], ["create"]),
  rule("", ["persistentvolumeclaims/status"], ["get", "patch", "update"]),
  rule("certificates.k8s.io", ["certificatesigningrequests"], ["create", ...read]),
  rule("storage.k8s.io", ["csidrivers"], read),
  rule("node.k8s.io", ["runtimeclasses"], read),
  rule("networking.k8s.io", ["servicecidrs"], read),
  rule("discovery.k8s.io", ["endpointslices"], read),
  // The node also routes to the others, and answers for the names of the cluster.
  rule("", ["endpoints", "namespaces"], read),
  rule("certificates.k8s.io", ["clustertrustbundles"], read),
];
