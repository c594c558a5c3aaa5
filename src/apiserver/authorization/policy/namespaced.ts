/** The default Roles of single namespaces, and who has them. */
import type { rbacv1 } from "#api";
import { serviceAccountSubject } from "./bindings.ts";
import { read, rule } from "./roles.ts";

export interface NamespacedPolicy {
  namespace: string;
  name: string;
  rules: rbacv1.PolicyRule[];
  /** None: the role waits for somebody to bind it. */
  subjects: rbacv1.Subject[];
}

const user = (name: string): rbacv1.Subject => ({
  apiGroup: "rbac.authorization.k8s.io",
  kind: "User",
  name,
});

const leaderLock = (name: string): rbacv1.PolicyRule[] => [
  rule("", ["configmaps"], ["watch"]),
  rule("", ["configmaps"], ["get", "update"], [name]),
];

export const namespacedPolicies: readonly NamespacedPolicy[] = [
  {
    namespace: "kube-system",
    name: "extension-apiserver-authentication-reader",
    rules: [rule("", ["configmaps"], read, ["extension-apiserver-authentication"])],
    subjects: [user("system:kube-controller-manager"), user("system:kube-scheduler")],
  },
  {
    namespace: "kube-system",
    name: "system::leader-locking-kube-controller-manager",
    rules: leaderLock("kube-controller-manager"),
    subjects: [user("system:kube-controller-manager"), serviceAccountSubject("kube-controller-manager")],
  },
  {
    namespace: "kube-system",
    name: "system::leader-locking-kube-scheduler",
    rules: leaderLock("kube-scheduler"),
    subjects: [user("system:kube-scheduler"), serviceAccountSubject("kube-scheduler")],
  },
  {
    namespace: "kube-system",
    name: "system:controller:bootstrap-signer",
    rules: [rule("", ["secrets"], read)],
    subjects: [serviceAccountSubject("bootstrap-signer")],
  },
  {
    namespace: "kube-system",
    name: "system:controller:token-cleaner",
    rules: [
      rule("", ["secrets"], [...read, "delete"]),
      rule(["", "events.k8s.io"], ["events"], ["create", "patch", "update"]),
    ],
    subjects: [serviceAccountSubject("token-cleaner")],
  },
  {
    namespace: "kube-public",
    name: "system:controller:bootstrap-signer",
    rules: [
      rule("", ["configmaps"], read),
      rule("", ["configmaps"], ["update"], ["cluster-info"]),
      rule(["", "events.k8s.io"], ["events"], ["create", "patch", "update"]),
    ],
    subjects: [serviceAccountSubject("bootstrap-signer")],
  },
];
