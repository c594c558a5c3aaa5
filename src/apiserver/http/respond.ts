/** Objects and lists in the representation that was asked for; stored bytes go out as they are. */
import {
  apiVersionOf,
  encodeProtobuf,
  type IncludeObject,
  type KubernetesObject,
  type ResourceDefinition,
  renderTable,
  type StatusError,
} from "#api";
import { type CachedObject, serialize } from "../cache/cached-object.ts";
import type { Page } from "../cache/list.ts";
import type { Outcome } from "../registry/context.ts";
import { type ApiResponse, bytesResponse, jsonResponse } from "./exchange.ts";
import { prettyJson } from "./finish.ts";
import { type Choice, type MetaVersion, mediaTypes, notAcceptable } from "./negotiation.ts";

export interface View extends Choice {
  /** Laid out for people. */
  readonly pretty: boolean;
  definition: ResourceDefinition;
  include: IncludeObject;
  nowMs: number;
}

/** A stored object, the caller's own, in the version that was asked for. */
export type Reader = (object: KubernetesObject) => KubernetesObject;

export function readerOf({ storedAs }: ResourceDefinition): Reader {
  return storedAs ? (object) => storedAs.fromStored(object) : (object) => object;
}

export function includeObjectOf(query: URLSearchParams): IncludeObject {
  const value = query.get("includeObject");
  return value === "None" || value === "Object" ? value : "Metadata";
}

export function partialOf(
  object: Readonly<KubernetesObject>,
  metaVersion: MetaVersion,
): Record<string, unknown> {
  const { metadata } = object;
  return { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${metaVersion}`, metadata };
}

export async function outcomeResponse(view: View, outcome: Outcome): Promise<ApiResponse> {
  if ("stored" in outcome) return objectResponse(view, outcome.code, outcome.stored);
  if (view.representation === "yaml") return yamlResponse(outcome.code, outcome.object);
  if (view.representation === "protobuf") return protobufResponse(outcome.code, outcome.object);
  return jsonResponse(outcome.code, outcome.object);
}

export async function objectResponse(view: View, code: number, object: CachedObject): Promise<ApiResponse> {
  const parse = () => readerOf(view.definition)(object.parse());
  switch (view.representation) {
    case "table": {
      const parsed = parse();
      return jsonResponse(
        code,
        tableOf(view, [parsed], { resourceVersion: parsed.metadata.resourceVersion }),
      );
    }
    case "partial":
      return jsonResponse(code, partialOf(object.parse(), view.metaVersion));
    case "yaml":
      return yamlResponse(code, parse());
    case "protobuf":
      return protobufResponse(code, parse());
    default:
      if (view.definition.storedAs) return bytesResponse(code, mediaTypes.json, serialize(parse()));
      return { ...bytesResponse(code, mediaTypes.json, object.bytes), object: () => object.read() };
  }
}

export function tableOf(
  view: Pick<View, "definition" | "include" | "metaVersion" | "nowMs">,
  objects: readonly KubernetesObject[],
  metadata: { resourceVersion?: string },
  withColumns = true,
): Record<string, unknown> {
  const { include, metaVersion, nowMs } = view;
  return renderTable(view.definition, objects, metadata, { include, metaVersion, nowMs, withColumns });
}

async function yamlResponse(code: number, value: unknown): Promise<ApiResponse> {
  const { stringify } = await import("yaml");
  return bytesResponse(code, mediaTypes.yaml, Buffer.from(stringify(value)));
}

/** For clients that take nothing else. */
function protobufResponse(code: number, value: unknown): ApiResponse {
  const bytes = encodeProtobuf(value as KubernetesObject);
  if (!bytes) throw notAcceptable();
  return bytesResponse(code, mediaTypes.protobuf, bytes);
}

/** Lists below this size are one buffer with a known length. */
const inlineMaxBytes = 256 * 1024;
const chunkBytes = 64 * 1024;

export async function listResponse(view: View, page: Page): Promise<ApiResponse> {
  const metadata = {
    resourceVersion: String(page.revision),
    ...(page.continue ? { continue: page.continue } : {}),
    ...(page.remainingItemCount ? { remainingItemCount: page.remainingItemCount } : {}),
  };
  const { definition } = view;
  const head = {
    kind: definition.listKind ?? `${definition.kind}List`,
    apiVersion: apiVersionOf(definition),
    metadata,
  };
  const read = readerOf(definition);
  const parsed = () => page.objects.map((o) => read(o.parse()));
  switch (view.representation) {
    case "table":
      return jsonResponse(200, tableOf(view, parsed(), metadata));
    case "partial": {
      const { metaVersion } = view;
      const partialHead = {
        kind: "PartialObjectMetadataList",
        apiVersion: `meta.k8s.io/${metaVersion}`,
        metadata,
      };
      return jsonResponse(200, { ...partialHead, items: parsed().map((o) => partialOf(o, metaVersion)) });
    }
    case "yaml":
      return yamlResponse(200, { ...head, items: parsed() });
    case "protobuf":
      return protobufResponse(200, { ...head, items: parsed() });
    default:
      return streamedList(head, definition.storedAs ? parsed().map(bytesOf) : page.objects, view.pretty);
  }
}

type Piece = Pick<CachedObject, "bytes">;

function bytesOf(object: KubernetesObject): Piece {
  return { bytes: serialize(object) };
}

function streamedList(head: unknown, objects: readonly Piece[], pretty: boolean): ApiResponse {
  const opening = Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`);
  const closing = Buffer.from("]}\n");
  let size = opening.length + closing.length + Math.max(0, objects.length - 1);
  for (const object of objects) size += object.bytes.length;
  const headers = { "content-type": mediaTypes.json, "content-length": String(size) };
  if (size <= inlineMaxBytes) {
    const bytes = Buffer.concat([...listPieces(opening, objects, closing)], size);
    return { status: 200, headers, body: bytes };
  }
  // Layout changes the length: it is told by the end.
  if (pretty)
    return { status: 200, headers: { "content-type": mediaTypes.json }, body: prettyList(head, objects) };
  return { status: 200, headers, body: gathered(listPieces(opening, objects, closing)) };
}

