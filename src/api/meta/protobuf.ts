/**
 * API objects as protobuf: the encoding that client-go speaks by default. Generic over the schema tables.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
 *
 * What is decoded goes through `decode` like a JSON body: there zero values that Go would leave out are dropped.
 */
import { DecodeError, decode, isObject } from "./decode.ts";
import { decodeSpecial, encodeSpecial } from "./protobuf-special.ts";
import { WireReader, WireWriter, wireBytes, wireVarint } from "./protobuf-wire.ts";
import { type FieldSchema, schemaOf, type TypeSchema, typeOfKind } from "./schema.ts";

type Json = Record<string, unknown>;

/** Before every object: `k8s` and a zero. */
const magic = Buffer.from("k8s\0");
const depthMax = 200;

export const protobufMediaType = "application/vnd.kubernetes.protobuf";

export function isProtobufEnvelope(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && magic.equals(bytes.subarray(0, 4));
}

/** An object out of its envelope. Throws `DecodeError` for damaged bytes and kinds nobody knows. */
export function decodeProtobuf(bytes: Uint8Array): { apiVersion: string; kind: string } & Json {
  if (!isProtobufEnvelope(bytes)) {
    throw new DecodeError(
      "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
    );
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const unknown = readUnknown(new WireReader(buffer, 4));
  const type = typeOfKind(unknown);
  if (!type) {
    throw new DecodeError(`no kind "${unknown.kind}" is registered for version "${unknown.apiVersion}"`);
  }
  const object = readMessage(type, new WireReader(unknown.raw), 0);
  return { kind: unknown.kind, apiVersion: unknown.apiVersion, ...object };
}

interface Unknown {
  apiVersion: string;
  kind: string;
  group: string;
  version: string;
  raw: Buffer;
}

function readUnknown(reader: WireReader): Unknown {
  let [apiVersion, kind] = ["", ""];
  let raw: Buffer = Buffer.alloc(0);
  while (!reader.done) {
    const key = reader.varint();
    if (key === 10) {
      const meta = reader.part();
      while (!meta.done) {
        const inner = meta.varint();
        if (inner === 10) apiVersion = meta.text();
        else if (inner === 18) kind = meta.text();
        else meta.skip(inner & 7);
      }
    } else if (key === 18) raw = reader.bytes();
    else reader.skip(key & 7);
  }
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/", 2) : ["", apiVersion];
  return { apiVersion, kind, group: group!, version: version!, raw };
}

/** One message without envelope. */
export function decodeMessage(typeName: string, bytes: Uint8Array): Json {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return readMessage(schemaOf(typeName), new WireReader(buffer), 0);
}

// What is derived from a schema, once for each type.
const fieldsByTag = new WeakMap<TypeSchema, Map<number, FieldSchema>>();

function tagsOf(type: TypeSchema): Map<number, FieldSchema> {
  let tags = fieldsByTag.get(type);
  if (!tags) {
    tags = new Map(type.ownFields.map((field) => [field.tag, field]));
    fieldsByTag.set(type, tags);
  }
  return tags;
}

const sortedFields = new WeakMap<TypeSchema, readonly FieldSchema[]>();

/** In the order of their tags, as upstream writes them. */
function fieldsOf(type: TypeSchema): readonly FieldSchema[] {
  let fields = sortedFields.get(type);
  if (!fields) {
    fields = [...type.ownFields].sort((a, b) => a.tag - b.tag);
    sortedFields.set(type, fields);
  }
  return fields;
}

function readMessage(type: TypeSchema, reader: WireReader, depth: number): Json {
  const object: Json = {};
  readInto(object, type, reader, depth);
  return object;
}

function readInto(object: Json, type: TypeSchema, reader: WireReader, depth: number): void {
  if (depth > depthMax) throw new DecodeError("exceeded max depth");
  const tags = tagsOf(type);
  while (!reader.done) {
    const key = reader.varint();
    const field = tags.get(Math.floor(key / 8));
    if (!field) reader.skip(key & 7);
    else if (field.inline) readInto(object, field.type(), reader.part(), depth + 1);
    else if (field.container === "map") readEntry(object, field, reader.part(), depth);
    else if (field.container === "list") readElement(object, field, reader, key & 7, depth);
    else {
      const value = readValue(field, reader, key & 7, depth);
      if (value !== undefined) object[field.name] = value;
    }
  }
}

function readElement(
  object: Json,
  field: FieldSchema,
  reader: WireReader,
  wireType: number,
  depth: number,
): void {
  const list = (object[field.name] as unknown[] | undefined) ?? [];
  object[field.name] = list;
  const isNumber =
    field.kind === "int32" || field.kind === "int64" || field.kind === "bool" || field.kind === "double";
  if (!isNumber || wireType !== wireBytes) {
    list.push(readValue(field, reader, wireType, depth) ?? null);
    return;
  }
  // Packed: all numbers in one part.
  for (const packed = reader.part(); !packed.done; ) {
    list.push(readValue(field, packed, field.kind === "double" ? 1 : wireVarint, depth));
  }
}

function readEntry(object: Json, field: FieldSchema, reader: WireReader, depth: number): void {
  const map = (object[field.name] as Json | undefined) ?? {};
  object[field.name] = map;
  let name = "";
  let value: unknown;
  while (!reader.done) {
    const key = reader.varint();
    if (key === 10) name = reader.text();
    else if (key >> 3 === 2) value = readValue(field, reader, key & 7, depth);
    else reader.skip(key & 7);
  }
  const given = value ?? emptyOf(field);
  Object.defineProperty(map, name, { value: given, enumerable: true, configurable: true, writable: true });
}

/** What an entry without a value holds. */
function emptyOf(field: FieldSchema): unknown {
  if (field.kind === "message") return field.type().special ? null : {};
  return field.kind === "string" || field.kind === "bytes" ? "" : 0;
}

function readValue(field: FieldSchema, reader: WireReader, wireType: number, depth: number): unknown {
  const expected = field.kind === "double" ? 1 : isVarint(field) ? wireVarint : wireBytes;
  if (wireType !== expected)
    throw new DecodeError(`proto: wrong wireType = ${wireType} for field ${field.name}`);
  switch (field.kind) {
    case "string":
      return reader.text();
    case "bytes":
      return reader.bytes().toString("base64");
    case "bool":
      return reader.varint() !== 0;
    case "int32":
      return reader.varint() | 0;
    case "int64":
      return reader.varint();
    case "double":
      return reader.double();
    default: {
      const type = field.type();
      const part = reader.part();
      if (!type.special) return readMessage(type, part, depth + 1);
      return decodeSpecial(
        type.special,
        part,
        (inner, sub) => readMessage(inner, sub, depth + 1),
        type,
        decodeRaw,
      );
    }
  }
}

function isVarint(field: FieldSchema): boolean {
  return field.kind === "bool" || field.kind === "int32" || field.kind === "int64";
}

/** An object inside an object is JSON, or again protobuf in its envelope. */
function decodeRaw(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  if (!isProtobufEnvelope(bytes)) {
    try {
      return JSON.parse(bytes.toString("utf8"));
    } catch {
      throw new DecodeError("an embedded object is no JSON");
    }
  }
  const object = decodeProtobuf(bytes);
  const type = typeOfKind(readUnknown(new WireReader(bytes, 4)));
  if (type) decode(type.name, object);
  return object;
}

/** An object with its envelope. Its type is found by `apiVersion` and `kind`; undefined where there is none. */
export function encodeProtobuf(object: Readonly<{ apiVersion: string; kind: string }>): Buffer | undefined {
  const [group, version] = object.apiVersion.includes("/")
    ? object.apiVersion.split("/", 2)
    : ["", object.apiVersion];
  const type = typeOfKind({ group: group!, version: version!, kind: object.kind });
  if (!type || type.ownFields.some((f) => f.tag === 0)) return undefined;
  const writer = new WireWriter();
  writer.textField(4, "");
  writer.textField(3, "");
  const from = writer.mark;
  writeMessage(writer, type, object as unknown as Json, 0);
  writer.closePart(2, from);
  const meta = writer.mark;
  writer.textField(2, object.kind);
  writer.textField(1, object.apiVersion);
  writer.closePart(1, meta);
  writer.raw(magic);
  return writer.finish();
}

/** One message without envelope. */
export function encodeMessage(typeName: string, object: Readonly<Json>): Buffer {
  const writer = new WireWriter();
  writeMessage(writer, schemaOf(typeName), object, 0);
  return writer.finish();
}

/** One frame of a watch stream: four bytes of length, then the event around an object in its envelope. */
export function encodeWatchFrame(type: string, object: Uint8Array): Buffer {
  const writer = new WireWriter();
  const from = writer.mark;
  writer.raw(object);
  writer.closePart(1, from);
  writer.closePart(2, from);
  writer.textField(1, type);
  const event = writer.finish();
  const frame = Buffer.allocUnsafe(event.length + 4);
  frame.writeUInt32BE(event.length, 0);
  event.copy(frame, 4);
  return frame;
}

/** From the last field to the first, as the writer runs backwards. */
function writeMessage(writer: WireWriter, type: TypeSchema, object: Readonly<Json>, depth: number): void {
  if (depth > depthMax) throw new DecodeError("exceeded max depth");
  const fields = fieldsOf(type);
  for (let i = fields.length - 1; i >= 0; i--) {
    const field = fields[i]!;
    if (field.inline) {
      const inner = field.type();
      const from = writer.mark;
      writeMessage(writer, inner, object, depth + 1);
      writer.closePart(field.tag, from);
      continue;
    }
    const value = object[field.name];
    if (value === undefined || value === null) continue;
    if (field.container === "list") {
      const list = value as unknown[];
      for (let j = list.length - 1; j >= 0; j--) writeField(writer, field, field.tag, list[j], depth);
    } else if (field.container === "map") writeMap(writer, field, value as Json, depth);
    else writeField(writer, field, field.tag, value, depth);
  }
}

function writeMap(writer: WireWriter, field: FieldSchema, map: Json, depth: number): void {
  const keys = Object.keys(map).sort().reverse();
  for (const key of keys) {
    const from = writer.mark;
    writeField(writer, field, 2, map[key], depth);
    writer.textField(1, key);
    writer.closePart(field.tag, from);
  }
}

function writeField(
  writer: WireWriter,
  field: FieldSchema,
  tag: number,
  value: unknown,
  depth: number,
): void {
  switch (field.kind) {
    case "string":
      writer.textField(tag, String(value ?? ""));
      return;
    case "bytes": {
      const from = writer.mark;
      writer.raw(Buffer.from(String(value ?? ""), "base64"));
      writer.closePart(tag, from);
      return;
    }
    case "bool":
      writer.varintField(tag, value ? 1 : 0);
      return;
    case "int32":
    case "int64":
      writer.varintField(tag, Number(value ?? 0));
      return;
    case "double":
      writer.double(Number(value ?? 0));
      writer.tag(tag, 1);
      return;
    default: {
      const type = field.type();
      const from = writer.mark;
      if (type.special) {
        encodeSpecial(type.special, writer, value, type, (inner, v) =>
          writeMessage(writer, inner, v, depth + 1),
        );
      } else if (isObject(value)) writeMessage(writer, type, value, depth + 1);
      writer.closePart(tag, from);
    }
  }
}
