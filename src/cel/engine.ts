/**
 * Expressions of the Common Expression Language, as Kubernetes uses them: checked against the types of their variables,
 * with Kubernetes' own functions, and bounded in what they may cost.
 * https://kubernetes.io/docs/reference/using-api/cel/
 */
import type { ASTNode, Environment } from "@marcbachmann/cel-js";
import { messageOf } from "#base";
import { CelError } from "./engine-error.ts";
import { withHasField } from "./has-field.ts";
import { registerLibraries } from "./libraries.ts";
import { celEngine } from "./library.ts";
import { equalValues } from "./values.ts";

/** What one evaluation may cost, and what a group of them may cost together. */
export class Budget {
  readonly #steps: number;
  #left: number;

  constructor(steps: number) {
    this.#steps = steps;
    this.#left = steps;
  }

  get spent(): number {
    return this.#steps - this.#left;
  }

  get isSpent(): boolean {
    return this.#left < 0;
  }

  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new CelError("operation cancelled: actual cost limit exceeded");
  }
}

/** As upstream's limit for one expression, in steps that cost about the same. */
export const callLimit = 1_000_000;
const expressionMaxLength = 64 * 1024;

export interface Program {
  /** `bool`, `string`, `list<int>`… */
  readonly type: string;
  /** Names of the environment's variables that the expression speaks of. */
  uses(variable: string): boolean;
  /** Throws `CelError`. */
  evaluate(variables: Readonly<Record<string, unknown>>, budget: Budget): unknown;
}

let base: Environment | undefined;

function baseEnvironment(): Environment {
  base ??= registerLibraries(
    new (celEngine().Environment)({
      enableOptionalTypes: true,
      homogeneousAggregateLiterals: false,
      limits: { maxAstNodes: 10_000, maxDepth: 100, maxListElements: 1000, maxMapEntries: 1000 },
    }),
  );
  return base;
}

/** Types and variables that expressions may speak of. Built once, used for many expressions. */
export class CelEnvironment {
  readonly #environment: Environment;

  constructor(parent?: CelEnvironment) {
    this.#environment = (parent ? parent.#environment : baseEnvironment()).clone();
  }

  /** An object with fields; values are instances of `ctor`. */
  type(name: string, fields: Readonly<Record<string, string>>, ctor: new (...args: never[]) => object): this {
    this.#environment.registerType(name, { fields: { ...fields }, ctor });
    this.#environment.registerOperator(`${name} == ${name}`, equalValues);
    return this;
  }

  variable(name: string, type: string): this {
    this.#environment.registerVariable(name, type);
    return this;
  }

  function(signature: string, handler: (...args: never[]) => unknown): this {
    this.#environment.registerFunction(signature, handler);
    return this;
  }

  /** Throws `CelError` with what is wrong with it. */
  compile(expression: string): Program {
    if (expression.length > expressionMaxLength)
      throw new CelError(`compilation failed: the expression is longer than ${expressionMaxLength} bytes`);
    try {
      const text = withHasField(expression, (each) => this.#environment.parse(each));
      const parsed = this.#environment.parse(text);
      const ids = prepare(parsed.ast);
      const { valid, type = "dyn", error } = parsed.check();
      if (!valid) throw error;
      const meter: Meter = { budget: new Budget(0) };
      measure(parsed.ast, meter, new Set());
      return {
        type,
        uses: (variable) => ids.has(variable),
        evaluate: (variables, budget) => run(parsed, variables, meter, budget),
      };
    } catch (error) {
      throw new CelError(`compilation failed: ${compileText(expression, error)}`);
    }
  }
}

function run(
  parsed: (variables: Record<string, unknown>) => unknown,
  variables: Readonly<Record<string, unknown>>,
  meter: Meter,
  budget: Budget,
): unknown {
  meter.budget = budget;
  try {
    return parsed({ ...variables });
  } catch (error) {
    if (error instanceof CelError) throw error;
    const cause = (error as { cause?: unknown }).cause;
    if (cause instanceof CelError) throw cause;
    throw new CelError(summaryOf(error));
  }
}

interface Meter {
  budget: Budget;
}

interface MeteredNode {
  evaluate(...args: unknown[]): unknown;
}

function isNode(value: object): value is MeteredNode & ASTNode {
  return "op" in value && "evaluate" in value && typeof value.evaluate === "function";
}

/** Every step of the evaluation costs: loops cannot run away, nor texts grow without end. */
function measure(value: unknown, meter: Meter, seen: Set<object>): void {
  if (typeof value !== "object" || value === null || seen.has(value) || value instanceof Map) return;
  seen.add(value);
  if (isNode(value)) {
    const own: Record<string, unknown> = value as unknown as Record<string, unknown>;
    const inherited = (Object.getPrototypeOf(value) as MeteredNode).evaluate;
    let chosen: MeteredNode["evaluate"] | undefined;
    const metered = function evaluate(this: unknown, ...args: unknown[]): unknown {
      meter.budget.spend(1);
      const result = (chosen ?? inherited).apply(value, args);
      const { length } = typeof result === "string" || Array.isArray(result) ? result : "";
      if (length > 100) meter.budget.spend(length >> 4);
      return result;
    };
    Object.defineProperty(own, "evaluate", {
      get: () => metered,
      set(evaluate: MeteredNode["evaluate"]) {
        chosen = evaluate;
      },
    });
    measure((value as unknown as { meta?: unknown }).meta, meter, seen);
  }
  for (const each of Object.values(Object.getOwnPropertyDescriptors(value))) {
    if ("value" in each) measure(each.value, meter, seen);
  }
}

/** Patterns have RE2's semantics here: the engine's own function has those of JavaScript. Answers the names spoken of. */
function prepare(ast: ASTNode): Set<string> {
  const names = new Set<string>();
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) {
      for (const each of node) visit(each);
      return;
    }
    if (typeof node !== "object" || node === null || !("op" in node)) return;
    const { op, args } = node as { op: string; args: unknown };
    if (op === "id") names.add(args as string);
    if (op === "rcall" && Array.isArray(args) && args[0] === "matches") args[0] = "matchesRe2";
    visit(args);
    for (const name of ["alternate", "macro"]) {
      const { meta } = node as { meta?: Record<string, unknown> };
      visit(meta?.[name]);
    }
  };
  visit(ast);
  return names;
}

function summaryOf(error: unknown): string {
  const { summary } = error as { summary?: string };
  const text = summary ?? messageOf(error).split("\n")[0]!;
  return text.replace(/^No such key: /, "no such key: ").replaceAll("matchesRe2", "matches");
}

/** With the place in the expression, as cel-go shows it. */
function compileText(expression: string, error: unknown): string {
  const { range } = error as { range?: { start: number } };
  const text = summaryOf(error)
    .replace(/^no such key: (.*)$/, "undefined field '$1'")
    .replace(/^Unknown variable: (.*)$/, "undeclared reference to '$1' (in container '')");
  // cel-go points at the dot before a field.
  const at = (range?.start ?? 0) - (text.startsWith("undefined field") && range ? 1 : 0);
  const before = expression.slice(0, at).split("\n");
  const line = expression.split("\n")[before.length - 1] ?? "";
  const column = before.at(-1)!.length;
  return `ERROR: <input>:${before.length}:${column + 1}: ${text}\n | ${line}\n | ${".".repeat(column)}^`;
}
