/**
 * Tells of each ValidatingAdmissionPolicy that its present generation has been looked at. Its expressions are checked
 * where they are written, against the schemas that are known then: a policy that stands has nothing to warn of.
 * https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking
 */
import { type admissionregistrationv1, validatingAdmissionPolicies } from "#api";
import { defineController, done, readVerbs, rule } from "./kit/define-controller.ts";

type Policy = Readonly<admissionregistrationv1.ValidatingAdmissionPolicy>;

const group = "admissionregistration.k8s.io";

export const admissionPolicyStatusController = defineController<Policy, { generation: number }>({
  name: "validatingadmissionpolicy-status-controller",
  primary: validatingAdmissionPolicies,
  concurrency: 1,
  rules: [
    rule(group, ["validatingadmissionpolicies"], readVerbs),
    rule(group, ["validatingadmissionpolicies/status"], ["get", "patch", "update"]),
  ],
  observe: ({ informers }, key) => informers.of(validatingAdmissionPolicies).byKey(key),
  decide({ metadata, status }) {
    const { generation = 1, deletionTimestamp } = metadata;
    return deletionTimestamp || status?.observedGeneration === generation ? undefined : { generation };
  },
  async act({ generation }, { client }, policy) {
    const status = { ...policy.status, observedGeneration: generation, typeChecking: {} };
    await client.update(validatingAdmissionPolicies, { ...policy, status }, { subresource: "status" });
    return done;
  },
});
