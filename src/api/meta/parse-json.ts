/**
 * JSON text to a value, with the wording of upstream's parser, bounded depth, and the paths of keys that stand twice
 * (which `JSON.parse` does not tell).
 */
import { DecodeError, pathText } from "./decode.ts";

/** Upstream allows 10,000; nobody needs it, and every later walk recurses. */
export const jsonDepthMax = 1000;
const duplicatesMax = 100;

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
  const { duplicates, depth } = scan(text, options.duplicates ?? false);
  if (depth > jsonDepthMax) throw new DecodeError("exceeded max depth");
  return { value, duplicates };
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

interface Level {
  keys: Set<string> | undefined;
  part: string | number;
}

/** One pass over valid JSON: how deep it is, and which keys repeat inside one object. */
function scan(text: string, wanted: boolean): { duplicates: string[]; depth: number } {
  const levels: Level[] = [];
  const duplicates: string[] = [];
  let depth = 0;
  let expectKey = false;
  for (let i = 0; i < text.length; i++) {
    const level = levels.at(-1);
    switch (text.charCodeAt(i)) {
      case quote: {
        const end = stringEnd(text, i);
        if (expectKey && wanted && level?.keys) noteKey(text.slice(i, end + 1), level, levels, duplicates);
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
    if (levels.length > depth) depth = levels.length;
    if (depth > jsonDepthMax) break;
  }
  return { duplicates, depth };
}

function stringEnd(text: string, start: number): number {
  for (let i = start + 1; ; i++) {
    const code = text.charCodeAt(i);
    if (code === backslash) i++;
    else if (code === quote || Number.isNaN(code)) return i;
  }
}

function noteKey(quoted: string, level: Level, levels: readonly Level[], duplicates: string[]): void {
  const key: string = quoted.includes("\\") ? JSON.parse(quoted) : quoted.slice(1, -1);
  level.part = key;
  if (level.keys!.has(key)) {
    const path = pathText(levels.map((l) => l.part));
    if (duplicates.length < duplicatesMax && !duplicates.includes(path)) duplicates.push(path);
  }
  level.keys!.add(key);
}
