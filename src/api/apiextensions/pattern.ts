/** Patterns of clients have RE2's semantics: linear time, whatever they say. https://github.com/google/re2/wiki/Syntax */
import { createRequire } from "node:module";
import type { RE2JS } from "re2js";

/** Loaded with the first pattern: most clusters have none, and it takes five megabytes. */
const load = createRequire(import.meta.url);
let engine: typeof RE2JS | undefined;

export interface Pattern {
  /** Anywhere in the text, as Go's `MatchString`. */
  test(text: string): boolean;
  /** What matches, from left to right, up to a limit. */
  find(text: string, limit: number): string[];
}

const keptMax = 1000;
/** What a pattern compiles to is the same for every cluster in the process. */
const kept = new Map<string, Pattern>();

/** Throws for what is no pattern. */
export function compilePattern(pattern: string): Pattern {
  const known = kept.get(pattern);
  if (known) return known;
  engine ??= (load("re2js") as typeof import("re2js")).RE2JS;
  const compiled = engine.compile(pattern);
  const made: Pattern = {
    test: (text) => compiled.matcher(text).find(),
    find(text, limit) {
      const matcher = compiled.matcher(text);
      const found: string[] = [];
      while (found.length < limit && matcher.find()) found.push(matcher.group() ?? "");
      return found;
    },
  };
  if (kept.size >= keptMax) kept.clear();
  kept.set(pattern, made);
  return made;
}
