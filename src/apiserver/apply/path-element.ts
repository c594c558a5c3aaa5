/**
 * One step of a field path, as its text in FieldsV1: `f:name` a field, `k:{"name":"web"}` an element of a list by its
 * keys, `v:"a"` an element of a set, `i:0` an element by its place.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
 */
import { isObject } from "#api";

/** Where elements of several sorts stand beside each other, they stand in this order. */
const sorts = "fkvi";
const fieldSort = "f".charCodeAt(0);

/** As upstream sorts: fields by name, keys and values by what they hold, places by number. */
export function compareElements(a: string, b: string): number {
  if (a === b) return 0;
  const isField = a.charCodeAt(0) === fieldSort;
  if (isField && b.charCodeAt(0) === fieldSort) return a < b ? -1 : 1;
  const sort = sorts.indexOf(a[0]!) - sorts.indexOf(b[0]!);
  if (sort !== 0) return sort;
  const [left, right] = [JSON.parse(a.slice(2)) as unknown, JSON.parse(b.slice(2)) as unknown];
  return a[0] === "k" ? compareKeys(left as Keys, right as Keys) : compareValues(left, right);
}

type Keys = Record<string, unknown>;

function compareKeys(a: Keys, b: Keys): number {
  const [left, right] = [Object.entries(a), Object.entries(b)];
  for (let i = 0; i < left.length && i < right.length; i++) {
    const [nameA, valueA] = left[i]!;
    const [nameB, valueB] = right[i]!;
    if (nameA !== nameB) return nameA < nameB ? -1 : 1;
    const order = compareValues(valueA, valueB);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

/** Numbers, then texts, then truths, then nothing. */
function compareValues(a: unknown, b: unknown): number {
  const rank = (value: unknown) => ["number", "string", "boolean"].indexOf(typeof value);
  if (rank(a) !== rank(b)) {
    if (rank(a) < 0) return 1;
    if (rank(b) < 0) return -1;
    return rank(a) - rank(b);
  }
  if (typeof a === "number") return a - (b as number);
  if (typeof a === "string") return a === b ? 0 : a < (b as string) ? -1 : 1;
  return Number(a) - Number(b);
}

/** The element of a list of maps: `names` are its keys in alphabetical order, each with its value. */
export function keyElement(names: readonly string[], values: readonly unknown[]): string {
  let text = "k:{";
  for (let i = 0; i < names.length; i++) {
    if (i > 0) text += ",";
    text += `${JSON.stringify(names[i])}:${JSON.stringify(values[i])}`;
  }
  return `${text}}`;
}

/** A client's text in the one form that is compared; undefined if it names nothing. */
export function canonicalElement(text: string): string | undefined {
  const rest = text.slice(2);
  switch (text.slice(0, 2)) {
    case "f:":
      return text;
    case "v:": {
      const value = parsed(rest);
      return value === undefined || isObject(value) || Array.isArray(value)
        ? undefined
        : `v:${JSON.stringify(value)}`;
    }
    case "i:":
      return /^-?\d{1,9}$/.test(rest) ? `i:${Number(rest)}` : undefined;
    case "k:": {
      const value = parsed(rest);
      if (!isObject(value) || Object.keys(value).length === 0) return undefined;
      const names = Object.keys(value).sort();
      return keyElement(
        names,
        names.map((name) => value[name]),
      );
    }
    default:
      return undefined;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** As messages show it: `.image`, `[name="web"]`, `[="a"]`, `[0]`. */
export function describeElement(element: string): string {
  const rest = element.slice(2);
  switch (element[0]) {
    case "f":
      return `.${rest}`;
    case "k": {
      const pairs = Object.entries(JSON.parse(rest) as Keys);
      return `[${pairs.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(",")}]`;
    }
    case "v":
      return `[=${rest}]`;
    default:
      return `[${rest}]`;
  }
}
