/**
 * Label selectors, as text in queries (`app=web,tier in (a, b),!canary`) and as objects in specs.
 * https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
 */
import type { metav1 } from "../generated/types/index.ts";
import { labelValueErrors, qualifiedNameErrors } from "../validation/names.ts";
import { type FieldError, forbiddenField, invalid, required } from "./field-error.ts";
import { badRequest } from "./status.ts";

type Operator = "=" | "!=" | "in" | "notin" | "exists" | "!" | ">" | "<";

export interface LabelRequirement {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
}

/** All requirements must hold; none at all matches everything. */
export type LabelRequirements = readonly LabelRequirement[];
type Labels = Readonly<Record<string, string>> | undefined;

export function matchesLabels(requirements: LabelRequirements, labels: Labels): boolean {
  for (const requirement of requirements) if (!matchesOne(requirement, labels)) return false;
  return true;
}

function matchesOne(requirement: LabelRequirement, labels: Labels): boolean {
  const has = labels !== undefined && Object.hasOwn(labels, requirement.key);
  const value = has ? labels[requirement.key]! : "";
  switch (requirement.operator) {
    case "=":
    case "in":
      return has && requirement.values.includes(value);
    case "!=":
    case "notin":
      return !has || !requirement.values.includes(value);
    case "exists":
      return has;
    case "!":
      return !has;
    default: {
      if (!has || !/^-?\d+$/.test(value)) return false;
      const difference = BigInt(value) - BigInt(requirement.values[0]!);
      return requirement.operator === ">" ? difference > 0n : difference < 0n;
    }
  }
}

/** Parses the text of a `labelSelector` parameter; throws a 400 with upstream's wording. */
export function parseLabelSelector(text: string): LabelRequirement[] {
  const tokens = tokenize(text);
  const parser = { tokens, at: 0 };
  const requirements: LabelRequirement[] = [];
  if (tokens.length === 0) return requirements;
  for (;;) {
    const token = parser.tokens[parser.at];
    if (token === undefined || (token.symbol && token.text !== "!")) {
      throw fault(`found '${token?.text ?? ""}', expected: !, identifier, or 'end of string'`);
    }
    requirements.push(parseRequirement(parser));
    const next = parser.tokens[parser.at++];
    if (next === undefined) return requirements;
    if (next.text !== "," || !next.symbol)
      throw fault(`found '${next.text}', expected: ',' or 'end of string'`);
    const after = parser.tokens[parser.at];
    if (after === undefined || (after.symbol && after.text !== "!")) {
      throw fault(`found '${after?.text ?? ""}', expected: identifier after ','`);
    }
  }
}

interface Token {
  text: string;
  symbol: boolean;
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const pattern = /\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)/gy;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    tokens.push({ text: match[1]!, symbol: /^[=!<>(),]/.test(match[1]!) });
  }
  return tokens;
}

function fault(why: string): Error {
  return badRequest(`unable to parse requirement: ${why}`);
}

function parseRequirement(parser: { tokens: Token[]; at: number }): LabelRequirement {
  const next = () => parser.tokens[parser.at];
  const negated = next()?.text === "!" && next()!.symbol;
  if (negated) parser.at++;
  const key = parser.tokens[parser.at++];
  if (key === undefined || key.symbol) throw fault(`found '${key?.text ?? ""}', expected: identifier`);
  if (negated || next() === undefined || (next()!.text === "," && next()!.symbol)) {
    return checked({ key: key.text, operator: negated ? "!" : "exists", values: [] });
  }
  const operator = parser.tokens[parser.at++]!;
  switch (operator.text) {
    case "=":
    case "==":
    case "!=":
    case ">":
    case "<": {
      const value = next()?.symbol === false ? parser.tokens[parser.at++]!.text : "";
      const sign = operator.text === "==" ? "=" : (operator.text as Operator);
      return checked({ key: key.text, operator: sign, values: [value] });
    }
    case "in":
    case "notin":
      return checked({ key: key.text, operator: operator.text, values: parseValues(parser) });
    default:
      throw fault(`found '${operator.text}', expected: in, notin, =, ==, !=, gt, lt`);
  }
}