function* listPieces(opening: Buffer, objects: readonly Piece[], closing: Buffer): Generator<Buffer> {
  yield opening;
  for (let i = 0; i < objects.length; i++) {
    if (i > 0) yield comma;
    yield objects[i]!.bytes;
  }
  yield closing;
}

const comma = Buffer.from(",");

function prettyList(head: unknown, objects: readonly Piece[]): AsyncIterable<Uint8Array> {
  function* pieces(): Generator<Buffer> {
    yield Buffer.from(`${JSON.stringify(head, null, 2).slice(0, -2)},\n  "items": [\n    `);
    for (let i = 0; i < objects.length; i++) {
      if (i > 0) yield Buffer.from(",\n    ");
      yield prettyJson(objects[i]!.bytes, "    ");
    }
    yield Buffer.from("\n  ]\n}\n");
  }
  return gathered(pieces());
}

/** Bytes laid end to end, gathered into chunks; other work gets its turn between them. */
async function* gathered(pieces: Iterable<Buffer>): AsyncGenerator<Uint8Array> {
  let waiting: Buffer[] = [];
  let size = 0;
  for (const piece of pieces) {
    waiting.push(piece);
    size += piece.length;
    if (size < chunkBytes) continue;
    yield Buffer.concat(waiting, size);
    waiting = [];
    size = 0;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  if (size > 0) yield Buffer.concat(waiting, size);
}

export function statusResponse(error: StatusError, accept?: string): ApiResponse {
  const retry = error.status.details?.retryAfterSeconds;
  const headers: Record<string, string> = retry ? { "retry-after": String(retry) } : {};
  const bytes = accept && takesOnlyProtobuf(accept) ? encodeProtobuf(error.status) : undefined;
  if (bytes) return bytesResponse(error.code, mediaTypes.protobuf, bytes, headers);
  return jsonResponse(error.code, error.status, headers);
}

function takesOnlyProtobuf(accept: string): boolean {
  return accept.startsWith(mediaTypes.protobuf) && !accept.includes(mediaTypes.json);
}
