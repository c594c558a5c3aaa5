/** Asks one admission webhook about one request. */
import { type admissionregistrationv1, internalError, type ResourceDefinition, StatusError } from "#api";
import { messageOf } from "#base";
import type { Attributes } from "../admission/admission.ts";
import type { Authorizer } from "../authorization/authorizer.ts";
import { conditionsAllow } from "../policies/webhook-conditions.ts";
import type { Storage } from "../registry/storage.ts";
import { type Question, reviewOf, reviewVersionOf, type Verdict, verdictOf } from "./admission-review.ts";
import { convert } from "./convert.ts";
import { matchedVersion } from "./matching.ts";
import type { WebhookClient } from "./webhook-client.ts";

export type Webhook = Readonly<admissionregistrationv1.ValidatingWebhook>;

export interface WebhookParts {
  storage: Storage;
  client: WebhookClient;
  authorizer: Authorizer;
  /** All served versions of the same kind. */
  versionsOf(definition: ResourceDefinition): readonly ResourceDefinition[];
}

/** A webhook that is to be asked, with the version in which it sees the request. */
export interface Matched<T extends Webhook> {
  hook: T;
  version: ResourceDefinition;
}

export function matched<T extends Webhook>(
  { storage, versionsOf }: WebhookParts,
  hooks: readonly T[],
  attributes: Attributes,
): Matched<T>[] {
  return hooks.flatMap((hook) => {
    const version = matchedVersion(storage, hook, attributes, versionsOf);
    return version ? [{ hook, version }] : [];
  });
}

/** The request as the webhook sees it. */
export async function questionFor(
  { storage }: WebhookParts,
  version: ResourceDefinition,
  attributes: Attributes,
): Promise<Question> {
  const { definition } = attributes;
  return {
    uid: storage.world.random.uuid(),
    attributes,
    version,
    object: await convert(attributes.object, definition, version),
    old: await convert(attributes.old, definition, version),
  };
}

/** Undefined: it is not to be asked, or could not be and that is to be ignored. Throws `StatusError` where it is not. */
export async function ask(
  { client, storage, authorizer }: WebhookParts,
  hook: Webhook,
  question: Question,
): Promise<Verdict | undefined> {
  const { attributes } = question;
  if (!conditionsAllow(storage, authorizer, hook, question)) return undefined;
  if (attributes.dryRun && hook.sideEffects !== "None" && hook.sideEffects !== "NoneOnDryRun")
    throw dryRunRefused(hook.name);
  const version = reviewVersionOf(hook) ?? "v1";
  try {
    const review = reviewOf(question, version);
    const answer = await client.post(hook.clientConfig, review, (hook.timeoutSeconds ?? 10) * 1000);
    const verdict = verdictOf(answer, question.uid, version);
    attributes.warnings?.push(...verdict.warnings);
    return verdict;
  } catch (error) {
    const why = `failed calling webhook ${JSON.stringify(hook.name)}: failed to call webhook: ${messageOf(error)}`;
    if (hook.failurePolicy !== "Ignore") throw internalError(why);
    storage.world.log.warn(
      { webhook: hook.name, why },
      "a webhook could not be asked; its policy is to ignore that",
    );
    return undefined;
  }
}

function dryRunRefused(name: string): StatusError {
  const message = `admission webhook ${JSON.stringify(name)} does not support dry run`;
  return StatusError.of(400, "BadRequest", message);
}
