/** How versions of custom resources become each other. https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#webhook-conversion */
import type { apiextensionsv1 } from "../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../meta/field-error.ts";
import { dns1035LabelErrors } from "../validation/names.ts";

type Conversion = Readonly<apiextensionsv1.CustomResourceConversion>;

const reviewVersions = ["v1", "v1beta1"];
const path = "spec.conversion";

export function validateConversion(conversion: Conversion | undefined): FieldError[] {
  if (!conversion) return [];
  const { strategy, webhook } = conversion;
  const errors: FieldError[] = [];
  if (!strategy) errors.push(required(`${path}.strategy`));
  else if (strategy !== "None" && strategy !== "Webhook")
    errors.push(notSupported(`${path}.strategy`, strategy, ["None", "Webhook"]));
  const detail = "should not be set when strategy is not set to Webhook";
  if (strategy === "Webhook") {
    errors.push(
      ...clientErrors(webhook?.clientConfig),
      ...reviewErrors(webhook?.conversionReviewVersions ?? []),
    );
  } else {
    if (webhook?.clientConfig) errors.push(forbiddenField(`${path}.webhookClientConfig`, detail));
    if (webhook?.conversionReviewVersions?.length)
      errors.push(forbiddenField(`${path}.conversionReviewVersions`, detail));
  }
  return errors;
}

function clientErrors(client: Readonly<apiextensionsv1.WebhookClientConfig> | undefined): FieldError[] {
  const at = `${path}.webhookClientConfig`;
  if (!client) return [required(at, "required when strategy is set to Webhook")];
  const { url, service } = client;
  if ((url === undefined) === (service === undefined))
    return [required(at, "exactly one of url or service is required")];
  if (url !== undefined) return validateWebhookUrl(url, `${at}.url`);
  const errors: FieldError[] = [];
  if (!service?.name) errors.push(required(`${at}.service.name`, "service name is required"));
  if (!service?.namespace) errors.push(required(`${at}.service.namespace`, "service namespace is required"));
  const port = service?.port ?? 443;
  if (port < 1 || port > 65_535)
    errors.push(
      invalid(`${at}.service.port`, port, "port is not valid: must be between 1 and 65535, inclusive"),
    );
  const urlPath = service?.path ?? "";
  if (urlPath && !urlPath.startsWith("/"))
    errors.push(invalid(`${at}.service.path`, urlPath, "must start with a '/'"));
  return errors;
}

/** Only the server's own word counts: https, a host, nobody's name and nothing to be parsed away. */
function validateWebhookUrl(text: string, field: string): FieldError[] {
  const form = "url must be a valid URL; desired format: https://host[/path]";
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return [required(field, form)];
  }
  const errors: FieldError[] = [];
  const refuse = (value: string, why: string) =>
    errors.push(invalid(field, value, `${why}; desired format: https://host[/path]`));
  if (url.protocol !== "https:") refuse(url.protocol.slice(0, -1), "'https' is the only allowed URL scheme");
  if (!url.hostname) refuse(url.hostname, "host must be specified");
  if (url.username || url.password) refuse(url.username, "user information is not permitted in the URL");
  if (url.hash) refuse(url.hash.slice(1), "fragments are not permitted in the URL");
  if (url.search) refuse(url.search.slice(1), "query parameters are not permitted in the URL");
  return errors;
}

function reviewErrors(versions: readonly string[]): FieldError[] {
  const at = `${path}.conversionReviewVersions`;
  if (versions.length === 0) return [required(at)];
  const errors: FieldError[] = [];
  for (const [i, version] of versions.entries()) {
    if (versions.indexOf(version) < i) errors.push(invalid(`${at}[${i}]`, version, "duplicate version"));
    else for (const e of dns1035LabelErrors(version)) errors.push(invalid(`${at}[${i}]`, version, e));
  }
  if (!versions.some((version) => reviewVersions.includes(version)))
    errors.push(invalid(at, versions, `must include at least one of ${reviewVersions.join(", ")}`));
  return errors;
}
