/** ServiceAccount. https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/service-account-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";

const mountableAnnotation = "kubernetes.io/enforce-mountable-secrets";

export const serviceAccounts = defineResource<corev1.ServiceAccount>({
  group: "",
  version: "v1",
  resource: "serviceaccounts",
  kind: "ServiceAccount",
  typeName: "io.k8s.api.core.v1.ServiceAccount",
  namespaced: true,
  shortNames: ["sa"],
  subresources: {
    token: { kind: "TokenRequest", group: "authentication.k8s.io", version: "v1", verbs: ["create"] },
  },
  warnings({ metadata }) {
    if (metadata.annotations?.[mountableAnnotation] === undefined) return [];
    const advice = "prefer separate namespaces to isolate access to mounted secrets";
    return [`metadata.annotations[${mountableAnnotation}]: deprecated in v1.32+; ${advice}`];
  },
  columns: [
    nameColumn(),
    column("Secrets", "string", "How many secrets it may use by name.", (a) =>
      String(a.secrets?.length ?? 0),
    ),
    ageColumn(),
  ],
});
