/**
 * Pruning: what the schema does not know is dropped from custom resources, unless it says to keep it.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-pruning
 */
import { DecodeError, decode, isObject, pathText } from "../meta/decode.ts";
import { additionalOf, itemsOf, type JsonSchema, metadataOfResources, propertyOf } from "./schema.ts";

type Schema = Readonly<JsonSchema>;
type Path = (string | number)[];

const unknownMax = 100;
const objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

interface Walk {
  path: Path;
  unknown: string[];
}

/** In place; answers the paths of what was dropped. Throws `DecodeError` for metadata that is none. */
export function prune(object: Record<string, unknown>, schema: Schema): string[] {
  const walk: Walk = { path: [], unknown: [] };
  pruneObject(object, schema, walk, true);
  return walk.unknown;
}

function pruneValue(value: unknown, schema: Schema | undefined, walk: Walk): void {
  if (Array.isArray(value)) {
    const items = schema && itemsOf(schema);
    for (const [i, each] of value.entries()) {
      if (typeof each !== "object") continue;
      walk.path.push(i);
      pruneValue(
        each,
        keepsAll(schema) ? { ...items, "x-kubernetes-preserve-unknown-fields": true } : items,
        walk,
      );
      walk.path.pop();
    }
  } else if (isObject(value)) pruneObject(value, schema, walk, false);
}

function keepsAll(schema: Schema | undefined): boolean {
  return schema?.["x-kubernetes-preserve-unknown-fields"] === true;
}

function pruneObject(
  object: Record<string, unknown>,
  schema: Schema | undefined,
  walk: Walk,
  isRoot: boolean,
): void {
  const isResource = isRoot || schema?.["x-kubernetes-embedded-resource"] === true;
  for (const [name, value] of Object.entries(object)) {
    if (isResource && metadataOfResources.has(name)) {
      coerce(object, name, walk, isRoot);
      continue;
    }
    const property = schema && propertyOf(schema, name);
    const isAdditional = !property && schema?.additionalProperties !== undefined;
    if (property || isAdditional) {
      walk.path.push(name);
      pruneValue(value, property ?? (schema && additionalOf(schema)), walk);
      walk.path.pop();
    } else if (!keepsAll(schema)) {
      if (walk.unknown.length < unknownMax) walk.unknown.push(pathText([...walk.path, name]));
      delete object[name];
    }
  }
}

/** Resources have metadata of the usual shape, wherever they stand. */
function coerce(object: Record<string, unknown>, name: string, walk: Walk, isRoot: boolean): void {
  const value = object[name];
  if (value === null) {
    delete object[name];
    return;
  }
  if (name !== "metadata") {
    if (typeof value === "string") return;
    throw new DecodeError(`${pathText([...walk.path, name])}: Invalid value: must be a string`);
  }
  const times = { creationTimestamp: isObject(value) ? value.creationTimestamp : undefined };
  const { unknown } = decode(objectMeta, value);
  // The table fills in what a stored object always has: what stands inside another one need not.
  if (!isRoot && isObject(value)) {
    for (const key of ["uid", "resourceVersion", "creationTimestamp"]) if (!value[key]) delete value[key];
    if (times.creationTimestamp === null) value.creationTimestamp = null;
  }
  for (const path of unknown) walk.unknown.push(pathText([...walk.path, "metadata", path]));
}
