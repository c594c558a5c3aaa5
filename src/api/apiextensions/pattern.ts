/** Patterns of clients have RE2's semantics: linear time, whatever they say. https://github.com/google/re2/wiki/Syntax */
import { RE2JS } from "re2js";

export interface Pattern {
  /** Anywhere in the text, as Go's `MatchString`. */
  test(text: string): boolean;
}

const keptMax = 1000;
/** What a pattern compiles to is the same for every cluster in the process. */
const kept = new Map<string, Pattern>();

/** Throws for what is no pattern. */
export function compilePattern(pattern: string): Pattern {
  const known = kept.get(pattern);
  if (known) return known;
  const compiled = RE2JS.compile(pattern);
  const made: Pattern = { test: (text) => compiled.matcher(text).find() };
  if (kept.size >= keptMax) kept.clear();
  kept.set(pattern, made);
  return made;
}
