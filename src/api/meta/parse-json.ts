/**
 * JSON text to a value, with the wording of upstream's parser, bounded depth, and the paths of keys that stand twice
 * (which `JSON.parse` does not tell).
 */
import { DecodeError, pathText, strictWarnings } from "./decode.ts";

/** Upstream allows 10,000; nobody needs it, and every later walk recurses. */
export const jsonDepthMax = 1000;
const duplicatesMax = 100;
/** Keys whose paths are spelled out to bring problems into order. */
const orderedKeysMax = 20_000;

/** Throws `DecodeError` for what is no JSON. `duplicates` is only looked for where asked. */
export function parseJson(
  text: string,
  options: { duplicates?: boolean } = {},
): { value: unknown; duplicates: string[] } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new DecodeError(goWording(text, error));
  }
  const members = membersOf(value, 0);
  // A key that stands twice is one less in the value.
  const repeats = options.duplicates === true && membersIn(text) !== members;
  return { value, duplicates: repeats ? duplicatesIn(text) : [] };
}

/** How many members all objects of a value have. Throws for what is too deep. */
function membersOf(value: unknown, depth: number): number {
  if (typeof value !== "object" || value === null) return 0;
  if (depth === jsonDepthMax) throw new DecodeError("exceeded max depth");
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += membersOf(item, depth + 1);
    return count;
  }
  for (const key in value) count += 1 + membersOf((value as Record<string, unknown>)[key], depth + 1);
  return count;
}

/** How many keys valid JSON has: texts before a colon. */
function membersIn(text: string): number {
  let count = 0;
  for (let start = text.indexOf('"'); start >= 0; ) {
    let next = stringEnd(text, start) + 1;
    while (isSpace(text.charCodeAt(next))) next++;
    if (text.charCodeAt(next) === colon) count++;
    start = text.indexOf('"', next);
  }
  return count;
}

function isSpace(code: number): boolean {
  return code === 32 || code === 10 || code === 13 || code === 9;
}

function duplicatesIn(text: string): string[] {
  const duplicates = new Set<string>();
  scan(text, (levels, isRepeated) => {
    if (isRepeated && duplicates.size < duplicatesMax) duplicates.add(pathText(levels.map((l) => l.part)));
  });
  return [...duplicates];
}

function goWording(text: string, error: unknown): string {
  const message = error instanceof Error ? error.message : "";
  if (text.trim() === "" || /end of JSON input|Unterminated/.test(message))
    return "unexpected end of JSON input";
  const at = /position (\d+)/.exec(message);
  if (!at) return "invalid character in JSON";
  const character = JSON.stringify(text[Number(at[1])] ?? "").slice(1, -1);
  return `invalid character '${character}' at position ${at[1]}`;
}

const quote = 34;
const backslash = 92;
const colon = 58;

interface Level {
  keys: Set<string> | undefined;
  part: string | number;
}

/**
 * What strict decoding minds of a body, as separate sentences in the order of its text, as Go's decoder comes upon them.
 * `unknown` and `duplicates` are paths of `decode` and `parseJson`.
 */
export function strictProblems(
  text: string,
  unknown: readonly string[],
  duplicates: readonly string[],
): string[] {
  if (unknown.length === 0 || duplicates.length === 0) return strictWarnings(unknown, duplicates);
  const lost = new Set(unknown);
  const repeated = new Set(duplicates);
  const ordered: string[] = [];
  let left = orderedKeysMax;
  scan(text, (levels, isRepeated) => {
    if (left-- <= 0) return;
    const path = pathText(levels.map(({ part }) => part));
    if (isRepeated && repeated.delete(path)) ordered.push(...strictWarnings([], [path]));
    if (lost.delete(path)) ordered.push(...strictWarnings([path]));
  });
  return [...ordered, ...strictWarnings([...lost], [...repeated])];
}

type SeesKey = (levels: readonly Level[], isRepeated: boolean) => void;

/** One pass over valid JSON: every key, with whether it stood in its object before. */
function scan(text: string, seesKey: SeesKey): void {
  const levels: Level[] = [];
  let expectKey = false;
  for (let i = 0; i < text.length; i++) {
    const level = levels.at(-1);
    switch (text.charCodeAt(i)) {
      case quote: {
        const end = stringEnd(text, i);
        if (expectKey && level?.keys) seesKey(levels, standsTwice(text.slice(i, end + 1), level, level.keys));
        expectKey = false;
        i = end;
        break;
      }
      case 123: // {
        levels.push({ keys: new Set(), part: "" });
        expectKey = true;
        break;
      case 91: // [
        levels.push({ keys: undefined, part: 0 });
        break;
      case 125: // }
      case 93: // ]
        levels.pop();
        expectKey = false;
        break;
      case 44: // ,
        if (typeof level?.part === "number") level.part++;
        else expectKey = true;
        break;
      default:
    }
    // What a later key takes the place of is not in the value.
    if (levels.length > jsonDepthMax) throw new DecodeError("exceeded max depth");
  }
}

/** Long texts are most of a body: the next quote is found, not walked to. */
function stringEnd(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === backslash) slashes++;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}

function standsTwice(quoted: string, level: Level, keys: Set<string>): boolean {
  const key: string = quoted.includes("\\") ? JSON.parse(quoted) : quoted.slice(1, -1);
  level.part = key;
  const before = keys.size;
  return keys.add(key).size === before;
}
