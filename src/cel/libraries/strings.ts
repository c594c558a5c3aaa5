/** Texts, and patterns with RE2's semantics. https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-regex-library */
import type { Environment } from "@marcbachmann/cel-js";
import { compilePattern } from "#api";
import { CelError } from "../engine-error.ts";

const textMaxLength = 1 << 22;

export function registerStrings(environment: Environment): void {
  environment
    .registerFunction("string.matchesRe2(string): bool", matches)
    .registerFunction("matches(string, string): bool", matches)
    .registerFunction("string.find(string): string", find)
    .registerFunction("string.findAll(string): list<string>", findAll)
    .registerFunction("string.findAll(string, int): list<string>", findAll)
    .registerFunction("string.charAt(int): string", charAt)
    .registerFunction("string.replace(string, string): string", replace)
    .registerFunction("string.replace(string, string, int): string", replace)
    .registerFunction("string.reverse(): string", (text: string) => [...text].reverse().join(""))
    .registerType("StringsNamespace", StringsNamespace)
    .registerConstant("strings", "StringsNamespace", new StringsNamespace())
    .registerFunction("StringsNamespace.quote(string): string", (_: unknown, text: string) =>
      JSON.stringify(text),
    )
    .registerType("JsonPatchNamespace", JsonPatchNamespace)
    .registerConstant("jsonpatch", "JsonPatchNamespace", new JsonPatchNamespace())
    .registerFunction("JsonPatchNamespace.escapeKey(string): string", (_: unknown, key: string) =>
      key.replaceAll("~", "~0").replaceAll("/", "~1"),
    )
    .registerFunction("string.format(list<dyn>): string", format);
}

class StringsNamespace {}

class JsonPatchNamespace {}

function matches(text: string, pattern: string): boolean {
  try {
    return compilePattern(pattern).test(text);
  } catch {
    throw new CelError(`error parsing regexp: ${JSON.stringify(pattern.slice(0, 200))}`);
  }
}

function find(text: string, pattern: string): string {
  return compilePattern(pattern).find(text, 1)[0] ?? "";
}

/** A negative limit is none. */
function findAll(text: string, pattern: string, limit = -1n): string[] {
  return compilePattern(pattern).find(text, limit < 0n ? Number.POSITIVE_INFINITY : Number(limit));
}

function charAt(text: string, index: bigint): string {
  const chars = [...text];
  if (index < 0n || index > chars.length) throw new CelError(`index out of range: ${index}`);
  return chars[Number(index)] ?? "";
}

function replace(text: string, from: string, to: string, limit = -1n): string {
  if (limit < 0n) return bounded(text.replaceAll(from, () => to));
  const parts = text.split(from);
  const count = Math.min(Number(limit), parts.length - 1);
  const head = parts.slice(0, count + 1).join(to);
  return bounded([head, ...parts.slice(count + 1)].join(from));
}

function bounded(text: string): string {
  if (text.length > textMaxLength) throw new CelError("operation cancelled: actual cost limit exceeded");
  return text;
}

/** `%s`, `%d`, `%f`, `%e`, `%b`, `%x`, `%X`, `%o`. https://pkg.go.dev/github.com/google/cel-go/ext#Strings */
function format(template: string, values: readonly unknown[]): string {
  let next = 0;
  const text = template.replace(/%(?:%|(?:\.(\d{1,3}))?([a-zA-Z]))/g, (all, digits, verb) => {
    if (all === "%%") return "%";
    if (next >= values.length) throw new CelError(`index ${next} out of range`);
    return formatted(values[next++], verb as string, digits === undefined ? undefined : Number(digits));
  });
  return bounded(text);
}

function formatted(value: unknown, verb: string, digits: number | undefined): string {
  switch (verb) {
    case "s":
      return shown(value);
    case "d":
      if (typeof value !== "bigint") break;
      return String(value);
    case "f":
      if (typeof value !== "number" && typeof value !== "bigint") break;
      return Number(value).toFixed(digits ?? 6);
    case "e":
      if (typeof value !== "number") break;
      return value.toExponential(digits ?? 6);
    case "b":
      return typeof value === "boolean" ? (value ? "1" : "0") : whole(value).toString(2);
    case "o":
      return whole(value).toString(8);
    case "x":
    case "X": {
      const hex = typeof value === "string" ? Buffer.from(value).toString("hex") : whole(value).toString(16);
      return verb === "X" ? hex.toUpperCase() : hex;
    }
  }
  throw new CelError(`could not parse formatting clause: unrecognized formatting clause "${verb}"`);
}

function whole(value: unknown): bigint {
  if (typeof value === "bigint") return value;
  throw new CelError("integer clause can only be used on integers");
}

function shown(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  if (value instanceof Date) return value.toISOString().replace(".000Z", "Z");
  if (value instanceof Map)
    return `{${[...value]
      .map(([name, each]) => `${shown(name)}: ${shown(each)}`)
      .sort()
      .join(", ")}}`;
  return String(value);
}
