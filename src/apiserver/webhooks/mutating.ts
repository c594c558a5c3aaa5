/**
 * Lets mutating webhooks change an object, one after the other; those that want it see once more what others have
 * changed after them.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#mutatingadmissionwebhook
 */
import {
  type admissionregistrationv1,
  internalError,
  type KubernetesObject,
  mutatingWebhookConfigurations,
  StatusError,
  sameJson,
} from "#api";
import { messageOf } from "#base";
import type { AdmissionStep, Attributes } from "../admission/admission.ts";
import { jsonPatch } from "../patch/index.ts";
import { denial } from "./admission-review.ts";
import { ask, matched, questionFor, type WebhookParts } from "./ask.ts";
import { Configured } from "./configured.ts";
import { isExempt } from "./matching.ts";
import { changeTo } from "./mutated.ts";

type Webhook = Readonly<admissionregistrationv1.MutatingWebhook>;

export function mutatingWebhooks(parts: WebhookParts): AdmissionStep {
  const configurations = new Configured(parts.storage, mutatingWebhookConfigurations);
  return {
    name: "MutatingAdmissionWebhook",
    admit(attributes) {
      if (configurations.all.length === 0 || isExempt(attributes)) return undefined;
      const hooks = configurations.all.flatMap(({ webhooks = [] }) => webhooks);
      return matched(parts, hooks, attributes).length > 0 ? callAll(parts, hooks, attributes) : undefined;
    },
  };
}

/** Whether any of them changed the object. */
async function callAll(
  parts: WebhookParts,
  hooks: readonly Webhook[],
  attributes: Attributes,
): Promise<boolean> {
  /** Webhooks that want to see later changes, with what they left behind. */
  const seen: { hook: Webhook; object: KubernetesObject }[] = [];
  let isChanged = false;
  for (const hook of hooks) {
    if (await callOne(parts, hook, attributes)) isChanged = true;
    if (hook.reinvocationPolicy === "IfNeeded" && attributes.object)
      seen.push({ hook, object: structuredClone(attributes.object) });
  }
  for (const { hook, object } of seen)
    if (!sameJson(object, attributes.object))
      isChanged = (await callOne(parts, hook, attributes)) || isChanged;
  return isChanged;
}

async function callOne(parts: WebhookParts, hook: Webhook, attributes: Attributes): Promise<boolean> {
  // What one webhook changes decides whether the next is concerned.
  const [found] = matched(parts, [hook], attributes);
  if (!found) return false;
  const { version } = found;
  const question = await questionFor(parts, version, attributes);
  const verdict = await ask(parts, hook, question);
  if (!verdict) return false;
  if (!verdict.allowed) throw denial(hook.name, verdict.status);
  if (verdict.patch === undefined || !attributes.object) return false;
  try {
    const patched = jsonPatch(question.object, verdict.patch);
    return await changeTo(attributes, version, patched);
  } catch (error) {
    const why = error instanceof StatusError ? error.status.message : messageOf(error);
    if (hook.failurePolicy === "Ignore") return false;
    throw internalError(`failed calling webhook ${JSON.stringify(hook.name)}: ${why}`);
  }
}
