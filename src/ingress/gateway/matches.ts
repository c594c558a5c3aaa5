/**
 * What a rule is for, as a path with conditions, and which of two rules for the same path goes first.
 * https://gateway-api.sigs.k8s.io/reference/spec/#httproutematch
 */
import { isMappable } from "../haproxy/config.ts";
import { isPrintable, literal } from "../haproxy/quote.ts";
import { isPattern } from "../kubernetes/patterns.ts";
import type { Condition, PathMatch } from "../model.ts";
import { plainName, UnsupportedValue } from "./filters.ts";
import type { GRPCRouteMatch, HTTPRouteMatch, ValueMatch } from "./types.ts";

export interface Match {
  path: PathMatch;
  conditions: Condition[];
}

/** Throws `UnsupportedValue`. */
export function httpMatch({ path, headers, queryParams, method }: HTTPRouteMatch): Match {
  const conditions = [...valueConditions("header", headers), ...valueConditions("query", queryParams)];
  if (method) conditions.push({ of: "method", name: "", match: "Exact", value: method });
  return { path: pathMatch(path), conditions };
}

/** A call is a POST to `/package.Service/Method`. Throws `UnsupportedValue`. */
export function grpcMatch({ method, headers }: GRPCRouteMatch): Match {
  return { path: methodPath(method ?? {}), conditions: valueConditions("header", headers) };
}

function pathMatch({ type, value = "/" }: NonNullable<HTTPRouteMatch["path"]> = {}): PathMatch {
  if (type === "RegularExpression") return { type: "Regex", value: wholePattern(value) };
  if (!isMappable(value)) throw new UnsupportedValue("paths with white space are not served");
  return { type: type === "Exact" ? "Exact" : "Prefix", value };
}

function methodPath({ type, service, method }: NonNullable<GRPCRouteMatch["method"]>): PathMatch {
  if (type === "RegularExpression") {
    return { type: "Regex", value: wholePattern(`/${service || "[^/]+"}/${method || "[^/]+"}`) };
  }
  if (!isMappable(`${service ?? ""}${method ?? ""}`)) {
    throw new UnsupportedValue("methods with white space are not served");
  }
  if (service && method) return { type: "Exact", value: `/${service}/${method}` };
  if (service) return { type: "Prefix", value: `/${service}` };
  return method
    ? { type: "Regex", value: wholePattern(`/[^/]+/${literal(method)}`) }
    : { type: "Prefix", value: "/" };
}

/** Paths are compared with their case here, and as a whole. */
function wholePattern(pattern: string): string {
  if (!isPattern(pattern) || !isMappable(pattern))
    throw new UnsupportedValue(`${pattern.slice(0, 100)} is no regular expression that is served`);
  return `(?-i)(?:${pattern})$`;
}

function valueConditions(of: "header" | "query", matches: readonly ValueMatch[] = []): Condition[] {
  const seen = new Set<string>();
  return matches.flatMap(({ type, name, value }): Condition[] => {
    if (!plainName.test(name) || !isPrintable(value))
      throw new UnsupportedValue(`${of} ${name} cannot be compared here`);
    // Of entries with the same name the first counts.
    const key = of === "header" ? name.toLowerCase() : name;
    if (seen.has(key)) return [];
    seen.add(key);
    if (type !== "RegularExpression") return [{ of, name, match: "Exact", value }];
    if (!isPattern(value)) throw new UnsupportedValue(`${value.slice(0, 100)} is no regular expression`);
    return [{ of, name, match: "Regex", value: `^(?:${value})$` }];
  });
}

/** Negative where `a` goes first: by method, number of headers, number of query parameters. */
export function bySpecificity(a: Match, b: Match): number {
  for (const of of ["method", "header", "query"] as const) {
    const difference = count(b, of) - count(a, of);
    if (difference !== 0) return difference;
  }
  return 0;
}

function count({ conditions }: Match, of: Condition["of"]): number {
  return conditions.filter((condition) => condition.of === of).length;
}
