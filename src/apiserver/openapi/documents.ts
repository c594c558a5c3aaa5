/**
 * The OpenAPI documents of what is served: v2 as one, v3 one for each group version. Pure; callers keep the results.
 * https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
 */
import type { Descriptions, ResourceDefinition } from "#api";
import { customOf } from "../customresources/custom-definition.ts";
import { groupsOf, groupVersionText } from "../discovery/index.ts";
import { type Operation, operationsOf, patchType } from "./operations.ts";
import { type Dialect, listSchema, referenceTo, type Schema, schemasOf } from "./schemas.ts";

type Definitions = readonly ResourceDefinition[];
type Json = Record<string, unknown>;

export interface OpenapiOptions {
  /** `v1.36.0`. */
  version: string;
  /** From `loadDescriptions`; without them documents are terse. */
  descriptions?: Descriptions;
}

const textTypes = ["application/json", "application/yaml"];
const protobufType = "application/vnd.kubernetes.protobuf";
const strategicType = "application/strategic-merge-patch+json";
const patchTypes = [
  "application/json-patch+json",
  "application/merge-patch+json",
  strategicType,
  "application/apply-patch+yaml",
];

/** How answers may come. */
function answerTypes({ action, isCustom }: Operation): string[] {
  const types = isCustom ? textTypes : [...textTypes, protobufType];
  if (action !== "list") return [...types];
  const streamed = types.filter((type) => type !== "application/yaml").map((type) => `${type};stream=watch`);
  return [...types, ...streamed];
}

function bodyTypes({ body, isCustom }: Operation): string[] {
  if (body !== "patch") return ["*/*"];
  return patchTypes.filter((type) => !isCustom || type !== strategicType);
}

/** `GET /openapi/v2` */
export function openapiV2(definitions: Definitions, options: OpenapiOptions): Json {
  const operations = definitions.flatMap(operationsOf);
  return {
    swagger: "2.0",
    info: { title: "Kubernetes", version: options.version },
    paths: pathsOf(operations, "v2"),
    definitions: schemasOf(
      rootsOf(operations),
      "v2",
      options.descriptions ?? {},
      customSchemas(definitions, "v2"),
    ),
    securityDefinitions: {
      BearerToken: {
        description: "Bearer Token authentication",
        type: "apiKey",
        name: "authorization",
        in: "header",
      },
    },
    security: [{ BearerToken: [] }],
  };
}

/** `GET /openapi/v3`: where the document of each group version is; the hash, "" for none, is that of its bytes. */
export function openapiV3Root(
  definitions: Definitions,
  hashOf: (group: string, version: string) => string,
  remotes: readonly { group: string; version: string; openapi: string | undefined }[] = [],
): Json {
  const paths: Json = {};
  const all = [{ group: "", versions: ["v1"] }, ...groupsOf(definitions)];
  for (const { group, versions } of all) {
    for (const version of versions) {
      const path = `${group ? "apis" : "api"}/${groupVersionText(group, version)}`;
      const hash = hashOf(group, version);
      if (hash) paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
    }
  }
  for (const { group, version, openapi } of remotes) {
    if (openapi) paths[`apis/${group}/${version}`] ??= { serverRelativeURL: openapi };
  }
  return { paths };
}

/** `GET /openapi/v3/apis/G/V`; undefined when nothing of it is served. */
export function openapiV3(
  definitions: Definitions,
  group: string,
  version: string,
  options: OpenapiOptions,
): Json | undefined {
  const served = definitions.filter((d) => d.group === group && d.version === version);
  const operations = served.flatMap(operationsOf);
  if (operations.length === 0) return undefined;
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version: options.version },
    paths: pathsOf(operations, "v3"),
    components: {
      schemas: schemasOf(rootsOf(operations), "v3", options.descriptions ?? {}, customSchemas(served, "v3")),
      securitySchemes: {
        BearerToken: {
          type: "apiKey",
          description: "Bearer Token authentication",
          name: "authorization",
          in: "header",
        },
      },
    },
  };
}

