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
import { mediaTypes, notAcceptable, type Representation } from "./negotiation.ts";

export interface View {
  representation: Representation;
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

export function partialOf(object: Readonly<KubernetesObject>): Record<string, unknown> {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
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
      return jsonResponse(code, partialOf(object.parse()));
    case "yaml":
      return yamlResponse(code, parse());
    case "protobuf":
      return protobufResponse(code, parse());
    default:
      return bytesResponse(
        code,
        mediaTypes.json,
        view.definition.storedAs ? serialize(parse()) : object.bytes,
      );
  }
}

export function tableOf(
  view: Pick<View, "definition" | "include" | "nowMs">,
  objects: readonly KubernetesObject[],
  metadata: { resourceVersion?: string },
  withColumns = true,
): Record<string, unknown> {
  const { include, nowMs } = view;
  return renderTable(view.definition, objects, metadata, { include, nowMs, withColumns });
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
      const partialHead = { kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1", metadata };
      return jsonResponse(200, { ...partialHead, items: parsed().map(partialOf) });
    }
    case "yaml":
      return yamlResponse(200, { ...head, items: parsed() });
    case "protobuf":
      return protobufResponse(200, { ...head, items: parsed() });
    default:
      return streamedList(head, definition.storedAs ? parsed().map(bytesOf) : page.objects);
  }
}

type Piece = Pick<CachedObject, "bytes">;

function bytesOf(object: KubernetesObject): Piece {
  return { bytes: serialize(object) };
}

function streamedList(head: unknown, objects: readonly Piece[]): ApiResponse {
  const opening = Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`);
  const closing = Buffer.from("]}\n");
  let size = opening.length + closing.length + Math.max(0, objects.length - 1);
  for (const object of objects) size += object.bytes.length;
  const headers = { "content-type": mediaTypes.json, "content-length": String(size) };
  const chunks = listChunks(opening, objects, closing);
  if (size > inlineMaxBytes) return { status: 200, headers, body: chunks };
  return { status: 200, headers, body: Buffer.concat([...chunks.pieces()], size) };
}

/** Bytes laid end to end, gathered into chunks; other work gets its turn between them. */
function listChunks(
  opening: Buffer,
  objects: readonly Piece[],
  closing: Buffer,
): AsyncIterable<Uint8Array> & { pieces(): Generator<Buffer> } {
  const comma = Buffer.from(",");
  function* pieces(): Generator<Buffer> {
    yield opening;
    for (let i = 0; i < objects.length; i++) {
      if (i > 0) yield comma;
      yield objects[i]!.bytes;
    }
    yield closing;
  }
  async function* gathered(): AsyncGenerator<Uint8Array> {
    let waiting: Buffer[] = [];
    let size = 0;
    for (const piece of pieces()) {
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
  return { pieces, [Symbol.asyncIterator]: gathered };
}

export function statusResponse(error: StatusError): ApiResponse {
  const retry = error.status.details?.retryAfterSeconds;
  return jsonResponse(error.code, error.status, retry ? { "retry-after": String(retry) } : {});
}
