/**
 * A pod on a node changes only in ways that its node declares to follow.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#nodedeclaredfeaturevalidator
 */
import { type corev1, featuresOfUpdate, forbidden, nodes, pods, type ResourceDefinition } from "#api";
import type { Storage } from "../registry/storage.ts";
import type { AdmissionStep } from "./admission.ts";

export function nodeDeclaredFeatures(storage: Storage): AdmissionStep {
  return {
    name: "NodeDeclaredFeatureValidator",
    validate({ definition, subresource, operation, object, old, name }) {
      if (definition !== (pods as ResourceDefinition) || operation !== "UPDATE" || !object || !old) return;
      if (subresource !== "" && subresource !== "resize") return;
      const pod = object as corev1.Pod;
      const { nodeName } = pod.spec;
      if (!nodeName) return;
      const features = featuresOfUpdate(pod, old as corev1.Pod);
      if (features.length === 0) return;
      const refused = (why: string) => forbidden(definition, name, why);
      const node = storage.find(nodes as ResourceDefinition, undefined, nodeName)?.parse();
      if (!node) throw refused(`node ${JSON.stringify(nodeName)} not found`);
      const declared = (node as unknown as corev1.Node).status?.declaredFeatures ?? [];
      const lacking = features.filter((each) => !declared.includes(each));
      if (lacking.length > 0)
        throw refused(
          `pod update requires features ${lacking.join(", ")} which are not available on node ${JSON.stringify(nodeName)}`,
        );
    },
  };
}
