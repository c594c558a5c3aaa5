/**
 * Puts together the rules of ClusterRoles that are made of others, chosen by labels.
 * https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
 */
import { clusterRoles, type rbacv1, sameJson, selectorMatches } from "#api";
import { defineController, done, readVerbs, rule, source } from "./kit/define-controller.ts";

type ClusterRole = Readonly<rbacv1.ClusterRole>;

interface State {
  role: ClusterRole;
  all: readonly ClusterRole[];
}

interface Plan {
  name: string;
  rules: rbacv1.PolicyRule[];
}

/** The rules of all chosen roles in the order of their names, each once. */
function rulesFor({ role, all }: State): rbacv1.PolicyRule[] {
  const selectors = role.aggregationRule?.clusterRoleSelectors ?? [];
  const chosen = all.filter(
    (other) =>
      other.metadata.name !== role.metadata.name &&
      selectors.some((selector) => selectorMatches(selector, other.metadata.labels ?? {})),
  );
  chosen.sort((a, b) => (a.metadata.name! < b.metadata.name! ? -1 : 1));
  const rules = new Map<string, rbacv1.PolicyRule>();
  for (const other of chosen) for (const each of other.rules ?? []) rules.set(JSON.stringify(each), each);
  return [...rules.values()];
}

const isAggregated = (role: ClusterRole) => Boolean(role.aggregationRule);

export const clusterRoleAggregationController = defineController<State, Plan>({
  name: "clusterrole-aggregation-controller",
  primary: clusterRoles,
  // A part does not know what it is a part of; there are few aggregated roles.
  secondaries: [
    source(clusterRoles, (_, { informers }) =>
      informers
        .of(clusterRoles)
        .list()
        .filter(isAggregated)
        .map((role) => role.metadata.name ?? ""),
    ),
  ],
  concurrency: 1,
  rules: [rule("rbac.authorization.k8s.io", ["clusterroles"], [...readVerbs, "escalate", "patch", "update"])],
  observe({ informers }, key) {
    const role = informers.of(clusterRoles).byKey(key);
    return role && isAggregated(role) ? { role, all: informers.of(clusterRoles).list() } : undefined;
  },
  decide(state) {
    const rules = rulesFor(state);
    return sameJson(rules, state.role.rules ?? []) ? undefined : { name: state.role.metadata.name!, rules };
  },
  async act({ name, rules }, { client }) {
    await client.patch(clusterRoles, { name }, "merge", { rules });
    return done;
  },
});
