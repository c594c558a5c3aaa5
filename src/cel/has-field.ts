/**
 * `has(list[0].field)`: the engine's own `has` follows names only. Where the way to a field leads through anything else,
 * it becomes a call of a function of ours, `hasField`.
 * https://github.com/google/cel-spec/blob/master/doc/langdef.md#field-selection
 */
import type { ASTNode, Environment } from "@marcbachmann/cel-js";
import { CelError } from "./engine-error.ts";

/** So many of them may stand in one expression. */
const replacementsMax = 200;

interface Call {
  readonly start: number;
  readonly end: number;
  readonly target: ASTNode;
  readonly field: string;
}

export function registerHasField(environment: Environment): void {
  environment.registerFunction("dyn.hasField(string): bool", (value: unknown, name: string) => {
    if (value instanceof Map) return value.has(name);
    throw new CelError(`no such key: ${name}`);
  });
}

/** The same expression with such calls; as it is where it needs none. Throws what the parser throws. */
export function withHasField(expression: string, parse: (text: string) => { ast: ASTNode }): string {
  let text = expression;
  for (let i = 0; i < replacementsMax; i++) {
    const call = /\bhas\s*\(/.test(text) ? callIn(parse(text).ast) : undefined;
    if (!call) return text;
    const target = text.slice(call.target.range.start, call.target.range.end);
    const replaced = `(${target}).hasField(${JSON.stringify(call.field)})`;
    text = text.slice(0, call.start) + replaced + text.slice(call.end);
  }
  return text;
}

/** The innermost first: what is replaced holds none itself. */
function callIn(node: unknown): Call | undefined {
  if (Array.isArray(node)) {
    for (const each of node) {
      const found = callIn(each);
      if (found) return found;
    }
    return undefined;
  }
  if (typeof node !== "object" || node === null || !("op" in node)) return undefined;
  const { op, args, range } = node as ASTNode;
  const inner = callIn(args);
  if (inner || op !== "call" || args[0] !== "has" || args[1].length !== 1) return inner;
  const [field] = args[1];
  if (field?.op !== "." || isPlain(field)) return undefined;
  return { start: range.start, end: range.end, target: field.args[0], field: field.args[1] };
}

/** Names from end to end. */
function isPlain(node: ASTNode): boolean {
  return node.op === "." || node.op === ".?" ? isPlain(node.args[0]) : node.op === "id";
}
