/**
 * Formats of strings that are checked; others are only documentation.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation
 */
import { isIP, isIPv4, isIPv6 } from "node:net";
import { dnsLabelErrors, dnsSubdomainErrors } from "../validation/names.ts";

const uuid = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const uuidOf = (version: number) =>
  new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$`, "i");
const dateTime = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/;
const hostLabel = /^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/;

function isDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const ms = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
}

function isDateTime(text: string): boolean {
  return dateTime.test(text) && isDate(text.slice(0, 10)) && !Number.isNaN(Date.parse(text.toUpperCase()));
}

function isCidr(text: string): boolean {
  const [address = "", bits = "", ...rest] = text.split("/");
  const family = isIP(address);
  return (
    rest.length === 0 && family > 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)
  );
}

function isUri(text: string): boolean {
  return text.startsWith("/") || (/^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(text) && !/\s/.test(text));
}

function isHostname(text: string): boolean {
  if (text.length > 255) return false;
  return text
    .replace(/\.$/, "")
    .split(".")
    .every((label) => hostLabel.test(label));
}

function isLuhn(text: string): boolean {
  const digits = text.replace(/[ -]/g, "");
  if (!/^\d{13,19}$/.test(digits)) return false;
  const sum = [...digits].reverse().reduce((total, digit, i) => {
    const value = Number(digit) * (i % 2 === 1 ? 2 : 1);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return sum % 10 === 0;
}

function isIsbn(text: string, length: 10 | 13): boolean {
  const digits = text.replace(/[ -]/g, "");
  if (!(length === 10 ? /^\d{9}[\dX]$/ : /^\d{13}$/).test(digits)) return false;
  const values = [...digits].map((digit) => (digit === "X" ? 10 : Number(digit)));
  const sum = values.reduce((total, value, i) => total + value * (length === 10 ? 10 - i : i % 2 ? 3 : 1), 0);
  return sum % (length === 10 ? 11 : 10) === 0;
}

const checks: Readonly<Record<string, (text: string) => boolean>> = {
  bsonobjectid: (text) => /^[0-9a-f]{24}$/i.test(text),
  byte: (text) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text),
  cidr: isCidr,
  creditcard: isLuhn,
  date: isDate,
  "date-time": isDateTime,
  datetime: isDateTime,
  duration: (text) =>
    /^-?(?:\d+(?:\.\d+)?\s*(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h|d|w)[a-z]*\s*)+$/i.test(text) || text === "0",
  email: (text) => /^[^\s@<>()]{1,64}@[^\s@<>()]{1,255}$/.test(text),
  hexcolor: (text) => /^#?(?:[0-9a-f]{3}|[0-9a-f]{6})$/i.test(text),
  hostname: isHostname,
  ipv4: isIPv4,
  ipv6: isIPv6,
  isbn: (text) => isIsbn(text, 10) || isIsbn(text, 13),
  isbn10: (text) => isIsbn(text, 10),
  isbn13: (text) => isIsbn(text, 13),
  "k8s-long-name": (text) => dnsSubdomainErrors(text).length === 0,
  "k8s-short-name": (text) => dnsLabelErrors(text).length === 0,
  mac: (text) => /^(?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\1){4,6}[0-9a-f]{2}$/i.test(text),
  rgbcolor: (text) => /^rgb\(\s*(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\s*(?:,\s*|(?=\)))){3}\)$/i.test(text),
  ssn: (text) => /^\d{3}[- ]?\d{2}[- ]?\d{4}$/.test(text),
  uri: isUri,
  uuid: (text) => uuid.test(text),
  uuid3: (text) => uuidOf(3).test(text),
  uuid4: (text) => uuidOf(4).test(text),
  uuid5: (text) => uuidOf(5).test(text),
};

/** Formats that are known, but say nothing that a string could break. */
const unchecked: ReadonlySet<string> = new Set([
  "password",
  "int32",
  "int64",
  "float",
  "double",
  "int-or-string",
]);

const longestChecked = 65_536;

/** `date-time` and `datetime` are one format, whatever dashes and case. */
function checkOf(format: string): ((text: string) => boolean) | undefined {
  return Object.hasOwn(checks, format) ? checks[format] : undefined;
}

export function matchesFormat(format: string, text: string): boolean {
  const check = checkOf(format);
  return !check || (text.length <= longestChecked && check(text));
}

export function isKnownFormat(format: string): boolean {
  return checkOf(format) !== undefined || unchecked.has(format);
}
