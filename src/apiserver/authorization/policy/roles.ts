/**
 * The roles for users that every cluster has: cluster-admin, admin, edit and view, the latter three put together from
 * parts by the ClusterRole aggregation controller, and what everybody may read.
 * https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings
 */
import type { rbacv1 } from "#api";

export interface DefaultRole {
  name: string;
  labels?: Record<string, string>;
  rules: rbacv1.PolicyRule[];
  aggregationRule?: rbacv1.AggregationRule;
}

export const read = ["get", "list", "watch"];
const write = ["create", "delete", "deletecollection", "patch", "update"];
export const readWrite = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

export function rule(
  group: string | string[],
  resources: string[],
  verbs: string[],
  resourceNames?: string[],
): rbacv1.PolicyRule {
  const apiGroups = typeof group === "string" ? [group] : group;
  return { verbs, apiGroups, resources, ...(resourceNames ? { resourceNames } : {}) };
}

export function urls(nonResourceURLs: string[], verbs = ["get"]): rbacv1.PolicyRule {
  return { verbs, nonResourceURLs };
}

const aggregateTo = (role: string) => ({ [`rbac.authorization.k8s.io/aggregate-to-${role}`]: "true" });

const aggregated = (name: string, labels: Record<string, string> = {}): DefaultRole => ({
  name,
  labels,
  rules: [],
  aggregationRule: { clusterRoleSelectors: [{ matchLabels: aggregateTo(name) }] },
});

const adminRules = [
  rule("authorization.k8s.io", ["localsubjectaccessreviews"], ["create"]),
  rule("rbac.authorization.k8s.io", ["roles", "rolebindings"], readWrite),
];

const editRules = [
  rule("", ["pods/attach", "pods/proxy", "pods/exec", "pods/portforward", "secrets", "services/proxy"], read),
  rule("", ["serviceaccounts"], ["impersonate"]),
  rule("", ["pods", "pods/attach", "pods/proxy", "pods/exec", "pods/portforward"], write),
  rule("", ["pods/eviction"], ["create"]),
  rule(
    "",
    [
      "replicationcontrollers",
      "replicationcontrollers/scale",
      "serviceaccounts",
      "services",
      "services/proxy",
      "persistentvolumeclaims",
      "configmaps",
      "secrets",
      "events",
    ],
    write,
  ),
  rule("", ["serviceaccounts/token"], ["create"]),
  rule(
    "apps",
    [
      "statefulsets",
      "statefulsets/scale",
      "daemonsets",
      "deployments",
      "deployments/scale",
      "deployments/rollback",
      "replicasets",
      "replicasets/scale",
    ],
    write,
  ),
  rule("autoscaling", ["horizontalpodautoscalers"], write),
  rule("batch", ["jobs", "cronjobs"], write),
  rule("extensions", extensionsResources(["networkpolicies"]), write),
  rule("policy", ["poddisruptionbudgets"], write),
  rule("networking.k8s.io", ["networkpolicies", "ingresses"], write),
  rule("coordination.k8s.io", ["leases"], readWrite),
  rule("resource.k8s.io", ["resourceclaims", "resourceclaimtemplates"], write),
];

const viewRules = [
  rule(
    "",
    [
      "pods",
      "replicationcontrollers",
      "replicationcontrollers/scale",
      "serviceaccounts",
      "services",
      "services/status",
      "endpoints",
      "persistentvolumeclaims",
      "persistentvolumeclaims/status",
      "configmaps",
    ],
    read,
  ),
  rule(
    "",
    [
      "limitranges",
      "resourcequotas",
      "bindings",
      "events",
      "pods/status",
      "resourcequotas/status",
      "namespaces/status",
      "replicationcontrollers/status",
      "pods/log",
    ],
    read,
  ),
  rule("", ["namespaces"], read),
  rule("discovery.k8s.io", ["endpointslices"], read),
  rule(
    "apps",
    [
      "controllerrevisions",
      "statefulsets",
      "statefulsets/status",
      "statefulsets/scale",
      "daemonsets",
      "daemonsets/status",
      "deployments",
      "deployments/status",
      "deployments/scale",
      "replicasets",
      "replicasets/status",
      "replicasets/scale",
    ],
    read,
  ),
  rule("autoscaling", ["horizontalpodautoscalers", "horizontalpodautoscalers/status"], read),
  rule("batch", ["jobs", "cronjobs", "cronjobs/status", "jobs/status"], read),
  rule(
    "extensions",
    extensionsResources(["daemonsets/status", "ingresses/status", "replicasets/status", "networkpolicies"]),
    read,
  ),
  rule("policy", ["poddisruptionbudgets", "poddisruptionbudgets/status"], read),
  rule("networking.k8s.io", ["networkpolicies", "ingresses", "ingresses/status"], read),
  rule("resource.k8s.io", ["resourceclaims", "resourceclaims/status", "resourceclaimtemplates"], read),
];

/** A group that is served no more, and that old roles of users still compare themselves with. */
function extensionsResources(more: string[]): string[] {
  return [
    "daemonsets",
    "deployments",
    "deployments/scale",
    "ingresses",
    "replicasets",
    "replicasets/scale",
    ...more,
  ];
}

const discoveryUrls = [
  "/api",
  "/api/*",
  "/apis",
  "/apis/*",
  "/healthz",
  "/livez",
  "/openapi",
  "/openapi/*",
  "/readyz",
  "/version",
  "/version/",
];

export const userRoles: readonly DefaultRole[] = [
  { name: "cluster-admin", rules: [rule("*", ["*"], ["*"]), urls(["*"], ["*"])] },
  aggregated("admin"),
  aggregated("edit", aggregateTo("admin")),
  aggregated("view", aggregateTo("edit")),
  { name: "system:aggregate-to-admin", labels: aggregateTo("admin"), rules: adminRules },
  { name: "system:aggregate-to-edit", labels: aggregateTo("edit"), rules: editRules },
  { name: "system:aggregate-to-view", labels: aggregateTo("view"), rules: viewRules },
  { name: "system:discovery", rules: [urls(discoveryUrls)] },
  {
    name: "system:monitoring",
    rules: [
      urls([
        "/healthz",
        "/healthz/*",
        "/livez",
        "/livez/*",
        "/metrics",
        "/metrics/slis",
        "/readyz",
        "/readyz/*",
      ]),
    ],
  },
  {
    name: "system:basic-user",
    rules: [
      rule("authorization.k8s.io", ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
      rule("authentication.k8s.io", ["selfsubjectreviews"], ["create"]),
    ],
  },
  {
    name: "system:public-info-viewer",
    rules: [urls(["/healthz", "/livez", "/readyz", "/version", "/version/"])],
  },
  {
    name: "system:service-account-issuer-discovery",
    rules: [
      urls([
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/",
        "/openid/v1/jwks",
        "/openid/v1/jwks/",
      ]),
    ],
  },
];
