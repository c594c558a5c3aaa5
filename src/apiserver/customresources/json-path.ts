/** Kubernetes' own JSONPath, as printer columns use it. https://kubernetes.io/docs/reference/kubectl/jsonpath/ */
import { isObject } from "#api";

/** What a path finds: nothing where it leads nowhere. */
export type JsonPath = (value: unknown) => unknown[];

type Step = (values: readonly unknown[]) => unknown[];

/** A path finds at most so much: `..` looks everywhere. */
const resultsMax = 1000;

class PathError extends Error {
  override name = "PathError";
}

/** Throws for what is no path. */
export function parseJsonPath(text: string): JsonPath {
  const steps = stepsOf(text, { at: 0 });
  return (value) => steps.reduce<unknown[]>((values, step) => step(values).slice(0, resultsMax), [value]);
}

interface Cursor {
  at: number;
}

function stepsOf(text: string, cursor: Cursor): Step[] {
  const steps: Step[] = [];
  while (cursor.at < text.length) {
    if (text.startsWith("..", cursor.at)) {
      cursor.at += 2;
      steps.push(everywhere);
      if (text[cursor.at] !== "[") steps.push(nameStep(readName(text, cursor)));
    } else if (text[cursor.at] === ".") {
      cursor.at++;
      if (cursor.at < text.length && text[cursor.at] !== "[") steps.push(nameStep(readName(text, cursor)));
    } else if (text[cursor.at] === "[") steps.push(bracketStep(readBracket(text, cursor)));
    else throw new PathError(`unrecognized character in path at ${cursor.at}: ${text.slice(0, 100)}`);
  }
  return steps;
}

function readName(text: string, cursor: Cursor): string {
  let name = "";
  for (; cursor.at < text.length && !/[.[\]]/.test(text[cursor.at]!); cursor.at++) {
    if (text[cursor.at] === "\\") cursor.at++;
    name += text[cursor.at] ?? "";
  }
  if (name === "") throw new PathError(`a name is missing in ${text.slice(0, 100)}`);
  return name;
}

/** Up to the bracket that closes this one; quotes and brackets inside are skipped. */
function readBracket(text: string, cursor: Cursor): string {
  const from = ++cursor.at;
  let depth = 1;
  let quote = "";
  for (; cursor.at < text.length; cursor.at++) {
    const char = text[cursor.at]!;
    if (quote) {
      if (char === "\\") cursor.at++;
      else if (char === quote) quote = "";
    } else if (char === "'" || char === '"') quote = char;
    else if (char === "[") depth++;
    else if (char === "]" && --depth === 0) return text.slice(from, cursor.at++);
  }
  throw new PathError(`unterminated array in ${text.slice(0, 100)}`);
}

function nameStep(name: string): Step {
  if (name === "*") return children;
  return (values) =>
    values.flatMap((value) => (isObject(value) && Object.hasOwn(value, name) ? [value[name]] : []));
}

const children: Step = (values) =>
  values.flatMap((value) =>
    Array.isArray(value) ? (value as unknown[]) : isObject(value) ? Object.values(value) : [],
  );

const everywhere: Step = (values) => {
  const found: unknown[] = [];
  let level = [...values];
  while (level.length > 0 && found.length < resultsMax) {
    found.push(...level);
    level = children(level);
  }
  return found;
};

const quoted = /^(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")$/s;

function unquoted(text: string): string | undefined {
  const match = quoted.exec(text);
  return match ? (match[1] ?? match[2]!).replace(/\\(.)/gs, "$1") : undefined;
}

function bracketStep(inside: string): Step {
  const text = inside.trim();
  if (text === "*") return children;
  if (text.startsWith("?(") && text.endsWith(")")) return filterStep(text.slice(2, -1));
  const name = unquoted(text);
  if (name !== undefined) return nameStep(name);
  if (text.includes(",")) {
    const steps = text.split(",").map((part) => bracketStep(part));
    return (values) => steps.flatMap((step) => step(values));
  }
  const slice = /^(-?\d{1,9})?(?::(-?\d{1,9})?)?(?::(-?\d{1,9})?)?$/.exec(text);
  if (!slice || text === "") throw new PathError(`invalid array index ${text.slice(0, 100)}`);
  return sliceStep(text.includes(":"), slice);
}

function sliceStep(isRange: boolean, [, from, to, by]: RegExpExecArray): Step {
  return (values) =>
    values.flatMap((value) => {
      if (!Array.isArray(value)) return [];
      const list = value as unknown[];
      if (!isRange) return list.slice(Number(from), Number(from) + 1 || undefined).slice(0, 1);
      const step = Math.max(1, Number(by ?? 1));
      const range = list.slice(Number(from ?? 0), to === undefined ? undefined : Number(to));
      return range.filter((_, i) => i % step === 0);
    });
}

type Operand = (value: unknown) => unknown;

function filterStep(text: string): Step {
  const match = /^(.*?)(==|!=|<=|>=|<|>)(.*)$/s.exec(text);
  const left = operand(match ? match[1]! : text);
  const right = match && operand(match[3]!);
  const keeps = (item: unknown) =>
    right ? compare(left(item), match[2]!, right(item)) : left(item) !== undefined;
  return (values) => values.flatMap((value) => (Array.isArray(value) ? value.filter(keeps) : []));
}

function operand(source: string): Operand {
  const text = source.trim();
  if (text.startsWith("@")) {
    const steps = stepsOf(text.slice(1), { at: 0 });
    return (value) => steps.reduce<unknown[]>((values, step) => step(values), [value])[0];
  }
  const literal = unquoted(text) ?? literalOf(text);
  return () => literal;
}

function literalOf(text: string): unknown {
  if (text === "true") return true;
  if (text === "false") return false;
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  throw new PathError(`unrecognized filter operand ${text.slice(0, 100)}`);
}

function compare(left: unknown, operator: string, right: unknown): boolean {
  if (operator === "==") return left === right;
  if (operator === "!=") return left !== undefined && left !== right;
  if (typeof left !== typeof right || (typeof left !== "string" && typeof left !== "number")) return false;
  const other = right as typeof left;
  if (operator === "<") return left < other;
  if (operator === "<=") return left <= other;
  return operator === ">" ? left > other : left >= other;
}
