/**
 * The cluster's certificate authority as ConfigMap `kube-root-ca.crt` in every namespace: pods verify the API server
 * with it. https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
 */
import { configMaps, type corev1, isStatus, namespaces } from "#api";
import { defineController, done, readVerbs, rule, source } from "./kit/define-controller.ts";
import { isNamespaceTerminating } from "./kit/pods.ts";

const mapName = "kube-root-ca.crt";
const description =
  "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the " +
  "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

interface State {
  namespace: Readonly<corev1.Namespace>;
  current: Readonly<corev1.ConfigMap> | undefined;
  rootCa: string;
}

interface Plan {
  data: Record<string, string>;
}

export const rootCaController = defineController<State, Plan>({
  name: "root-ca-certificate-publisher",
  primary: namespaces,
  secondaries: [
    source(configMaps, ({ metadata }) => (metadata.name === mapName ? [metadata.namespace ?? ""] : [])),
  ],
  concurrency: 1,
  rules: [rule("", ["namespaces"], readVerbs), rule("", ["configmaps"], [...readVerbs, "create", "update"])],
  observe({ informers, options }, key) {
    const namespace = informers.of(namespaces).byKey(key);
    if (!namespace || !options.rootCa) return undefined;
    return { namespace, current: informers.of(configMaps).get(key, mapName), rootCa: options.rootCa };
  },
  decide({ namespace, current, rootCa }) {
    if (namespace.metadata.deletionTimestamp) return undefined;
    const right = current?.data?.["ca.crt"] === rootCa && Object.keys(current.data).length === 1;
    return right ? undefined : { data: { "ca.crt": rootCa } };
  },
  async act({ data }, { client }, { namespace, current }) {
    try {
      if (current) await client.update(configMaps, { ...current, data });
      else {
        const annotations = { "kubernetes.io/description": description };
        const metadata = { namespace: namespace.metadata.name, name: mapName, annotations };
        await client.create(configMaps, { metadata, data });
      }
    } catch (error) {
      if (!isStatus(error, "AlreadyExists") && !isNamespaceTerminating(error)) throw error;
    }
    return done;
  },
});
