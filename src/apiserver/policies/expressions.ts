/**
 * The expressions of admission: which variables they may speak of, and what those are for one request.
 * https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#validation-expression
 */
import { type admissionregistrationv1, namespaces, type ResourceDefinition } from "#api";
import {
  Budget,
  CelEnvironment,
  CelError,
  CelObject,
  callLimit,
  type Program,
  untypedValue,
  withoutObjectLiterals,
} from "#cel";
import type { Attributes } from "../admission/admission.ts";
import type { Authorizer } from "../authorization/authorizer.ts";
import type { Storage } from "../registry/storage.ts";
import type { Question } from "../webhooks/admission-review.ts";
import { admissionRequestOf } from "../webhooks/admission-review.ts";
import { AuthorizerValue, declareAuthorizer } from "./authorizer-value.ts";

/** All expressions of one policy for one request together. */
const policyLimit = 10_000_000;
const programsMax = 2_000;

let shared: CelEnvironment | undefined;

function sharedEnvironment(): CelEnvironment {
  shared ??= declareAuthorizer(new CelEnvironment())
    .variable("object", "dyn")
    .variable("oldObject", "dyn")
    .variable("request", "dyn")
    .variable("namespaceObject", "dyn")
    .variable("params", "dyn");
  return shared;
}

type Variables = readonly Readonly<admissionregistrationv1.Variable>[];

/** The environment of a policy with its own variables; match conditions have none. */
export class PolicyEnvironment {
  readonly #environment: CelEnvironment;
  readonly #programs = new Map<string, Program | CelError>();
  readonly #variables: Variables;
  readonly #Values: new () => LazyValues;

  constructor(variables: Variables = []) {
    this.#variables = variables;
    this.#Values = class extends LazyValues {};
    const fields = Object.fromEntries(variables.map(({ name }) => [name, "dyn"]));
    this.#environment = new CelEnvironment(sharedEnvironment())
      .type("Variables", fields, this.#Values)
      .variable("variables", "Variables");
  }

  /** Throws `CelError`. */
  compile(expression: string): Program {
    let program = this.#programs.get(expression);
    if (!program) {
      if (this.#programs.size >= programsMax) this.#programs.clear();
      program = this.#tryCompile(expression);
      this.#programs.set(expression, program);
    }
    if (program instanceof CelError) throw program;
    return program;
  }

  #tryCompile(expression: string): Program | CelError {
    try {
      return this.#environment.compile(withoutObjectLiterals(expression));
    } catch (error) {
      if (error instanceof CelError) return error;
      throw error;
    }
  }

  /** Evaluates expressions about one request; their costs add up. */
  evaluator(values: Readonly<Record<string, unknown>>): (expression: string) => unknown {
    const budget = new Budget(policyLimit);
    const variables = new this.#Values();
    const all = { ...values, variables };
    const evaluate = (expression: string) => {
      const one = new Budget(callLimit);
      const result = this.compile(expression).evaluate(all, one);
      budget.spend(one.spent);
      return result;
    };
    variables.source = (name) => {
      const found = this.#variables.find((each) => each.name === name);
      return found && evaluate(found.expression);
    };
    return evaluate;
  }
}

/** Variables are worked out when they are first asked for. */
class LazyValues extends CelObject {
  source: (name: string) => unknown = () => undefined;

  override get(name: string): unknown {
    if (!super.has(name)) super.set(name, this.source(name));
    return super.get(name);
  }

  override has(): boolean {
    return true;
  }
}

/** What expressions see of a request. */
export function valuesOf(
  storage: Storage,
  authorizer: Authorizer,
  question: Question,
  params?: unknown,
): Record<string, unknown> {
  const { attributes, object, old } = question;
  return {
    object: object ? untypedValue(object) : null,
    oldObject: old ? untypedValue(old) : null,
    request: untypedValue(admissionRequestOf(question)),
    namespaceObject: namespaceOf(storage, attributes),
    params: params === undefined ? null : untypedValue(params),
    authorizer: new AuthorizerValue(authorizer, attributes),
  };
}

/** Without what others keep there. */
function namespaceOf(storage: Storage, { definition, namespace }: Attributes): unknown {
  if (!namespace || definition === (namespaces as ResourceDefinition)) return null;
  const found = storage.find(namespaces as ResourceDefinition, undefined, namespace)?.parse();
  if (!found) return null;
  const { managedFields: _, ...metadata } = found.metadata;
  return untypedValue({ ...found, metadata });
}

/** The JSON of what an expression made. */
export function plainValue(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plainValue);
  if (value instanceof Map) {
    return Object.fromEntries([...value].map(([key, each]) => [String(key), plainValue(each)]));
  }
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plainValue(each)]));
}
