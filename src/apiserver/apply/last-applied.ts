/**
 * What client-side apply left behind: its annotation says which fields were its own, so that `kubectl apply
 * --server-side` may take them over without a conflict, and is kept true for a way back.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#upgrading-from-client-side-apply-to-server-side-apply
 */
import { isObject } from "#api";
import { compare } from "./compare.ts";
import { difference, type FieldSet } from "./field-set.ts";
import type { Shape } from "./shape.ts";
import { fieldsOf } from "./typed.ts";
import type { Json } from "./walk.ts";

const annotation = "kubectl.kubernetes.io/last-applied-configuration";
/** Only this manager is a successor of client-side apply. */
export const kubectl = "kubectl";

function annotationsOf(object: Json): Json {
  const { metadata } = object;
  const annotations = isObject(metadata) ? metadata.annotations : undefined;
  return isObject(annotations) ? annotations : {};
}

function lastAppliedOf(object: Json): string {
  const text = annotationsOf(object)[annotation];
  return typeof text === "string" ? text : "";
}

/** The fields that client-side apply set and that still hold what it said; undefined if it never was here. */
export function fieldsOfClientSideApply(shape: Shape, live: Json, apiVersion: string): FieldSet | undefined {
  const last = parsed(lastAppliedOf(live));
  if (!last || last.apiVersion !== apiVersion) return undefined;
  const fields = fieldsOf(shape, last);
  const { changed, removed } = compare(shape, last, live) ?? {};
  const kept = changed ? difference(fields, changed) : fields;
  return removed ? difference(kept, removed) : kept;
}

function parsed(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const annotationsMaxBytes = 256 * 1024;

/** The object with the annotation telling of this configuration, if it has one. */
export function withLastApplied(object: Json, config: Json): Json {
  if (!lastAppliedOf(object)) return object;
  const { [annotation]: _, ...others } = annotationsOf(config);
  const metadata = { ...(config.metadata as Json) };
  if (annotationsOf(config)[annotation] !== undefined) {
    if (Object.keys(others).length > 0) metadata.annotations = others;
    else delete metadata.annotations;
  }
  const text = `${goJson({ ...config, metadata })}\n`;
  const annotations: Json = { ...annotationsOf(object), [annotation]: text };
  const size = Object.entries(annotations).reduce((sum, [k, v]) => sum + k.length + String(v).length, 0);
  if (size > annotationsMaxBytes) delete annotations[annotation];
  return { ...object, metadata: { ...(object.metadata as Json), annotations } };
}

/** As Go writes it: keys sorted, what HTML minds escaped. */
function goJson(value: unknown): string {
  const text = JSON.stringify(value, (_, inner: unknown) =>
    isObject(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
  return text.replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
}
