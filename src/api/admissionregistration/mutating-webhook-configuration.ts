/** MutatingWebhookConfiguration. https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/mutating-webhook-configuration-v1/ */
import type { admissionregistrationv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { validatePolicyChoice } from "./rules.ts";
import { defaultWebhook, validateWebhooks } from "./webhook.ts";

export const reinvocationPolicies = ["IfNeeded", "Never"];

export const mutatingWebhookConfigurations =
  defineResource<admissionregistrationv1.MutatingWebhookConfiguration>({
    group: "admissionregistration.k8s.io",
    version: "v1",
    resource: "mutatingwebhookconfigurations",
    kind: "MutatingWebhookConfiguration",
    typeName: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    namespaced: false,
    categories: ["api-extensions"],
    hasGeneration: true,
    defaults({ webhooks }) {
      for (const webhook of webhooks ?? []) {
        defaultWebhook(webhook);
        webhook.reinvocationPolicy ??= "Never";
      }
    },
    validate: ({ webhooks }) => [
      ...validateWebhooks(webhooks),
      ...(webhooks ?? []).flatMap(({ reinvocationPolicy }, i) =>
        validatePolicyChoice(reinvocationPolicy, `webhooks[${i}].reinvocationPolicy`, reinvocationPolicies),
      ),
    ],
    columns: [
      nameColumn(),
      column(
        "Webhooks",
        "integer",
        "Webhooks indicates the number of webhooks registered in this configuration",
        (c) => c.webhooks?.length ?? 0,
      ),
      ageColumn(),
    ],
  });
