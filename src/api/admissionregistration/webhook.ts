/**
 * One webhook of a configuration: its defaults and its validation.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-configuration
 */
import type { admissionregistrationv1 } from "../generated/types/index.ts";
import { duplicate, type FieldError, invalid, required } from "../meta/field-error.ts";
import { invalidEach } from "../validation/checks.ts";
import { dnsLabelErrors, dnsSubdomainErrors } from "../validation/names.ts";
import { validateMatchConditions } from "./expressions.ts";
import {
  defaultRule,
  failurePolicies,
  validatePolicyChoice,
  validateRule,
  validateSelectors,
} from "./rules.ts";

type Webhook = admissionregistrationv1.ValidatingWebhook;

const sideEffects = ["None", "NoneOnDryRun"];
const reviewVersions = ["v1", "v1beta1"];
const timeoutMaxSeconds = 30;

export function defaultWebhook(webhook: Webhook): void {
  webhook.failurePolicy ??= "Fail";
  webhook.matchPolicy ??= "Equivalent";
  webhook.namespaceSelector ??= {};
  webhook.objectSelector ??= {};
  webhook.timeoutSeconds ??= 10;
  for (const rule of webhook.rules ?? []) defaultRule(rule);
  if (webhook.clientConfig?.service) webhook.clientConfig.service.port ??= 443;
}

export function validateWebhook(webhook: Readonly<Webhook>, at: string): FieldError[] {
  const { rules, failurePolicy, sideEffects: effects, timeoutSeconds } = webhook;
  return [
    ...validateName(webhook.name, `${at}.name`),
    ...(rules ?? []).flatMap((rule, i) => validateRule(rule, `${at}.rules[${i}]`)),
    ...validatePolicyChoice(failurePolicy, `${at}.failurePolicy`, failurePolicies),
    ...validateSelectors(webhook, at),
    ...(effects === undefined
      ? [required(`${at}.sideEffects`, `must specify one of ${sideEffects.join(", ")}`)]
      : validatePolicyChoice(effects, `${at}.sideEffects`, sideEffects)),
    ...(timeoutSeconds !== undefined && (timeoutSeconds < 1 || timeoutSeconds > timeoutMaxSeconds)
      ? [
          invalid(
            `${at}.timeoutSeconds`,
            timeoutSeconds,
            "the timeout value must be between 1 and 30 seconds",
          ),
        ]
      : []),
    ...validateClientConfig(webhook.clientConfig, `${at}.clientConfig`),
    ...validateReviewVersions(webhook.admissionReviewVersions ?? [], `${at}.admissionReviewVersions`),
    ...validateMatchConditions(webhook.matchConditions, `${at}.matchConditions`),
  ];
}

export function validateWebhooks<T extends Webhook>(webhooks: readonly T[] | undefined): FieldError[] {
  return (webhooks ?? []).flatMap((webhook, i) => {
    const at = `webhooks[${i}]`;
    const errors = validateWebhook(webhook, at);
    if (webhooks!.findIndex((each) => each.name === webhook.name) !== i)
      errors.push(duplicate(`${at}.name`, webhook.name));
    return errors;
  });
}

function validateName(name: string | undefined, field: string): FieldError[] {
  if (!name) return [required(field)];
  const errors = invalidEach(field, name, dnsSubdomainErrors(name));
  if (errors.length === 0 && name.split(".").length < 3)
    return [invalid(field, name, "should be a domain with at least three segments separated by dots")];
  return errors;
}

/** Also of the webhooks that convert custom resources. */
export function validateClientConfig(
  config: Readonly<admissionregistrationv1.WebhookClientConfig> | undefined,
  at: string,
): FieldError[] {
  const { url, service } = config ?? {};
  if ((url === undefined) === (service === undefined))
    return [required(at, "exactly one of url or service is required")];
  if (url !== undefined) return validateUrl(url, `${at}.url`);
  const errors: FieldError[] = [];
  if (!service?.name) errors.push(required(`${at}.service.name`));
  if (!service?.namespace) errors.push(required(`${at}.service.namespace`));
  const port = service?.port ?? 443;
  if (port < 1 || port > 65535)
    errors.push(
      invalid(`${at}.service.port`, port, "port is not valid: must be between 1 and 65535, inclusive"),
    );
  if (service?.path !== undefined) errors.push(...validatePath(service.path, `${at}.service.path`));
  return errors;
}

const urlForm = "; desired format: https://host[/path]";

function validateUrl(text: string, field: string): FieldError[] {
  if (!URL.canParse(text)) return [required(field, `url must be a valid URL${urlForm}`)];
  const url = new URL(text);
  const errors: FieldError[] = [];
  if (url.protocol !== "https:")
    errors.push(
      invalid(field, url.protocol.slice(0, -1), `'https' is the only allowed URL scheme${urlForm}`),
    );
  if (!url.host) errors.push(invalid(field, url.host, `host must be specified${urlForm}`));
  if (url.username || url.password)
    errors.push(invalid(field, url.username, "user information is not permitted in the URL"));
  if (url.hash) errors.push(invalid(field, url.hash.slice(1), "fragments are not permitted in the URL"));
  if (url.search)
    errors.push(invalid(field, url.search.slice(1), "query parameters are not permitted in the URL"));
  return errors;
}

function validatePath(path: string, field: string): FieldError[] {
  if (path === "") return [];
  if (!path.startsWith("/")) return [invalid(field, path, "must start with a '/'")];
  if (path === "/") return [];
  const steps = path.slice(1).replace(/\/$/, "").split("/");
  return steps.flatMap((step, i) => {
    if (step === "") return [invalid(field, path, `segment[${i}] may not be empty`)];
    return dnsSubdomainErrors(step).map((e) => invalid(field, path, `segment[${i}]: ${e}`));
  });
}

function validateReviewVersions(versions: readonly string[], at: string): FieldError[] {
  if (versions.length === 0) return [required(at, `must specify one of ${reviewVersions.join(", ")}`)];
  const errors = versions.flatMap((version, i) => {
    const field = `${at}[${i}]`;
    if (versions.indexOf(version) !== i) return [invalid(field, version, "duplicate version")];
    return invalidEach(field, version, dnsLabelErrors(version));
  });
  if (errors.length === 0 && !versions.some((version) => reviewVersions.includes(version)))
    errors.push(invalid(at, versions, `must include at least one of ${reviewVersions.join(", ")}`));
  return errors;
}
