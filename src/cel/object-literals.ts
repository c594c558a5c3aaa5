/**
 * Object literals such as `JSONPatch{op: "add"}` or `Object.spec{replicas: 3}`, which the engine does not know: they become
 * maps with the same fields. https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
 */

const identifierStart = /[A-Za-z_]/;
const identifierPart = /[A-Za-z0-9_]/;
const quotes = ['"""', "'''", '"', "'"];

/** The same expression with map literals; as it is where it has no object literals. */
export function withoutObjectLiterals(expression: string): string {
  let result = "";
  let at = 0;
  /** For every open brace: whether its keys are field names. */
  const braces: boolean[] = [];
  while (at < expression.length) {
    const skipped = skipText(expression, at);
    if (skipped > at) {
      result += expression.slice(at, skipped);
      at = skipped;
      continue;
    }
    const char = expression[at]!;
    if (identifierStart.test(char)) {
      const end = endOfName(expression, at);
      const next = afterSpace(expression, end);
      if (expression[next] === "{") {
        braces.push(true);
        result += "{";
        at = next + 1;
      } else {
        const isField = braces.at(-1) === true && isKey(expression, at, next);
        const name = expression.slice(at, end);
        result += isField ? JSON.stringify(name) : name;
        at = end;
      }
      continue;
    }
    if (char === "{" || char === "[" || char === "(") braces.push(false);
    if (char === "}" || char === "]" || char === ")") braces.pop();
    result += char;
    at++;
  }
  return result;
}

/** Behind a text, a comment, or a prefixed text (`r"…"`); `at` itself where none begins. */
function skipText(expression: string, at: number): number {
  if (expression.startsWith("//", at)) {
    const end = expression.indexOf("\n", at);
    return end < 0 ? expression.length : end;
  }
  const prefix = /^(?:[rR][bB]?|[bB][rR]?)?(?=["'])/.exec(expression.slice(at, at + 3));
  if (!prefix || (prefix[0] !== "" && identifierPart.test(expression[at - 1] ?? ""))) return at;
  const start = at + prefix[0].length;
  const quote = quotes.find((each) => expression.startsWith(each, start));
  if (!quote) return at;
  const isRaw = /[rR]/.test(prefix[0]);
  let end = start + quote.length;
  while (end < expression.length && !expression.startsWith(quote, end))
    end += expression[end] === "\\" && !isRaw ? 2 : 1;
  return Math.min(expression.length, end + quote.length);
}

/** Behind a name with its dots. */
function endOfName(expression: string, at: number): number {
  let end = at;
  while (end < expression.length) {
    if (identifierPart.test(expression[end]!)) end++;
    else if (expression[end] === "." && identifierStart.test(expression[end + 1] ?? "")) end++;
    else break;
  }
  return end;
}

function afterSpace(expression: string, at: number): number {
  let next = at;
  while (/\s/.test(expression[next] ?? "")) next++;
  return next;
}

/** A name between `{` or `,` and `:`. */
function isKey(expression: string, at: number, next: number): boolean {
  if (expression[next] !== ":") return false;
  return /[{,]\s*\??\s*$/.test(expression.slice(0, at));
}
