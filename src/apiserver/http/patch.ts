/** PATCH bodies: which kind of patch, and what it makes of an object. */
import {
  badRequest,
  DecodeError,
  invalidObject,
  isObject,
  type KubernetesObject,
  parseJson,
  type StatusError,
  strictWarnings,
} from "#api";
import { messageOf } from "#base";
import { jsonPatch, mergePatch, strategicMergePatch } from "../patch/index.ts";
import type { Make } from "../registry/update.ts";
import {
  decodeBody,
  type ExpectedKind,
  fieldValidationOf,
  mediaTypeOf,
  type Parsed,
  saidOf,
  unsupportedMediaType,
} from "./body.ts";
import type { ApiRequest } from "./exchange.ts";

type Document = Record<string, unknown>;
type Patcher = (typeName: string, document: Document, patch: unknown) => unknown;

const json = "application/json-patch+json";
/** Its directives need a schema in the server's own tables: custom resources have none. */
const strategic = "application/strategic-merge-patch+json";

const patchers: ReadonlyMap<string, Patcher> = new Map<string, Patcher>([
  [json, (_, document, patch) => jsonPatch(document, patch)],
  [
    "application/merge-patch+json",
    (_, document, patch) => {
      if (!isObject(patch)) throw badRequest("Invalid JSON Patch");
      return mergePatch(document, patch);
    },
  ],
  [strategic, strategicMergePatch],
]);

/** A function that makes the wanted object of the present one; it may be called again on a newer one. */
export function patchOf(request: ApiRequest, expected: ExpectedKind, warnings: string[]): Make {
  const mediaType = mediaTypeOf(request);
  const isMerged = expected.custom !== undefined && mediaType === strategic;
  const apply = isMerged ? undefined : patchers.get(mediaType);
  if (!apply) throw unsupportedMediaType(acceptedBy(expected));
  const validation = fieldValidationOf(request.query);
  const text = () => request.body.toString("utf8");
  // What a patch brings becomes part of the object: a second use needs a second copy.
  const parse = (duplicates: boolean) => saidOf(request) ?? parsePatch(text(), duplicates);
  let parsed: Parsed | undefined = parse(validation !== "Ignore");
  const repeated = strictWarnings([], parsed.duplicates).map((text) =>
    mediaType === json ? `json patch ${text}` : text,
  );
  const nextPatch = () => {
    const { value } = parsed ?? parse(false);
    parsed = undefined;
    return value;
  };
  return (current) => {
    const document = current() as unknown as Document;
    const patched = apply(expected.typeName, document, nextPatch());
    if (!isObject(patched)) throw invalidPatch(text(), "the patched document is no object");
    let unknown: string[];
    try {
      // What the patch does not touch is shared with the document, which has been decoded before.
      unknown = decodeBody(expected, patched, document);
    } catch (error) {
      if (error instanceof DecodeError) throw invalidPatch(text(), error.message);
      throw error;
    }
    const problems = [...repeated, ...strictWarnings(unknown)];
    if (validation === "Strict" && problems.length > 0) {
      throw invalidPatch(text(), `strict decoding error: ${problems.join(", ")}`);
    }
    warnings.length = 0;
    if (validation === "Warn") warnings.push(...problems);
    checkKindKept(expected, patched);
    patched.metadata ??= {};
    return patched as unknown as KubernetesObject;
  };
}

function acceptedBy({ custom }: ExpectedKind): string[] {
  const types = [...patchers.keys()].filter((type) => type !== strategic || !custom);
  return [...types, "application/apply-patch+yaml"];
}

function parsePatch(text: string, duplicates: boolean): Parsed {
  try {
    return parseJson(text, { duplicates });
  } catch (error) {
    throw badRequest(`error decoding patch: ${messageOf(error)}`);
  }
}

function checkKindKept(expected: ExpectedKind, patched: Document): void {
  if (patched.kind === expected.kind && patched.apiVersion === expected.apiVersion) return;
  throw badRequest(
    `the patch may not change apiVersion or kind (${expected.apiVersion} ${expected.kind} to ${patched.apiVersion} ${patched.kind})`,
  );
}

function invalidPatch(patch: string, why: string): StatusError {
  const message = `Invalid value: ${JSON.stringify(patch.slice(0, 1000))}: ${why}`;
  return invalidObject({ group: "", kind: "" }, "", [{ type: "FieldValueInvalid", field: "patch", message }]);
}
