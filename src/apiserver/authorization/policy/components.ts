/**
 * The roles of the cluster's own components, and of those that charts bind their service accounts to.
 * https://kubernetes.io/docs/reference/access-authn-authz/rbac/#core-component-roles
 */
import { type DefaultRole, read, rule } from "./roles.ts";

const events = rule(["", "events.k8s.io"], ["events"], ["create", "patch", "update"]);
const accessReviews = [
  rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
  rule("authorization.k8s.io", ["subjectaccessreviews"], ["create"]),
];

const scheduler: DefaultRole = {
  name: "system:kube-scheduler",
  rules: [
    events,
    rule("coordination.k8s.io", ["leases"], ["create"]),
    rule("coordination.k8s.io", ["leases"], ["get", "update"], ["kube-scheduler"]),
    rule(
      "coordination.k8s.io",
      ["leasecandidates"],
      ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    ),
    rule("", ["nodes"], read),
    rule("", ["pods"], ["delete", ...read]),
    rule("", ["bindings", "pods/binding"], ["create"]),
    rule("", ["pods/status"], ["patch", "update"]),
    rule("", ["replicationcontrollers", "services"], read),
    rule(["apps", "extensions"], ["replicasets"], read),
    rule("apps", ["statefulsets"], read),
    rule("policy", ["poddisruptionbudgets"], read),
    rule("", ["persistentvolumeclaims", "persistentvolumes"], read),
    ...accessReviews,
    rule("storage.k8s.io", ["csinodes", "csidrivers", "csistoragecapacities", "volumeattachments"], read),
    rule("resource.k8s.io", ["deviceclasses", "resourceclaims", "resourceslices", "devicetaintrules"], read),
    rule("resource.k8s.io", ["resourceclaims"], ["create", "delete", "patch", "update"]),
    rule("resource.k8s.io", ["resourceclaims/binding", "resourceclaims/status"], ["patch", "update"]),
    rule("", ["namespaces"], read),
    rule("scheduling.k8s.io", ["podgroups", "workloads"], read),
    rule("scheduling.k8s.io", ["podgroups/status"], ["patch", "update"]),
  ],
};

const controllerManager: DefaultRole = {
  name: "system:kube-controller-manager",
  rules: [
    events,
    rule("coordination.k8s.io", ["leases"], ["create"]),
    rule("coordination.k8s.io", ["leases"], ["get", "update"], ["kube-controller-manager"]),
    rule("", ["secrets", "serviceaccounts"], ["create"]),
    rule("", ["secrets"], ["delete"]),
    rule("", ["configmaps", "namespaces", "secrets", "serviceaccounts"], ["get"]),
    rule("", ["secrets", "serviceaccounts"], ["update"]),
    ...accessReviews,
    rule("*", ["*"], ["list", "watch"]),
    rule("", ["serviceaccounts/token"], ["create"]),
  ],
};

const proxier: DefaultRole = {
  name: "system:node-proxier",
  rules: [
    rule("", ["endpoints", "services"], ["list", "watch"]),
    rule("", ["nodes"], read),
    events,
    rule("discovery.k8s.io", ["endpointslices"], ["list", "watch"]),
    rule("networking.k8s.io", ["servicecidrs"], ["list", "watch"]),
  ],
};

/** Knarr's own: who may reach whom is decided on every node by what all pods are; and whom its DNS asks. */
const networkPolicy: DefaultRole = {
  name: "system:knarr-network-policy",
  rules: [
    rule("", ["namespaces", "pods"], ["list", "watch"]),
    rule("networking.k8s.io", ["networkpolicies"], ["list", "watch"]),
    rule("", ["configmaps"], ["list", "watch"], ["kube-dns"]),
  ],
};

/** Knarr's own: the Gateway API's objects, and where they and Ingresses are served. */
const ingress: DefaultRole = {
  name: "system:knarr-ingress",
  rules: [
    events,
    rule(
      "gateway.networking.k8s.io",
      ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"],
      ["list", "watch"],
    ),
    rule("networking.k8s.io", ["ingresses/status"], ["patch"]),
    rule(
      "gateway.networking.k8s.io",
      ["gatewayclasses/status", "gateways/status", "httproutes/status", "grpcroutes/status"],
      ["patch"],
    ),
  ],
};

export const componentRoles: readonly DefaultRole[] = [
  ingress,
  networkPolicy,
  scheduler,
  controllerManager,
  proxier,
  {
    name: "system:kube-dns",
    rules: [rule("", ["endpoints", "services"], ["list", "watch"])],
  },
  {
    name: "system:volume-scheduler",
    rules: [
      rule("", ["persistentvolumes"], ["get", "list", "patch", "update", "watch"]),
      rule("storage.k8s.io", ["storageclasses"], read),
      rule("", ["persistentvolumeclaims"], ["get", "list", "patch", "update", "watch"]),
    ],
  },
  {
    name: "system:persistent-volume-provisioner",
    rules: [
      rule("", ["persistentvolumes"], ["create", "delete", ...read]),
      rule("", ["persistentvolumeclaims"], ["get", "list", "update", "watch"]),
      rule("storage.k8s.io", ["storageclasses"], read),
      rule("", ["events"], ["watch"]),
      events,
    ],
  },
  { name: "system:auth-delegator", rules: accessReviews },
  {
    name: "system:heapster",
    rules: [
      rule("", ["events", "pods", "nodes", "namespaces"], read),
      rule("extensions", ["deployments"], read),
    ],
  },
  { name: "system:kube-aggregator", rules: [rule("", ["endpoints", "services"], read)] },
  {
    name: "system:node-problem-detector",
    rules: [rule("", ["nodes"], ["get"]), rule("", ["nodes/status"], ["patch"]), events],
  },
  {
    name: "system:node-bootstrapper",
    rules: [rule("certificates.k8s.io", ["certificatesigningrequests"], ["create", ...read])],
  },
  {
    name: "system:kubelet-api-admin",
    rules: [
      rule("", ["nodes"], read),
      rule("", ["nodes"], ["proxy"]),
      rule("", ["nodes/log", "nodes/metrics", "nodes/proxy", "nodes/stats"], ["*"]),
    ],
  },
  {
    name: "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
    rules: [rule("certificates.k8s.io", ["certificatesigningrequests/nodeclient"], ["create"])],
  },
  {
    name: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
    rules: [rule("certificates.k8s.io", ["certificatesigningrequests/selfnodeclient"], ["create"])],
  },
  ...[
    "kubernetes.io/kube-apiserver-client",
    "kubernetes.io/kube-apiserver-client-kubelet",
    "kubernetes.io/kubelet-serving",
    "kubernetes.io/legacy-unknown",
  ].map(
    (signer): DefaultRole => ({
      name: approverName(signer),
      rules: [rule("certificates.k8s.io", ["signers"], ["approve"], [signer])],
    }),
  ),
  {
    name: "system:cluster-trust-bundle-discovery",
    rules: [rule("certificates.k8s.io", ["clustertrustbundles"], read)],
  },
  { name: "system:node", rules: [] },
];

function approverName(signer: string): string {
  const short = signer.slice("kubernetes.io/".length);
  return `system:certificates.k8s.io:${short}-approver`;
}
