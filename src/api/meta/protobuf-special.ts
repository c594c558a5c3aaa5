/** The protobuf of types whose JSON is not the object of their fields: times, quantities, raw objects. */
import { isObject } from "./decode.ts";
import type { WireReader, WireWriter } from "./protobuf-wire.ts";
import type { SpecialKind, TypeSchema } from "./schema.ts";
import { formatTime, parseTime } from "./time.ts";

type Json = Record<string, unknown>;
type ReadMessage = (type: TypeSchema, reader: WireReader) => Json;
type WriteMessage = (type: TypeSchema, object: Json) => void;

/** The fields of a small message, by tag: numbers of varints, buffers of parts; the last of repeated ones wins. */
function readFields(reader: WireReader): { numbers: Map<number, number>; parts: Map<number, Buffer[]> } {
  const numbers = new Map<number, number>();
  const parts = new Map<number, Buffer[]>();
  while (!reader.done) {
    const key = reader.varint();
    if ((key & 7) === 0) numbers.set(key >> 3, reader.varint());
    else if ((key & 7) === 2) parts.set(key >> 3, [...(parts.get(key >> 3) ?? []), reader.bytes()]);
    else reader.skip(key & 7);
  }
  return { numbers, parts };
}

/** Undefined for what JSON leaves out (a zero time). */
export function decodeSpecial(
  special: SpecialKind,
  reader: WireReader,
  readMessage: ReadMessage,
  type: TypeSchema,
  decodeRaw: (bytes: Buffer) => unknown,
): unknown {
  switch (special) {
    case "schemaOrBool":
    case "schemaOrArray":
    case "schemaOrStrings":
      return decodeSchemaUnion(special, readMessage(type, reader));
    case "strings":
      return (readFields(reader).parts.get(1) ?? []).map((b) => b.toString("utf8"));
    default:
  }
  const { numbers, parts } = readFields(reader);
  const first = parts.get(1)?.at(-1);
  switch (special) {
    case "time":
    case "microTime": {
      const seconds = numbers.get(1) ?? 0;
      const nanos = numbers.get(2) ?? 0;
      if ((seconds === 0 && nanos === 0) || Math.abs(seconds) > 253_402_300_799) return undefined;
      const text = formatTime(seconds * 1000);
      if (special === "time") return text;
      return `${text.slice(0, -1)}.${String(Math.floor(nanos / 1000)).padStart(6, "0")}Z`;
    }
    case "quantity":
      return first?.toString("utf8") || "0";
    case "intOrString":
      return (numbers.get(1) ?? 0) === 0
        ? (numbers.get(2) ?? 0) | 0
        : (parts.get(3)?.at(-1)?.toString("utf8") ?? "");
    case "duration":
      return `${(numbers.get(1) ?? 0) / 1e9}s`;
    case "fields":
      return decodeRaw(first ?? Buffer.alloc(0)) ?? {};
    default:
      return decodeRaw(first ?? Buffer.alloc(0));
  }
}

function decodeSchemaUnion(special: SpecialKind, fields: Json): unknown {
  if (fields.schema !== undefined) return fields.schema;
  if (special === "schemaOrBool") return fields.allows ?? false;
  return (special === "schemaOrArray" ? fields.jSONSchemas : fields.property) ?? [];
}

export function encodeSpecial(
  special: SpecialKind,
  writer: WireWriter,
  value: unknown,
  type: TypeSchema,
  writeMessage: WriteMessage,
): void {
  switch (special) {
    case "time":
    case "microTime":
      encodeTime(writer, String(value), special === "microTime");
      return;
    case "quantity":
      writer.textField(1, String(value));
      return;
    case "intOrString": {
      const isText = typeof value === "string";
      writer.textField(3, isText ? value : "");
      writer.varintField(2, isText ? 0 : Number(value));
      writer.varintField(1, isText ? 1 : 0);
      return;
    }
    case "duration":
      writer.varintField(1, Math.round(Number.parseFloat(String(value)) * 1e9));
      return;
    case "strings":
      for (const item of [...(value as string[])].reverse()) writer.textField(1, item);
      return;
    case "schemaOrBool":
      writeMessage(type, isObject(value) ? { schema: value, allows: true } : { allows: value });
      return;
    case "schemaOrArray":
      writeMessage(type, isObject(value) ? { schema: value } : { jSONSchemas: value });
      return;
    case "schemaOrStrings":
      writeMessage(type, isObject(value) ? { schema: value } : { property: value });
      return;
    default:
      writer.textField(1, JSON.stringify(value));
      return;
  }
}

function encodeTime(writer: WireWriter, text: string, withFraction: boolean): void {
  const ms = parseTime(text) ?? 0;
  const fraction = withFraction ? (/\.(\d+)/.exec(text)?.[1] ?? "") : "";
  writer.varintField(2, Number(fraction.padEnd(9, "0").slice(0, 9)));
  writer.varintField(1, Math.floor(ms / 1000));
}
