/** ValidatingWebhookConfiguration. https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/validating-webhook-configuration-v1/ */
import type { admissionregistrationv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { defaultWebhook, validateWebhooks } from "./webhook.ts";

export const validatingWebhookConfigurations =
  defineResource<admissionregistrationv1.ValidatingWebhookConfiguration>({
    group: "admissionregistration.k8s.io",
    version: "v1",
    resource: "validatingwebhookconfigurations",
    kind: "ValidatingWebhookConfiguration",
    typeName: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    namespaced: false,
    categories: ["api-extensions"],
    hasGeneration: true,
    defaults: (configuration) => configuration.webhooks?.forEach(defaultWebhook),
    validate: ({ webhooks }) => validateWebhooks(webhooks),
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
