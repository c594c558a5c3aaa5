/** Regular expressions of users: only those without backtracking traps reach HAProxy. */
import { RE2JS } from "re2js";
import { isPrintable } from "../haproxy/quote.ts";

const patternMax = 1024;

/** RE2's syntax is a part of what HAProxy's PCRE understands. */
export function isPattern(text: string): boolean {
  if (text.length > patternMax || !isPrintable(text)) return false;
  try {
    RE2JS.compile(text);
    return true;
  } catch {
    return false;
  }
}
