/** Forms of names that few kinds have: hosts with a wildcard, drivers, C identifiers, controllers. */
import { type FieldError, invalid, required, tooLong } from "../meta/field-error.ts";
import { dnsLabelErrors, dnsSubdomainErrors, dnsSubdomainFormat, patternError } from "./names.ts";

const driverNameMaxLength = 63;
const wildcard = /^\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const cIdentifierFormat = "[A-Za-z_][A-Za-z0-9_]*";
const cIdentifier = /^[A-Za-z_][A-Za-z0-9_]*$/;
const pathFormat = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
const pathPattern = /^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/;

/** `*.example.com`. */
export function wildcardSubdomainErrors(value: string): string[] {
  const errors = value.length > 253 ? ["must be no more than 253 bytes"] : [];
  if (value.length > 4096 || !wildcard.test(value)) {
    const rule =
      "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
    errors.push(patternError(rule, `\\*\\.${dnsSubdomainFormat}`, "*.example.com"));
  }
  return errors;
}

export function cIdentifierErrors(value: string): string[] {
  if (cIdentifier.test(value)) return [];
  const rule =
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
  return [patternError(rule, cIdentifierFormat, "my_name", "MY_NAME", "MyName")];
}

/** `acme.io/foo`. */
export function domainPrefixedPathErrors(field: string, value: string): FieldError[] {
  const slash = value.indexOf("/");
  const [host, path] = [value.slice(0, Math.max(slash, 0)), value.slice(slash + 1)];
  if (host === "" || path === "")
    return [invalid(field, value, 'must be a domain-prefixed path (such as "acme.io/foo")')];
  const errors = dnsSubdomainErrors(host).map((e) => invalid(field, host, e));
  if (!pathPattern.test(path))
    errors.push(invalid(field, path, `Invalid path (regex used for validation is '${pathFormat}')`));
  return errors;
}

/** Drivers of volumes and of devices: a DNS subdomain in either case, at most 63 long. */
export function driverNameErrors(field: string, value: string): FieldError[] {
  const errors: FieldError[] = [];
  if (value === "") errors.push(required(field));
  if (value.length > driverNameMaxLength) errors.push(tooLong(field, driverNameMaxLength));
  for (const e of dnsSubdomainErrors(value.toLowerCase())) errors.push(invalid(field, value, e));
  return errors;
}

/** `example.com`, also with a dot at its end. */
export function domainNameErrors(field: string, value: string): FieldError[] {
  if (value === "") return [required(field)];
  const name = value.replace(/\.$/, "");
  const errors = dnsSubdomainErrors(name);
  const labels = name.split(".");
  if (errors.length === 0 && labels.length < 2)
    errors.push("should be a domain with at least two segments separated by dots");
  if (errors.length === 0) errors.push(...labels.flatMap(dnsLabelErrors));
  return errors.map((e) => invalid(field, name, e));
}
