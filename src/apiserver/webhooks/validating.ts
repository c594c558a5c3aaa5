/**
 * Asks validating webhooks, all at the same time, once the object is what is to be stored.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#validatingadmissionwebhook
 */
import { validatingWebhookConfigurations } from "#api";
import type { AdmissionStep, Attributes } from "../admission/admission.ts";
import { denial } from "./admission-review.ts";
import { ask, type Matched, matched, questionFor, type Webhook, type WebhookParts } from "./ask.ts";
import { Configured } from "./configured.ts";
import { isExempt } from "./matching.ts";

export function validatingWebhooks(parts: WebhookParts): AdmissionStep {
  const configurations = new Configured(parts.storage, validatingWebhookConfigurations);
  return {
    name: "ValidatingAdmissionWebhook",
    review(attributes) {
      if (configurations.all.length === 0 || isExempt(attributes)) return undefined;
      const hooks = configurations.all.flatMap(({ webhooks = [] }) => webhooks);
      const asked = matched(parts, hooks, attributes);
      return asked.length > 0 ? askAll(parts, asked, attributes) : undefined;
    },
  };
}

/** The first refusal in the order of the configurations is the answer. */
async function askAll(
  parts: WebhookParts,
  hooks: readonly Matched<Webhook>[],
  attributes: Attributes,
): Promise<void> {
  const answers = await Promise.allSettled(
    hooks.map(async ({ hook, version }) => {
      const verdict = await ask(parts, hook, await questionFor(parts, version, attributes));
      if (verdict && !verdict.allowed) throw denial(hook.name, verdict.status);
    }),
  );
  const refused = answers.find((answer) => answer.status === "rejected");
  if (refused) throw refused.reason;
}
