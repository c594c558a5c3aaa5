/** Who has the default roles. https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings */
import type { rbacv1 } from "#api";

export interface DefaultBinding {
  /** Of the binding; the role has the same name where `role` is absent. */
  name: string;
  role?: string;
  subjects: rbacv1.Subject[];
}

const apiGroup = "rbac.authorization.k8s.io";
const group = (name: string): rbacv1.Subject => ({ apiGroup, kind: "Group", name });
const user = (name: string): rbacv1.Subject => ({ apiGroup, kind: "User", name });

export function serviceAccountSubject(name: string, namespace = "kube-system"): rbacv1.Subject {
  return { kind: "ServiceAccount", name, namespace };
}

export const defaultBindings: readonly DefaultBinding[] = [
  { name: "cluster-admin", subjects: [group("system:masters")] },
  { name: "system:monitoring", subjects: [group("system:monitoring")] },
  { name: "system:discovery", subjects: [group("system:authenticated")] },
  { name: "system:basic-user", subjects: [group("system:authenticated")] },
  {
    name: "system:public-info-viewer",
    subjects: [group("system:authenticated"), group("system:unauthenticated")],
  },
  { name: "system:cluster-trust-bundle-discovery", subjects: [group("system:serviceaccounts")] },
  { name: "system:node-proxier", subjects: [user("system:kube-proxy")] },
  { name: "system:kube-controller-manager", subjects: [user("system:kube-controller-manager")] },
  { name: "system:kube-dns", subjects: [serviceAccountSubject("kube-dns")] },
  { name: "system:kube-scheduler", subjects: [user("system:kube-scheduler")] },
  { name: "system:knarr-ingress", subjects: [user("system:knarr-ingress")] },
  { name: "system:knarr-network-policy", subjects: [user("system:knarr-network-policy")] },
  { name: "system:volume-scheduler", subjects: [user("system:kube-scheduler")] },
  { name: "system:node", subjects: [] },
  { name: "system:service-account-issuer-discovery", subjects: [group("system:serviceaccounts")] },
];
