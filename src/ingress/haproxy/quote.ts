/**
 * Text from users in HAProxy's configuration: quoted so that it is one word and nothing more.
 * https://docs.haproxy.org/2.6/configuration.html#2.2
 */

const unprintable = /[\p{Cc}\p{Cf}\u2028\u2029]/u;

/** True for text that can stand in a configuration at all. */
export function isPrintable(text: string): boolean {
  return !unprintable.test(text);
}

/** One word. Throws for control characters: callers have refused those with a better message. */
export function quote(text: string): string {
  if (!isPrintable(text)) throw new Error("control characters cannot be configured");
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** One word where HAProxy would expand `%[…]`. */
export function quoteFormat(text: string): string {
  return quote(text.replaceAll("%", "%%"));
}

/** A regular expression that matches exactly this text. */
export function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
