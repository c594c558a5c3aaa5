/**
 * Bodies to objects: format, type and field validation, with upstream's answers to what is wrong.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
 */
import {
  apiVersionOf,
  badRequest,
  copyOf,
  DecodeError,
  decode,
  decodeProtobuf,
  isObject,
  type KubernetesObject,
  parseJson,
  type ResourceDefinition,
  StatusError,
  strictProblems,
  strictWarnings,
} from "#api";
import { messageOf } from "#base";
import { type CustomVersion, customOf } from "../customresources/custom-definition.ts";
import type { ApiRequest } from "./exchange.ts";
import { mediaTypes } from "./negotiation.ts";
import { yamlParser } from "./yaml-body.ts";

/** What an object must be: a resource's kind, or the kind of a subresource. */
export interface ExpectedKind {
  readonly typeName: string;
  readonly kind: string;
  readonly apiVersion: string;
  /** Further versions of the same shape that older clients send. */
  readonly accepts?: readonly string[];
  /** How a custom resource is decoded: by the schema of its definition. */
  readonly custom?: Pick<CustomVersion, "decode">;
}

export function expectedKindOf(definition: ResourceDefinition): ExpectedKind {
  const custom = customOf(definition);
  return {
    typeName: definition.typeName,
    kind: definition.kind,
    apiVersion: apiVersionOf(definition),
    ...(custom ? { custom } : {}),
  };
}

export type FieldValidation = "Ignore" | "Warn" | "Strict";

type Document = Record<string, unknown>;

export interface Parsed {
  value: unknown;
  duplicates: string[];
  /** What strict decoding minds of the text itself. */
  problem?: string;
  /** The text the duplicates were found in. */
  text?: string;
}

/** What else it may say has been refused with the other options. */
export function fieldValidationOf(query: URLSearchParams): FieldValidation {
  const value = query.get("fieldValidation");
  return value === "Ignore" || value === "Strict" ? value : "Warn";
}

export function mediaTypeOf(request: ApiRequest): string {
  return (
    (request.headers["content-type"] ?? mediaTypes.json).split(";")[0]!.trim().toLowerCase() ||
    mediaTypes.json
  );
}

export function unsupportedMediaType(accepted: readonly string[]): StatusError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`;
  return StatusError.of(415, "UnsupportedMediaType", message);
}

/** The body as a plain value. */
export async function parseBody(request: ApiRequest, expected: string): Promise<Parsed> {
  return (await bodyParser(request, expected))();
}

/** What the body says, where it came so: a copy each time, for a request may be tried again. */
export function saidOf({ value }: ApiRequest): Parsed | undefined {
  return value === undefined ? undefined : { value: copyOf(value), duplicates: [] };
}

/** Parses the body, as often as it is called: each value is the caller's own. */
export async function bodyParser(request: ApiRequest, expected: string): Promise<() => Parsed> {
  if (request.value !== undefined) return () => saidOf(request)!;
  const mediaType = mediaTypeOf(request);
  const parse = await parserOf(mediaType);
  const duplicates = fieldValidationOf(request.query) !== "Ignore";
  return () => {
    try {
      return parse(request.body, duplicates);
    } catch (error) {
      if (error instanceof StatusError) throw error;
      const format = `${mediaType.slice(mediaType.lastIndexOf(".") + 1).replace("application/", "")} parse error`;
      throw badRequest(
        `the object provided is unrecognized (must be of type ${expected}): couldn't get version/kind; ${format}: ${messageOf(error)}`,
      );
    }
  };
}

type Parser = (body: Buffer, duplicates: boolean) => Parsed;

async function parserOf(mediaType: string): Promise<Parser> {
  switch (mediaType) {
    case mediaTypes.json:
      return (body, duplicates) => {
        const text = body.toString("utf8");
        return { ...parseJson(text, { duplicates }), text };
      };
    case mediaTypes.protobuf:
      return (body) => ({ value: decodeProtobuf(body), duplicates: [] });
    case mediaTypes.yaml: {
      const parseYaml = await yamlParser();
      return (body) => {
        const { value, problem } = parseYaml(body.toString("utf8"));
        const told = problem === undefined ? {} : { problem: `error converting YAML to JSON: ${problem}` };
        return { value, duplicates: [], ...told };
      };
    }
    default:
      throw unsupportedMediaType(Object.values(mediaTypes));
  }
}

/** The decoded object; warnings for what was dropped go to `warnings`. */
export function decodeObject(
  expected: ExpectedKind,
  parsed: Parsed,
  validation: FieldValidation,
  warnings: string[],
): KubernetesObject {
  const { value } = parsed;
  if (!isObject(value))
    throw cannotBeHandled(expected, "", "", `json: cannot unmarshal ${typeof value} into Go value`);
  checkKind(expected, value);
  let unknown: string[];
  try {
    unknown = decodeBody(expected, value);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw cannotBeHandled(expected, expected.kind, expected.apiVersion, error.message);
  }
  const minded = [...(parsed.problem ? [parsed.problem] : []), ...problemsOf(expected, parsed, unknown)];
  if (validation === "Strict" && minded.length > 0) {
    const why = `strict decoding error: ${minded.join(", ")}`;
    throw cannotBeHandled(expected, expected.kind, expected.apiVersion, why);
  }
  if (validation === "Warn") warnings.push(...minded);
  const { apiVersion: _, kind: __, metadata, ...rest } = value;
  const object = { kind: expected.kind, apiVersion: expected.apiVersion, metadata: metadata ?? {}, ...rest };
  return object as unknown as KubernetesObject;
}

/** Of built-in kinds in the order of the text; custom resources are read before they are compared with their schema. */
function problemsOf({ custom }: ExpectedKind, parsed: Parsed, unknown: readonly string[]): string[] {
  if (custom || parsed.text === undefined) return strictWarnings(unknown, parsed.duplicates);
  return strictProblems(parsed.text, unknown, parsed.duplicates);
}

/** Decodes in place, but for what stands in `decoded`, and answers the paths of unknown fields. Throws `DecodeError`. */
export function decodeBody(
  { typeName, custom }: Pick<ExpectedKind, "typeName" | "custom">,
  value: Document,
  decoded?: Readonly<Document>,
): string[] {
  // An empty list of owners wipes them out: it is no list that may as well be absent.
  const wipesOwners = isObject(value.metadata) && isEmptyList(value.metadata.managedFields);
  const { unknown } = custom ? custom.decode(value) : decode(typeName, value, decoded);
  if (wipesOwners && isObject(value.metadata)) value.metadata.managedFields = [];
  return unknown;
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function cannotBeHandled(expected: ExpectedKind, kind: string, apiVersion: string, why: string): StatusError {
  const version = (apiVersion || expected.apiVersion).split("/").at(-1);
  return badRequest(
    `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${expected.kind}: ${why}`,
  );
}

/** Kind and version may be left out; if they are there they must be those of the path. */
function checkKind(expected: ExpectedKind, value: Record<string, unknown>): void {
  const { apiVersion, kind } = value;
  const accepted = ["", expected.apiVersion, ...(expected.accepts ?? [])];
  if (typeof apiVersion === "string" && !accepted.includes(apiVersion)) {
    throw badRequest(
      `the API version in the data (${apiVersion}) does not match the expected API version (${expected.apiVersion})`,
    );
  }
  if (typeof kind === "string" && kind !== "" && kind !== expected.kind) {
    throw badRequest(
      `${kind} in version ${JSON.stringify(expected.apiVersion)} cannot be handled as a ${expected.kind}: converting (${kind}) to (${expected.kind}): unknown conversion`,
    );
  }
}
