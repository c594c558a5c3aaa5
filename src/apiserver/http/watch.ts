/** The watch verb. https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes */
import {
  apiVersionOf,
  encodeProtobuf,
  encodeWatchFrame,
  type FieldError,
  forbiddenField,
  invalidObject,
  type KubernetesObject,
  notSupported,
  type ResourceDefinition,
} from "#api";
import type { Clock } from "#base";
import type { CachedObject } from "../cache/cached-object.ts";
import { parseRevision, requireReached } from "../cache/list.ts";
import { selectionOf } from "../cache/selection.ts";
import {
  convertingWatchEncoder,
  jsonWatchEncoder,
  sharedWatchEncoder,
  type WatchEncoder,
  WatchStream,
} from "../cache/watch-stream.ts";
import { convertedWatch, rawWatchEncoder } from "../customresources/converted-watch.ts";
import { customOf } from "../customresources/custom-definition.ts";
import type { ApiRequest, ApiResponse } from "./exchange.ts";
import { mediaTypes, notAcceptable } from "./negotiation.ts";
import { partialOf, type Reader, readerOf, tableOf, type View } from "./respond.ts";
import { type Call, requireVerb, selectorsOf, viewOf, wholeNumber } from "./verbs.ts";

const timeoutMinSeconds = 1800;

export function isWatch(query: URLSearchParams): boolean {
  const value = query.get("watch");
  return value !== null && value !== "false" && value !== "0";
}

/** Every open watch of a server, so that stopping ends them all. */
export type OpenWatches = Set<WatchStream>;

export function watch(call: Call, open: OpenWatches): ApiResponse {
  requireVerb(call.definition, "watch");
  const { definition, info, request, registry } = call;
  const { query } = request;
  const cache = registry.storage.cache(definition);
  const { world } = registry;
  validateWatchQuery(query);
  const selectors = selectorsOf(query);
  const named = info.name ? `metadata.name=${info.name}` : "";
  const fieldSelector = [selectors.fieldSelector, named].filter(Boolean).join(",");
  const seconds = wholeNumber(query, "timeoutSeconds") || timeoutMinSeconds * (1 + world.random.float());
  const wantsInitial = query.get("sendInitialEvents") === "true";
  const bookmarks = query.get("allowWatchBookmarks") === "true";
  const after = startOf(query, cache.revision);
  if (after !== undefined) requireReached(cache, after);
  const view = viewOf(call);
  const custom = customOf(definition);
  const isConverted = custom?.isConverted === true;
  const stream = new WatchStream(
    cache,
    {
      definition,
      selection: selectionOf(definition, info.namespace, {
        ...selectors,
        fieldSelector: isConverted ? ofMetadata(fieldSelector) : fieldSelector,
      }),
      encoder: isConverted ? rawWatchEncoder : encoderOf(view, request, world.clock),
      afterRevision: after,
      bookmarks,
      initialEventsEnd: wantsInitial && bookmarks,
      timeoutMs: Math.max(1, seconds) * 1000,
    },
    world.clock,
  );
  open.add(stream);
  stream.onClose(() => open.delete(stream));
  request.signal.addEventListener("abort", () => stream.close(), { once: true });
  if (request.signal.aborted) stream.close();
  const contentType =
    view.representation === "protobuf" ? `${mediaTypes.protobuf};stream=watch` : mediaTypes.json;
  if (!isConverted) return { status: 200, headers: { "content-type": contentType }, body: stream };
  const body = convertedWatch(stream, {
    show: custom.view,
    encoder: encoderOf(view, request, world.clock),
    isSelected: fieldSelector
      ? selectionOf(definition, info.namespace, { fieldSelector }).matches
      : undefined,
    isResumed: after !== undefined,
  });
  return { status: 200, headers: { "content-type": contentType }, body };
}

/** The terms that need no look into the object: of a version that a webhook makes the rest is only known later. */
function ofMetadata(fieldSelector: string): string {
  const terms = fieldSelector.split(",");
  return terms.filter((term) => /^metadata\.(?:name|namespace)(?:=|!=)/.test(term)).join(",");
}

/** The revision after which to start; undefined to send the state first. */
function startOf(query: URLSearchParams, current: number): number | undefined {
  const text = query.get("resourceVersion") ?? "";
  const sendInitial = query.get("sendInitialEvents");
  if (sendInitial === "true") {
    if (text !== "" && text !== "0") parseRevision(text);
    return undefined;
  }
  if (text !== "" && text !== "0") return parseRevision(text);
  return sendInitial === "false" ? current : undefined;
}

function validateWatchQuery(query: URLSearchParams): void {
  const match = query.get("resourceVersionMatch") ?? "";
  const sendInitial = query.has("sendInitialEvents");
  const field = "resourceVersionMatch";
  const errors: FieldError[] = [];
  if (sendInitial && match === "") {
    errors.push(
      forbiddenField(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
    );
  } else if (sendInitial && match !== "NotOlderThan") {
    errors.push(notSupported(field, match, ["NotOlderThan"]));
  } else if (!sendInitial && match !== "") {
    errors.push(
      forbiddenField(
        field,
        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
      ),
    );
  }
  if (query.get("continue")) errors.push(forbiddenField("continue", "continue is forbidden for watch"));
  if (errors.length > 0) throw invalidObject({ group: "meta.k8s.io", kind: "ListOptions" }, "", errors);
}

function encoderOf(view: View, { sharesObjects }: ApiRequest, clock: Clock): WatchEncoder {
  const custom = customOf(view.definition);
  const plain = encoderAs(view, clock);
  const encoder = sharesObjects && plain === jsonWatchEncoder ? sharedWatchEncoder : plain;
  return custom && !custom.isConverted ? viewingEncoder(view.definition, custom.view, encoder) : encoder;
}

/** Stored objects of custom resources are shown in the version that is watched. */
function viewingEncoder(
  definition: ResourceDefinition,
  show: (object: CachedObject) => CachedObject,
  encoder: WatchEncoder,
): WatchEncoder {
  return {
    ...encoder,
    id: (isFirst) => `${encoder.id(isFirst)} ${definition.version}`,
    encode: (type, object, isFirst) => encoder.encode(type, show(object), isFirst),
  };
}

function encoderAs(view: View, clock: Clock): WatchEncoder {
  const read = readerOf(view.definition);
  const version = view.definition.storedAs ? ` ${apiVersionOf(view.definition)}` : "";
  switch (view.representation) {
    case "json":
      return version ? convertingWatchEncoder(`json${version}`, read) : jsonWatchEncoder;
    case "partial":
      return convertingWatchEncoder(`partial ${view.metaVersion}`, (object) =>
        partialOf(object, view.metaVersion),
      );
    case "table":
      return convertingWatchEncoder(
        `table ${view.metaVersion} ${view.include}${version}`,
        (object, isFirst) =>
          tableOf(
            { ...view, nowMs: clock.now() },
            [read(object)],
            { resourceVersion: object.metadata.resourceVersion },
            isFirst,
          ),
      );
    case "protobuf":
      return protobufEncoder(version, read);
    default:
      throw notAcceptable();
  }
}

function protobufEncoder(version: string, read: Reader): WatchEncoder {
  return {
    id: () => `protobuf${version}`,
    encode: (type, object) => protobufFrame(type, read(object.parse())),
    encodeOther: (type, object) => protobufFrame(type, object as KubernetesObject),
  };
}

function protobufFrame(type: string, object: KubernetesObject): Buffer {
  const bytes = encodeProtobuf(object);
  if (!bytes) throw notAcceptable();
  return encodeWatchFrame(type, bytes);
}
