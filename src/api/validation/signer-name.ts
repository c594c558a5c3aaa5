/**
 * Names of signers (`example.com/issuer`), and of the trust bundles that are theirs (`example.com:issuer:name`).
 * https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#signers
 */
import { type FieldError, invalid, required, tooLong } from "../meta/field-error.ts";
import { dnsLabelErrors, dnsSubdomainErrors, nameIsDnsSubdomain } from "./names.ts";

const domainMaxLength = 253;
/** A domain, a slash, and a path that fits a namespace, a dot and a name. */
const nameMaxLength = domainMaxLength + 1 + 63 + 1 + 253;

export function signerNameErrors(name: string, field: string): FieldError[] {
  if (!name) return [required(field)];
  const [domain = "", path, ...more] = name.split("/");
  if (path === undefined || more.length > 0) {
    const detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    return [invalid(field, name, detail)];
  }
  const labels = domain.split(".");
  return [
    ...(domain.length > domainMaxLength ? [tooLong(field, domainMaxLength)] : []),
    ...firstLabelErrors(labels, dnsLabelErrors, domain, field),
    ...(labels.length < 2
      ? [invalid(field, domain, "should be a domain with at least two segments separated by dots")]
      : []),
    ...firstLabelErrors(path.split("."), dnsSubdomainErrors, path, field),
    ...(name.length > nameMaxLength ? [tooLong(field, nameMaxLength)] : []),
  ];
}

/** Only what is wrong with the first bad label: the others would say the same of the same text. */
function firstLabelErrors(
  labels: readonly string[],
  errorsOf: (label: string) => string[],
  value: string,
  field: string,
): FieldError[] {
  for (const label of labels) {
    const errors = errorsOf(label);
    if (errors.length > 0)
      return errors.map((e) => invalid(field, value, `validating label ${JSON.stringify(label)}: ${e}`));
  }
  return [];
}

/** The name of a signer's bundle begins with the signer's. */
export function trustBundleNameErrors(name: string, signerName: string): string[] {
  if (!signerName) {
    return name.includes(":")
      ? ['ClusterTrustBundle without signer name must not have ":" in its name']
      : nameIsDnsSubdomain(name, false);
  }
  const prefix = `${signerName.replaceAll("/", ":")}:`;
  if (!name.startsWith(prefix))
    return [`ClusterTrustBundle for signerName ${signerName} must be named with prefix ${prefix}`];
  return nameIsDnsSubdomain(name.slice(prefix.length), false);
}

/** The signer that a bundle's name tells, or the empty text. */
export function signerOfTrustBundle(name: string): string {
  const last = name.lastIndexOf(":");
  if (last < 0) return "";
  const signer = name.slice(0, last);
  const separator = signer.indexOf(":");
  return separator < 0 ? signer : `${signer.slice(0, separator)}/${signer.slice(separator + 1)}`;
}
