/** ServiceAccount. https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/service-account-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";

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
  columns: [
    nameColumn(),
    column("Secrets", "string", "How many secrets it may use by name.", (a) =>
      String(a.secrets?.length ?? 0),
    ),
    ageColumn(),
  ],
});