/** Types that stand in no table: those of custom resources, and their lists. */
function customSchemas(definitions: Definitions, dialect: Dialect): ReadonlyMap<string, Schema> {
  const schemas = new Map<string, Schema>();
  for (const definition of definitions) {
    const custom = customOf(definition);
    if (!custom) continue;
    schemas.set(definition.typeName, custom.openapi(dialect));
    schemas.set(`${definition.typeName}List`, listSchema(definition, dialect));
  }
  return schemas;
}

function rootsOf(operations: readonly Operation[]): string[] {
  const names = operations.flatMap((o) => [o.body, o.response]);
  return names.filter((name): name is string => name !== undefined && name !== "patch");
}

function pathsOf(operations: readonly Operation[], dialect: Dialect): Json {
  const paths: Record<string, Json> = {};
  for (const operation of operations) {
    paths[operation.path] ??= { parameters: pathParameters(operation.path, dialect) };
    const item = paths[operation.path]!;
    item[operation.method] = dialect === "v2" ? operationV2(operation) : operationV3(operation);
  }
  return Object.fromEntries(Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function pathParameters(path: string, dialect: Dialect): Json[] {
  const texts: Record<string, string> = {
    name: "name of the object",
    namespace: "object name and auth scope, such as for teams and projects",
    path: "path to the resource",
  };
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    description: texts[name!] ?? "",
    required: true,
    ...(dialect === "v2"
      ? { type: "string", uniqueItems: true }
      : { schema: { type: "string", uniqueItems: true } }),
  }));
}

function common(operation: Operation): Json {
  return {
    description: operation.description,
    tags: [operation.tag],
    operationId: operation.id,
    "x-kubernetes-action": operation.action,
    "x-kubernetes-group-version-kind": { ...operation.gvk },
  };
}

function bodySchema(operation: Operation, dialect: Dialect): Schema | undefined {
  if (operation.body === undefined) return undefined;
  return { $ref: referenceTo(operation.body === "patch" ? patchType : operation.body, dialect) };
}

function statusCodes(operation: Operation): [string, string][] {
  const codes: [string, string][] = [["200", "OK"]];
  if (operation.method === "post" && operation.body) codes.push(["201", "Created"]);
  if (operation.method === "post" && operation.body) codes.push(["202", "Accepted"]);
  if (operation.method === "put" || operation.method === "patch") codes.push(["201", "Created"]);
  if (operation.action === "delete") codes.push(["202", "Accepted"]);
  return codes;
}

function operationV2(operation: Operation): Json {
  const schema = bodySchema(operation, "v2");
  const parameters: Json[] = operation.query.map((q) => ({
    uniqueItems: true,
    type: q.type,
    description: q.description,
    name: q.name,
    in: "query",
  }));
  if (schema)
    parameters.unshift({ name: "body", in: "body", required: operation.method !== "delete", schema });
  const response =
    operation.response === undefined ? { type: "string" } : { $ref: referenceTo(operation.response, "v2") };
  return {
    ...common(operation),
    consumes: bodyTypes(operation),
    produces: answerTypes(operation),
    schemes: ["https"],
    parameters,
    responses: {
      ...Object.fromEntries(
        statusCodes(operation).map(([code, description]) => [code, { description, schema: response }]),
      ),
      "401": { description: "Unauthorized" },
    },
  };
}

function operationV3(operation: Operation): Json {
  const schema = bodySchema(operation, "v3");
  const answer =
    operation.response === undefined ? { type: "string" } : { $ref: referenceTo(operation.response, "v3") };
  const types = answerTypes(operation);
  const content = (names: readonly string[], s: Schema) =>
    Object.fromEntries(names.map((n) => [n, { schema: s }]));
  return {
    ...common(operation),
    parameters: operation.query.map((q) => ({
      name: q.name,
      in: "query",
      description: q.description,
      schema: { type: q.type, uniqueItems: true },
    })),
    ...(schema
      ? {
          requestBody: {
            content: content(bodyTypes(operation), schema),
            required: operation.method !== "delete",
          },
        }
      : {}),
    responses: {
      ...Object.fromEntries(
        statusCodes(operation).map(([code, description]) => [
          code,
          { description, content: content(types, answer) },
        ]),
      ),
      "401": { description: "Unauthorized" },
    },
  };
}
