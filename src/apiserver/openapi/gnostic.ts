/**
 * The OpenAPI v2 document as protobuf: the form in which kubectl and client-go ask for it.
 * https://github.com/google/gnostic-models/blob/main/openapiv2/OpenAPIv2.proto
 *
 * The writer runs backwards: what has the highest field number is written first.
 */

import { stringify } from "yaml";
import { WireWriter } from "#api";

type Json = Record<string, unknown>;

/** As clients name it in `Accept`. */
export const openapiV2ProtobufAccept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/** As the answer names it: the `@` above is no legal media type, and clients parse this one. */
export const openapiV2ProtobufType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

export function openapiV2Proto(document: Readonly<Json>): Buffer {
  const writer = new WireWriter();
  part(writer, 9, () => namedParts(writer, 1, document.definitions, writeSchema));
  part(writer, 8, () => namedParts(writer, 2, document.paths, writePathItem));
  const info = document.info as Json;
  part(writer, 2, () => {
    text(writer, 2, info.version);
    text(writer, 1, info.title);
  });
  text(writer, 1, document.swagger);
  return writer.finish();
}

function part(writer: WireWriter, field: number, write: () => void): void {
  const from = writer.mark;
  write();
  writer.closePart(field, from);
}

function text(writer: WireWriter, field: number, value: unknown): void {
  if (typeof value === "string" && value !== "") writer.textField(field, value);
}

function texts(writer: WireWriter, field: number, values: unknown): void {
  for (const value of [...((values as string[] | undefined) ?? [])].reverse()) writer.textField(field, value);
}

function flag(writer: WireWriter, field: number, value: unknown): void {
  if (value === true) writer.varintField(field, 1);
}

type Write = (writer: WireWriter, value: Json) => void;

/** A map as repeated pairs of a name and a value. */
function namedParts(writer: WireWriter, field: number, values: unknown, write: Write): void {
  for (const [name, value] of Object.entries((values as Record<string, Json> | undefined) ?? {}).reverse()) {
    part(writer, field, () => {
      part(writer, 2, () => write(writer, value));
      text(writer, 1, name);
    });
  }
}

/** Any value, as YAML text. */
function writeAny(writer: WireWriter, field: number, value: unknown): void {
  part(writer, field, () => writer.textField(2, stringify(value)));
}

function extensions(writer: WireWriter, field: number, holder: Json): void {
  for (const name of Object.keys(holder).reverse()) {
    if (!name.startsWith("x-")) continue;
    part(writer, field, () => {
      writeAny(writer, 2, holder[name]);
      text(writer, 1, name);
    });
  }
}

function writeSchema(writer: WireWriter, schema: Json): void {
  extensions(writer, 31, schema);
  if (schema.properties) part(writer, 25, () => namedParts(writer, 1, schema.properties, writeSchema));
  const { items, additionalProperties, type } = schema;
  if (items) part(writer, 23, () => part(writer, 1, () => writeSchema(writer, items as Json)));
  if (type) part(writer, 22, () => text(writer, 1, type));
  if (additionalProperties)
    part(writer, 21, () => part(writer, 1, () => writeSchema(writer, additionalProperties as Json)));
  texts(writer, 19, schema.required);
  if (schema.default !== undefined) writeAny(writer, 5, schema.default);
  text(writer, 4, schema.description);
  text(writer, 2, schema.format);
  text(writer, 1, schema.$ref);
}

const methodFields = [
  ["patch", 8],
  ["delete", 5],
  ["post", 4],
  ["put", 3],
  ["get", 2],
] as const;

function writePathItem(writer: WireWriter, item: Json): void {
  parameters(writer, 9, item.parameters);
  for (const [method, field] of methodFields) {
    const operation = item[method];
    if (operation) part(writer, field, () => writeOperation(writer, operation as Json));
  }
}

function writeOperation(writer: WireWriter, operation: Json): void {
  extensions(writer, 13, operation);
  texts(writer, 10, operation.schemes);
  part(writer, 9, () => namedParts(writer, 1, operation.responses, writeResponse));
  parameters(writer, 8, operation.parameters);
  texts(writer, 7, operation.consumes);
  texts(writer, 6, operation.produces);
  text(writer, 5, operation.operationId);
  text(writer, 3, operation.description);
  texts(writer, 1, operation.tags);
}

function writeResponse(writer: WireWriter, response: Json): void {
  part(writer, 1, () => {
    const { schema } = response;
    if (schema) part(writer, 2, () => part(writer, 1, () => writeSchema(writer, schema as Json)));
    text(writer, 1, response.description);
  });
}

function parameters(writer: WireWriter, field: number, list: unknown): void {
  for (const parameter of [...((list as Json[] | undefined) ?? [])].reverse()) {
    part(writer, field, () => part(writer, 1, () => writeParameter(writer, parameter)));
  }
}

function writeParameter(writer: WireWriter, parameter: Json): void {
  if (parameter.in === "body") {
    part(writer, 1, () => {
      part(writer, 5, () => writeSchema(writer, parameter.schema as Json));
      flag(writer, 4, parameter.required);
      text(writer, 3, parameter.in);
      text(writer, 2, parameter.name);
    });
    return;
  }
  const isQuery = parameter.in === "query";
  part(writer, 2, () =>
    part(writer, isQuery ? 3 : 4, () => {
      text(writer, isQuery ? 6 : 5, parameter.type);
      text(writer, 4, parameter.name);
      text(writer, 3, parameter.description);
      text(writer, 2, parameter.in);
      flag(writer, 1, parameter.required);
    }),
  );
}
