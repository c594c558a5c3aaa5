import { expect, test } from "vitest";
import { changeErrorsOf, errorsOf, make } from "../testing/examples.ts";
import { clusterRoles } from "./cluster-role.ts";
import { clusterRoleBindings } from "./cluster-role-binding.ts";
import { roles } from "./role.ts";
import { roleBindings } from "./role-binding.ts";

const rule = { verbs: ["get"], apiGroups: [""], resources: ["pods"] };
const role = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reader" };

const nowhere = [
  "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
  "rules[0].resources: Required value: resource rules must supply at least one resource",
];

test.each([
  [{}, ["rules[0].verbs: Required value: verbs must contain at least one value", ...nowhere]],
  [{ verbs: ["get"] }, nowhere],
  [
    { ...rule, nonResourceURLs: ["/x"] },
    [
      'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
      'rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs',
    ],
  ],
])("a rule of a Role: %j", (wrong, errors) => {
  expect(errorsOf(roles, { rules: [wrong] })).toEqual(errors);
});

test("a ClusterRole may name paths, alone", () => {
  const paths = { verbs: ["get"], nonResourceURLs: ["/healthz"] };
  expect(errorsOf(clusterRoles, { rules: [paths] })).toEqual([]);
  expect(errorsOf(clusterRoles, { rules: [{ ...rule, ...paths }] })).toEqual([
    'rules[0].nonResourceURLs: Invalid value: ["/healthz"]: rules cannot apply to both regular resources and non-resource URLs',
  ]);
  expect(errorsOf(clusterRoles, { rules: null, aggregationRule: { clusterRoleSelectors: [] } })).toEqual([
    "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil",
  ]);
});

test("subjects know the group of their kind", () => {
  const subjects = [
    { kind: "User", name: "a" },
    { kind: "ServiceAccount", name: "b", namespace: "d" },
  ];
  const [user, account] = make(roleBindings, { subjects, roleRef: role }).subjects!;
  expect([user!.apiGroup, account!.apiGroup]).toEqual(["rbac.authorization.k8s.io", undefined]);
});

test.each([
  [
    { kind: "Robot", name: "r" },
    ['subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"'],
  ],
  [{ kind: "User", name: "" }, ["subjects[0].name: Required value"]],
  [{ kind: "ServiceAccount", name: "a" }, ["subjects[0].namespace: Required value"]],
  [
    { kind: "Group", name: "a", apiGroup: "x" },
    ['subjects[0].apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"'],
  ],
])("a subject: %j", (subject, errors) => {
  expect(
    errorsOf(clusterRoleBindings, { subjects: [subject], roleRef: { ...role, kind: "ClusterRole" } }),
  ).toEqual(errors);
});

test("a binding keeps its role, and a ClusterRoleBinding knows ClusterRoles alone", () => {
  expect(changeErrorsOf(roleBindings, { roleRef: role }, { roleRef: { ...role, name: "other" } })).toEqual([
    'roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"other"}: cannot change roleRef',
  ]);
  expect(errorsOf(clusterRoleBindings, { roleRef: role })).toEqual([
    'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
  ]);
});
