/**
 * Nothing is created in a namespace that is not there or is going away, and the cluster's own namespaces stay.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#namespacelifecycle
 */
import { forbidden, namespaces, notFound, type ResourceDefinition, StatusError } from "#api";
import type { Storage } from "../registry/storage.ts";
import type { AdmissionStep } from "./admission.ts";

export const systemNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"] as const;

export function namespaceLifecycle(storage: Storage): AdmissionStep {
  const definition = namespaces as ResourceDefinition;
  const immortal: ReadonlySet<string> = new Set(systemNamespaces);
  return {
    name: "NamespaceLifecycle",
    validate({ operation, definition: of, namespace, name }) {
      if (operation === "DELETE" && of === definition && immortal.has(name)) {
        throw forbidden(of, name, "this namespace may not be deleted");
      }
      if (operation !== "CREATE" || !namespace) return;
      const found = storage.find(definition, undefined, namespace);
      if (!found) throw notFound(definition, namespace);
      if (found.facts.fields["status.phase"] !== "Terminating") return;
      const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
      const { status } = forbidden(of, name, why);
      const cause = {
        reason: "NamespaceTerminating",
        message: `namespace ${namespace} is being terminated`,
        field: "metadata.namespace",
      };
      throw new StatusError({ ...status, details: { ...status.details, causes: [cause] } });
    },
  };
}