function parseValues(parser: { tokens: Token[]; at: number }): string[] {
  const open = parser.tokens[parser.at++];
  if (open?.text !== "(") throw fault(`found '${open?.text ?? ""}', expected: '('`);
  const values: string[] = [];
  let pending = true;
  for (;;) {
    const token = parser.tokens[parser.at++];
    if (token === undefined) throw fault("found '', expected: ',', or ')'");
    if (!token.symbol) {
      if (!pending) throw fault(`found '${token.text}', expected: ',', or ')'`);
      values.push(token.text);
      pending = false;
    } else if (token.text === ",") {
      if (pending) values.push("");
      pending = true;
    } else if (token.text === ")") {
      if (pending) values.push("");
      return values;
    } else throw fault(`found '${token.text}', expected: ',', ')' or identifier`);
  }
}

function checked(requirement: LabelRequirement): LabelRequirement {
  const keyError = qualifiedNameErrors(requirement.key)[0];
  if (keyError) throw fault(`key: Invalid value: ${JSON.stringify(requirement.key)}: ${keyError}`);
  for (const value of requirement.values) {
    const isNumeric = requirement.operator === ">" || requirement.operator === "<";
    if (isNumeric && !/^-?\d+$/.test(value)) {
      throw fault(
        `values[0]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`,
      );
    }
    const error = isNumeric ? undefined : labelValueErrors(value)[0];
    if (error)
      throw fault(`values[0][${requirement.key}]: Invalid value: ${JSON.stringify(value)}: ${error}`);
  }
  return requirement;
}

/** The text of requirements, as it stands in `status.selector` of a Scale. */
export function formatLabelSelector(selector: metav1.LabelSelector | undefined): string {
  return selectorRequirements(selector)
    .map((r) => {
      if (r.operator === "exists") return r.key;
      if (r.operator === "!") return `!${r.key}`;
      if (r.operator === "in" || r.operator === "notin")
        return `${r.key} ${r.operator} (${[...r.values].sort().join(",")})`;
      return `${r.key}${r.operator}${r.values[0]}`;
    })
    .join(",");
}

/** A selector object as requirements, sorted by key as upstream prints them. */
export function selectorRequirements(
  selector: Readonly<metav1.LabelSelector> | undefined,
): LabelRequirement[] {
  const requirements: LabelRequirement[] = Object.entries(selector?.matchLabels ?? {}).map(
    ([key, value]) => ({
      key,
      operator: "=",
      values: [value],
    }),
  );
  const operators: Record<string, Operator> = {
    In: "in",
    NotIn: "notin",
    Exists: "exists",
    DoesNotExist: "!",
  };
  for (const e of selector?.matchExpressions ?? []) {
    requirements.push({ key: e.key, operator: operators[e.operator] ?? "in", values: e.values ?? [] });
  }
  return requirements.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** Whether a selector object matches: none at all (undefined) matches nothing, an empty one everything. */
export function selectorMatches(
  selector: Readonly<metav1.LabelSelector> | undefined,
  labels: Labels,
): boolean {
  return selector !== undefined && matchesLabels(selectorRequirements(selector), labels);
}

export function isEmptySelector(selector: Readonly<metav1.LabelSelector> | undefined): boolean {
  return (
    Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0
  );
}

export function validateLabelSelector(
  selector: Readonly<metav1.LabelSelector> | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    for (const e of qualifiedNameErrors(key)) errors.push(invalid(`${path}.matchLabels`, key, e));
    for (const e of labelValueErrors(value)) errors.push(invalid(`${path}.matchLabels`, value, e));
  }
  for (const [i, e] of (selector?.matchExpressions ?? []).entries()) {
    errors.push(...validateExpression(e, `${path}.matchExpressions[${i}]`));
  }
  return errors;
}

function validateExpression(e: Readonly<metav1.LabelSelectorRequirement>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const count = e.values?.length ?? 0;
  if (e.operator === "In" || e.operator === "NotIn") {
    if (count === 0)
      errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
  } else if (e.operator === "Exists" || e.operator === "DoesNotExist") {
    if (count > 0) {
      errors.push(
        forbiddenField(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
      );
    }
  } else errors.push(invalid(`${at}.operator`, e.operator ?? "", "not a valid selector operator"));
  for (const message of qualifiedNameErrors(e.key ?? ""))
    errors.push(invalid(`${at}.key`, e.key ?? "", message));
  for (const [i, value] of (e.values ?? []).entries()) {
    for (const message of labelValueErrors(value)) errors.push(invalid(`${at}.values[${i}]`, value, message));
  }
  return errors;
}
