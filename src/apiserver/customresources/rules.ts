/**
 * `x-kubernetes-validations`: rules in CEL, each about the value in whose schema it stands.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
 */
import {
  additionalOf,
  type apiextensionsv1,
  correlate,
  type FieldError,
  invalid,
  isObject,
  itemsOf,
  type JsonSchema,
  type KubernetesObject,
  propertyOf,
  sameJson,
} from "#api";
import { messageOf } from "#base";
import { Budget, CelEnvironment, CelError, callLimit, celEngine, type Program } from "#cel";
import { type RuleType, RuleTypes } from "./rule-types.ts";

type Schema = Readonly<JsonSchema>;
type RuleText = Readonly<apiextensionsv1.ValidationRule>;

/** All rules of one object together. */
const objectLimit = 10_000_000;
const nowhere = "<nil>";

export interface Rules {
  readonly isEmpty: boolean;
  /** `old` is undefined for a creation. */
  validate(object: Readonly<KubernetesObject>, old: Readonly<KubernetesObject> | undefined): FieldError[];
}

interface Rule {
  readonly text: RuleText;
  readonly program: Program;
  readonly message: Program | undefined;
  /** Speaks of what was there before: only of changes, unless it takes that there may be nothing. */
  readonly isTransition: boolean;
}

/** A schema with its own rules and those of what is inside. */
interface RuleNode {
  readonly schema: Schema;
  readonly type: RuleType | undefined;
  readonly rules: readonly Rule[];
  readonly properties: ReadonlyMap<string, RuleNode>;
  readonly additional: RuleNode | undefined;
  readonly items: RuleNode | undefined;
}

/** Where a rule stands, and what is wrong with it. */
export interface RuleProblem {
  path: string;
  field: "rule" | "messageExpression" | "optionalOldSelf";
  rule: RuleText;
  why: string;
}

export interface CompiledRules extends Rules {
  readonly problems: readonly RuleProblem[];
}

const keptMax = 50;
/** By the text of the schema: a definition is compiled when it is written, and again when it is served. */
const kept = new Map<string, CompiledRules>();

export function compileRules(schema: Schema): CompiledRules {
  const text = JSON.stringify(schema);
  const known = kept.get(text);
  if (known) return known;
  const compiled = compileAll(schema);
  if (kept.size >= keptMax) kept.clear();
  kept.set(text, compiled);
  return compiled;
}

function compileAll(schema: Schema): CompiledRules {
  const problems: RuleProblem[] = [];
  const root = nodeOf(schema, "", true, undefined, problems);
  return {
    isEmpty: root === undefined,
    problems,
    validate(object, old) {
      if (!root) return [];
      const run: Run = { budget: new Budget(objectLimit), errors: [] };
      walk(root, object, old, "", run);
      return run.errors;
    },
  };
}

/** Undefined where there is no rule. `loose` is the place whose items nobody can follow from one state to the next. */
function nodeOf(
  schema: Schema,
  path: string,
  isRoot: boolean,
  loose: string | undefined,
  problems: RuleProblem[],
): RuleNode | undefined {
  const texts = schema["x-kubernetes-validations"] ?? [];
  const { type, rules } = texts.length > 0 ? ownRules(schema, path, isRoot, loose, problems) : noRules;
  const inAtomicMap = loose ?? (schema["x-kubernetes-map-type"] === "atomic" ? path : undefined);
  const properties = new Map<string, RuleNode>();
  for (const [name, each] of Object.entries(schema.properties ?? {})) {
    const node = nodeOf(each, `${path}.properties[${name}]`, false, inAtomicMap, problems);
    if (node) properties.set(name, node);
  }
  const inner = (part: JsonSchema | undefined, name: string, place: string | undefined) =>
    part && nodeOf(part, `${path}.${name}`, false, place, problems);
  const additional = inner(additionalOf(schema), "additionalProperties", loose);
  const inList = loose ?? (schema["x-kubernetes-list-type"] === "map" ? undefined : path);
  const items = inner(itemsOf(schema), "items", inList);
  if (texts.length === 0 && properties.size === 0 && !additional && !items) return undefined;
  return { schema, type, rules, properties, additional, items };
}

const noRules = { type: undefined, rules: [] } as const;

function ownRules(
  schema: Schema,
  path: string,
  isRoot: boolean,
  loose: string | undefined,
  problems: RuleProblem[],
): Pick<RuleNode, "type" | "rules"> {
  const environment = new CelEnvironment();
  const type = new RuleTypes(environment).of(schema, isRoot);
  const texts = schema["x-kubernetes-validations"] ?? [];
  const environmentFor = environmentsOf(environment, type, texts);
  const rules = texts.flatMap((text, i) =>
    ruleOf(text, `${path}.x-kubernetes-validations[${i}]`, environmentFor(text), loose, problems),
  );
  return { type, rules };
}

/** One environment for all rules of a schema; two where only some of them take that nothing was there before. */
function environmentsOf(
  environment: CelEnvironment,
  type: RuleType,
  texts: readonly RuleText[],
): (text: RuleText) => CelEnvironment {
  const isOptional = (text: RuleText) => text.optionalOldSelf === true;
  const isMixed = new Set(texts.map(isOptional)).size > 1;
  const made = new Map<boolean, CelEnvironment>();
  return (text) => {
    const optional = isOptional(text);
    let own = made.get(optional);
    if (!own) {
      own = (isMixed ? new CelEnvironment(environment) : environment)
        .variable("self", type.name)
        .variable("oldSelf", optional ? `optional<${type.name}>` : type.name);
      made.set(optional, own);
    }
    return own;
  };
}

