/** The `default` ServiceAccount in every namespace. https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ */
import { type corev1, isStatus, namespaces, serviceAccounts } from "#api";
import { defineController, done, readVerbs, rule, source } from "./kit/define-controller.ts";
import { isNamespaceTerminating } from "./kit/pods.ts";

const accountName = "default";

interface State {
  namespace: Readonly<corev1.Namespace>;
  exists: boolean;
}

export const serviceAccountController = defineController<State, { namespace: string }>({
  name: "serviceaccount-controller",
  primary: namespaces,
  secondaries: [
    source(serviceAccounts, ({ metadata }) =>
      metadata.name === accountName ? [metadata.namespace ?? ""] : [],
    ),
  ],
  concurrency: 1,
  rules: [rule("", ["namespaces"], readVerbs), rule("", ["serviceaccounts"], [...readVerbs, "create"])],
  observe({ informers }, key) {
    const namespace = informers.of(namespaces).byKey(key);
    if (!namespace) return undefined;
    return { namespace, exists: informers.of(serviceAccounts).get(key, accountName) !== undefined };
  },
  decide({ namespace, exists }) {
    if (exists || namespace.metadata.deletionTimestamp) return undefined;
    return { namespace: namespace.metadata.name };
  },
  async act({ namespace }, { client }) {
    try {
      await client.create(serviceAccounts, { metadata: { namespace, name: accountName } });
    } catch (error) {
      if (!isStatus(error, "AlreadyExists") && !isNamespaceTerminating(error)) throw error;
    }
    return done;
  },
});
