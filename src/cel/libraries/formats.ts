/** Named formats of names and labels. https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-format-library */
import type { Environment } from "@marcbachmann/cel-js";
import {
  dns1035LabelErrors,
  dnsLabelErrors,
  dnsSubdomainErrors,
  labelValueErrors,
  matchesFormat,
  qualifiedNameErrors,
} from "#api";
import { celEngine } from "../library.ts";

class CelFormat {
  readonly check: (text: string) => readonly string[];

  constructor(check: (text: string) => readonly string[]) {
    this.check = check;
  }
}

class FormatNamespace {}

/** A prefix may end in what a name may not. */
function asPrefix(check: (text: string) => readonly string[]): (text: string) => readonly string[] {
  return (text) => check(text.endsWith("-") ? `${text.slice(0, -1)}a` : text);
}

function known(format: string, what: string): (text: string) => readonly string[] {
  return (text) => (matchesFormat(format, text) ? [] : [what]);
}

const formats: Readonly<Record<string, (text: string) => readonly string[]>> = {
  dns1123Label: dnsLabelErrors,
  dns1123Subdomain: dnsSubdomainErrors,
  dns1035Label: dns1035LabelErrors,
  qualifiedName: qualifiedNameErrors,
  dns1123LabelPrefix: asPrefix(dnsLabelErrors),
  dns1123SubdomainPrefix: asPrefix(dnsSubdomainErrors),
  dns1035LabelPrefix: asPrefix(dns1035LabelErrors),
  labelValue: labelValueErrors,
  uri: known("uri", "invalid URI"),
  uuid: known("uuid", "does not match the UUID format"),
  byte: known("byte", "invalid base64"),
  date: known("date", "invalid date"),
  datetime: known("date-time", "invalid datetime"),
};

export function registerFormats(environment: Environment): void {
  const { Optional } = celEngine();
  const type = "kubernetes.NamedFormat";
  environment
    .registerType(type, CelFormat)
    .registerType("FormatNamespace", FormatNamespace)
    .registerConstant("format", "FormatNamespace", new FormatNamespace())
    .registerFunction(`FormatNamespace.named(string): optional<${type}>`, (_: unknown, name: string) =>
      Object.hasOwn(formats, name) ? Optional.of(new CelFormat(formats[name]!)) : Optional.none(),
    )
    .registerFunction(
      `${type}.validate(string): optional<list<string>>`,
      (format: CelFormat, text: string) => {
        const errors = format.check(text);
        return errors.length > 0 ? Optional.of([...errors]) : Optional.none();
      },
    );
  for (const name of Object.keys(formats))
    environment.registerFunction(`FormatNamespace.${name}(): ${type}`, () => new CelFormat(formats[name]!));
}