function ruleOf(
  text: RuleText,
  path: string,
  own: CelEnvironment,
  loose: string | undefined,
  problems: RuleProblem[],
): Rule[] {
  const refuse = (field: RuleProblem["field"], why: string): undefined => {
    problems.push({ path, field, rule: text, why });
    return undefined;
  };
  const compile = (expression: string, field: "rule" | "messageExpression", wanted: string) => {
    try {
      const program = own.compile(expression);
      if (program.type === wanted || program.type === "dyn") return program;
      const what = field === "rule" ? "cel expression" : "messageExpression";
      return refuse(field, `${what} must evaluate to a ${wanted}`);
    } catch (error) {
      return refuse(field, `${field === "rule" ? "" : "messageExpression "}${messageOf(error)}`);
    }
  };
  const program = text.rule.trim() ? compile(text.rule, "rule", "bool") : undefined;
  const message = text.messageExpression?.trim()
    ? compile(text.messageExpression, "messageExpression", "string")
    : undefined;
  if (!program) return [];
  const isTransition = program.uses("oldSelf");
  if (isTransition && loose !== undefined)
    refuse(
      "rule",
      `oldSelf cannot be used on the uncorrelatable portion of the schema within ${loose || "<root>"}`,
    );
  if (!isTransition && text.optionalOldSelf !== undefined)
    refuse("optionalOldSelf", "may not be set if oldSelf is not used in rule");
  return [{ text, program, message, isTransition }];
}

interface Run {
  readonly budget: Budget;
  readonly errors: FieldError[];
}

function walk(node: RuleNode, value: unknown, old: unknown, path: string, run: Run): void {
  if (value === undefined || value === null || run.budget.isSpent) return;
  if (node.type && node.rules.length > 0) evaluate(node, node.type, value, old, path, run);
  if (Array.isArray(value)) {
    if (!node.items) return;
    const before = correlate(node.schema, old);
    for (const [i, each] of value.entries()) walk(node.items, each, before(each, i), `${path}[${i}]`, run);
    return;
  }
  if (!isObject(value)) return;
  const previous = isObject(old) ? old : {};
  for (const [name, each] of Object.entries(value)) {
    const property = node.properties.get(name);
    const inner = property ?? (propertyOf(node.schema, name) ? undefined : node.additional);
    if (!inner) continue;
    const at = property ? (path ? `${path}.${name}` : name) : `${path}[${name}]`;
    walk(inner, each, Object.hasOwn(previous, name) ? previous[name] : undefined, at, run);
  }
}

function evaluate(
  node: RuleNode,
  type: RuleType,
  value: unknown,
  old: unknown,
  path: string,
  run: Run,
): void {
  const isUnchanged = old !== undefined && sameJson(value, old);
  const self = type.read(value);
  const before = old === undefined || old === null ? undefined : type.read(old);
  for (const rule of node.rules) {
    const isOptional = rule.text.optionalOldSelf === true;
    if (rule.isTransition ? before === undefined && !isOptional : isUnchanged) continue;
    const oldSelf = isOptional ? optionalOf(before) : before;
    const error = failureOf(rule, { self, oldSelf }, node, path, run.budget);
    if (error) run.errors.push(error);
    if (run.budget.isSpent) return;
  }
}

function failureOf(
  { text, program, message }: Rule,
  variables: Readonly<Record<string, unknown>>,
  { schema }: RuleNode,
  path: string,
  budget: Budget,
): FieldError | undefined {
  const at = text.fieldPath ? (path + text.fieldPath).replace(/^\./, "") : path || nowhere;
  const shown = schema.type ?? "";
  try {
    if (run(program, variables, budget) === true) return undefined;
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    if (budget.isSpent) {
      const why =
        "validation failed due to running out of cost budget, no further validation rules will be run";
      return invalid(at, shown, why);
    }
    return invalid(at, shown, `${error.message} evaluating rule: ${messageFor(text)}`);
  }
  const said = message && expressed(message, variables, budget);
  return failed(text, at, shown, said ?? messageFor(text));
}

/** One call has its own limit, and takes from what all have together. */
function run(program: Program, variables: Readonly<Record<string, unknown>>, budget: Budget): unknown {
  const call = new Budget(callLimit);
  try {
    return program.evaluate(variables, call);
  } finally {
    try {
      budget.spend(call.spent);
    } catch {
      // Whoever goes on asks the budget.
    }
  }
}

function messageFor({ message, rule }: RuleText): string {
  return message?.trim() || `failed rule: ${rule.trim()}`;
}

/** Undefined for what may not be a message: then the other one stands. */
function expressed(
  message: Program,
  variables: Readonly<Record<string, unknown>>,
  budget: Budget,
): string | undefined {
  try {
    const text = run(message, variables, budget);
    if (typeof text !== "string") return undefined;
    const said = text.trim();
    return said === "" || said.length > 5120 || /[\n\r]/.test(said) ? undefined : said;
  } catch (error) {
    if (error instanceof CelError) return undefined;
    throw error;
  }
}

function failed({ reason }: RuleText, field: string, shown: string, detail: string): FieldError {
  switch (reason) {
    case "FieldValueRequired":
      return { type: reason, field, message: `Required value: ${detail}` };
    case "FieldValueForbidden":
      return { type: reason, field, message: `Forbidden: ${detail}` };
    case "FieldValueDuplicate":
      return { type: reason, field, message: `Duplicate value: ${JSON.stringify(shown)}` };
    default:
      return invalid(field, shown, detail);
  }
}

function optionalOf(value: unknown): unknown {
  const { Optional } = celEngine();
  return value === undefined ? Optional.none() : Optional.of(value);
}
