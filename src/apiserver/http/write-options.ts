/**
 * What the query of a write says beside its object, checked all at once.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/
 */
import {
  type FieldError,
  forbiddenField,
  invalid,
  invalidObject,
  notSupported,
  required,
  tooLong,
} from "#api";
import { mediaTypeOf } from "./body.ts";
import type { ApiRequest } from "./exchange.ts";

export interface WriteOptions {
  readonly dryRun: boolean;
  /** Who writes. */
  readonly manager: string;
  /** An apply takes fields from their owners. */
  readonly force: boolean;
}

const optionsOfMethod: Readonly<Record<string, string>> = {
  POST: "CreateOptions",
  PUT: "UpdateOptions",
  PATCH: "PatchOptions",
  DELETE: "DeleteOptions",
};

const managerMaxBytes = 128;
const unprintable = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u;
const unprintables = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu;

export function isApply(request: ApiRequest): boolean {
  return request.method === "PATCH" && mediaTypeOf(request) === "application/apply-patch+yaml";
}

/** Throws a 422 that names the options of this verb. */
export function writeOptionsOf(request: ApiRequest, dryRunInBody: readonly string[] = []): WriteOptions {
  const { query, method } = request;
  const agent = request.headers["user-agent"] ?? "";
  if (query.size === 0 && dryRunInBody.length === 0 && !isApply(request))
    return { dryRun: false, manager: managerOfAgent(agent), force: false };
  const fieldManager = query.get("fieldManager") ?? "";
  const dryRun = [...query.getAll("dryRun"), ...dryRunInBody].filter((value) => value !== "");
  const errors = [
    ...(method === "PATCH" ? patchErrors(request, fieldManager) : []),
    ...managerErrors(fieldManager),
    ...dryRunErrors(dryRun),
    ...validationErrors(query.get("fieldValidation") ?? ""),
  ];
  if (errors.length > 0) {
    const kind = optionsOfMethod[method] ?? "UpdateOptions";
    throw invalidObject({ group: "meta.k8s.io", kind }, "", errors);
  }
  return {
    dryRun: dryRun.length > 0,
    manager: fieldManager || managerOfAgent(agent),
    force: isTrue(query.get("force")),
  };
}

function isTrue(value: string | null): boolean {
  return value !== null && ["1", "t", "T", "true", "TRUE", "True"].includes(value);
}

function patchErrors(request: ApiRequest, fieldManager: string): FieldError[] {
  if (isApply(request)) {
    return fieldManager === "" ? [required("fieldManager", "is required for apply patch")] : [];
  }
  return request.query.has("force")
    ? [forbiddenField("force", "may not be specified for non-apply patch")]
    : [];
}

function managerErrors(manager: string): FieldError[] {
  const errors: FieldError[] = [];
  if (Buffer.byteLength(manager) > managerMaxBytes) errors.push(tooLong("fieldManager", managerMaxBytes));
  const bad = unprintable.exec(manager.slice(0, managerMaxBytes));
  if (bad) {
    const code = bad[0].codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
    const position = Buffer.byteLength(manager.slice(0, bad.index));
    errors.push(invalid("fieldManager", manager, `invalid character U+${code} (at position ${position})`));
  }
  return errors;
}

function dryRunErrors(values: readonly string[]): FieldError[] {
  if (values.every((value) => value === "All")) return [];
  const list = values.map((value) => JSON.stringify(value.slice(0, 100))).join(", ");
  const message = `Unsupported value: []string{${list}}: supported values: "All"`;
  return [{ type: "FieldValueNotSupported", field: "dryRun", message }];
}

function validationErrors(value: string): FieldError[] {
  if (["", "Ignore", "Warn", "Strict"].includes(value)) return [];
  return [notSupported("fieldValidation", value, ["", "Ignore", "Strict", "Warn"])];
}

/** Clients say the same again and again. */
const managers = new Map<string, string>();
const managersMax = 100;
const agentKeptMaxLength = 256;

/** A client that does not say who it is goes by the name before its version: `kubectl/v1.33.0 (linux/amd64)`. */
function managerOfAgent(userAgent: string): string {
  const known = managers.get(userAgent);
  if (known !== undefined) return known;
  const manager = nameOfAgent(userAgent);
  if (userAgent.length > agentKeptMaxLength) return manager;
  if (managers.size >= managersMax) managers.clear();
  managers.set(userAgent, manager);
  return manager;
}

function nameOfAgent(userAgent: string): string {
  const name = userAgent.split("/", 1)[0]!.replace(unprintables, "");
  let manager = "";
  let size = 0;
  for (const character of name) {
    size += Buffer.byteLength(character);
    if (size > managerMaxBytes) break;
    manager += character;
  }
  return manager;
}
