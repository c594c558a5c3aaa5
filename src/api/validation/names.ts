/**
 * The forms that names, labels and keys must have, with upstream's sentences.
 * https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
 */
import { type FieldError, invalid, tooLong } from "../meta/field-error.ts";

const dnsLabelFormat = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
export const dnsSubdomainFormat = `${dnsLabelFormat}(\\.${dnsLabelFormat})*`;
const dns1035Format = "[a-z]([-a-z0-9]*[a-z0-9])?";
const qualifiedNameFormat = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const labelValueFormat = `(${qualifiedNameFormat})?`;
const configKeyFormat = "[-._a-zA-Z0-9]+";

const dnsLabel = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const dnsSubdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const dns1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const qualifiedName = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const configKey = /^[-._a-zA-Z0-9]+$/;

const annotationsBytesMax = 256 * 1024;

export function maxLengthError(max: number): string {
  return `must be no more than ${max} bytes`;
}

/** A rule, examples of what keeps it, and the pattern that checks it. */
export function patternError(message: string, format: string, ...examples: string[]): string {
  const given = examples.map((e) => `'${e}', `).join(" or ");
  return `${message} (e.g. ${given}regex used for validation is '${format}')`;
}

/** A pod's container name, a namespace: at most 63 of `a-z0-9-`. */
export function dnsLabelErrors(value: string): string[] {
  const errors = value.length > 63 ? [maxLengthError(63)] : [];
  if (value.length > 4096 || !dnsLabel.test(value)) {
    const rule =
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
    errors.push(patternError(rule, dnsLabelFormat, "my-name", "123-abc"));
  }
  return errors;
}

/** Most objects' names: labels joined by dots, at most 253. */
export function dnsSubdomainErrors(value: string): string[] {
  const errors = value.length > 253 ? [maxLengthError(253)] : [];
  if (value.length > 4096 || !dnsSubdomain.test(value)) {
    const rule =
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
    errors.push(patternError(rule, dnsSubdomainFormat, "example.com"));
  }
  return errors;
}

/** A service's name: a label that starts with a letter. */
export function dns1035LabelErrors(value: string): string[] {
  const errors = value.length > 63 ? [maxLengthError(63)] : [];
  if (value.length > 4096 || !dns1035.test(value)) {
    const rule =
      "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
    errors.push(patternError(rule, dns1035Format, "my-name", "abc-123"));
  }
  return errors;
}

/** A prefix that `generateName` completes may end in what a full name may not. */
function trimmed(name: string, prefix: boolean): string {
  return prefix && name.length > 1 && name.endsWith("-") ? `${name.slice(0, -1)}a` : name;
}

export const nameIsDnsSubdomain = (name: string, prefix: boolean): string[] =>
  dnsSubdomainErrors(trimmed(name, prefix));
export const nameIsDnsLabel = (name: string, prefix: boolean): string[] =>
  dnsLabelErrors(trimmed(name, prefix));
export const nameIsDns1035Label = (name: string, prefix: boolean): string[] =>
  dns1035LabelErrors(trimmed(name, prefix));

/** What cannot stand in a path. */
export function pathSegmentErrors(name: string): string[] {
  if (name === "." || name === "..") return [`may not be '${name}'`];
  return ["/", "%"].filter((c) => name.includes(c)).map((c) => `may not contain '${c}'`);
}

const qualifiedNameRule =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const qualifiedNameExamples = ["MyName", "my.name", "123-abc"] as const;

/** `name` or `example.com/name`: keys of labels and annotations, resources, finalizers. */
export function qualifiedNameErrors(value: string): string[] {
  const parts = value.split("/");
  if (parts.length > 2) {
    const error = patternError(qualifiedNameRule, qualifiedNameFormat, ...qualifiedNameExamples);
    return [
      `a qualified name ${error} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const errors: string[] = [];
  const name = parts.at(-1)!;
  if (parts.length === 2) {
    if (parts[0] === "") errors.push("prefix part must be non-empty");
    else errors.push(...dnsSubdomainErrors(parts[0]!).map((e) => `prefix part ${e}`));
  }
  if (name === "") errors.push("name part must be non-empty");
  else if (name.length > 63) errors.push(`name part ${maxLengthError(63)}`);
  if (name.length > 4096 || !qualifiedName.test(name)) {
    errors.push(
      `name part ${patternError(qualifiedNameRule, qualifiedNameFormat, ...qualifiedNameExamples)}`,
    );
  }
  return errors;
}

export function labelValueErrors(value: string): string[] {
  const errors = value.length > 63 ? [maxLengthError(63)] : [];
  if (value !== "" && (value.length > 4096 || !qualifiedName.test(value))) {
    const rule =
      "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    errors.push(patternError(rule, labelValueFormat, "MyValue", "my_value", "12345"));
  }
  return errors;
}

/** Keys of ConfigMaps and Secrets: they become file names. */
export function configKeyErrors(value: string): string[] {
  const errors = value.length > 253 ? [maxLengthError(253)] : [];
  if (!configKey.test(value)) {
    const rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
    errors.push(patternError(rule, configKeyFormat, "key.name", "KEY_NAME", "key-name"));
  }
  if (value === ".") errors.push("must not be '.'");
  else if (value === "..") errors.push("must not be '..'");
  else if (value.startsWith("..")) errors.push("must not start with '..'");
  return errors;
}

/** https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/4369-allow-special-characters-environment-variable */
export function envNameErrors(value: string): string[] {
  if (/^[ -<>-~]+$/.test(value)) return [];
  return [
    "a valid environment variable name must consist only of printable ASCII characters other than '=' (e.g. 'my-env-name', regex used for validation is '[ -<>-~]+')",
  ];
}

export function portErrors(port: number): string[] {
  return Number.isInteger(port) && port >= 1 && port <= 65535
    ? []
    : ["must be between 1 and 65535, inclusive"];
}

/** An IANA service name: at most 15 of `a-z0-9-` with a letter. */
export function portNameErrors(name: string): string[] {
  const errors = name.length > 15 ? [maxLengthError(15)] : [];
  if (!/^[-a-z0-9]+$/.test(name))
    errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(name)) errors.push("must contain at least one letter (a-z)");
  if (name.includes("--")) errors.push("must not contain consecutive hyphens");
  if (name.startsWith("-") || name.endsWith("-")) errors.push("must not begin or end with a hyphen");
  return errors;
}

export function validateLabels(
  labels: Readonly<Record<string, string>> | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    for (const e of qualifiedNameErrors(key)) errors.push(invalid(field, key, e));
    for (const e of labelValueErrors(value)) errors.push(invalid(field, value, e));
  }
  return errors;
}

export function validateAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    for (const e of qualifiedNameErrors(key.toLowerCase())) errors.push(invalid(field, key, e));
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > annotationsBytesMax) errors.push(tooLong(field, annotationsBytesMax));
  return errors;
}
