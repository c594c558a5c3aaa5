/**
 * JSON Patch, RFC 6902. Pure: the document is not changed; what the patch does not touch is shared with the result.
 * https://www.rfc-editor.org/rfc/rfc6902
 */
import { badRequest, StatusError, sameJson } from "#api";

type Json = Record<string, unknown>;

interface Operation {
  op: string;
  path: string;
  from: string | undefined;
  value: unknown;
  hasValue: boolean;
}

/** As upstream: a short patch must not make a document of any length. */
const operationsMax = 10_000;
const copiedMaxLength = 3 * 1024 * 1024;

/** Throws a 400 for what is no patch, a 422 for one that does not apply. */
export function jsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch))
    throw badRequest(
      `error decoding patch: json: cannot unmarshal ${goKind(patch)} into Go value of type []handlers.jsonPatchOp`,
    );
  if (patch.length > operationsMax) {
    const message = `The allowed maximum operations in a JSON patch is ${operationsMax}, got ${patch.length}`;
    throw StatusError.of(413, "RequestEntityTooLarge", message);
  }
  let result = document;
  let copied = 0;
  for (const each of patch) {
    const operation = checked(each);
    if (operation.op === "copy") copied += copiedLength(result, operation);
    if (copied > copiedMaxLength) {
      const message = `Unable to complete the copy, the accumulated size increase of copy is ${copied}, exceeding the limit ${copiedMaxLength}`;
      throw StatusError.of(413, "RequestEntityTooLarge", message);
    }
    result = apply(result, operation);
  }
  return result;
}

function checked(operation: unknown): Operation {
  if (typeof operation !== "object" || operation === null || Array.isArray(operation)) {
    throw badRequest(
      `error decoding patch: json: cannot unmarshal ${goKind(operation)} into Go value of type handlers.jsonPatchOp`,
    );
  }
  const { op, path, from, value } = operation as Json;
  if (typeof op !== "string") throw refused("unexpected kind: unknown");
  if (typeof path !== "string") throw refused(`${op} operation failed to decode path: missing value`);
  return {
    op,
    path,
    from: typeof from === "string" ? from : undefined,
    value,
    hasValue: Object.hasOwn(operation, "value"),
  };
}

/** As Go's decoder names what it met. */
function goKind(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "boolean") return "bool";
  return Array.isArray(value) ? "array" : typeof value;
}

/** Upstream's answer to every patch that does not apply, and which operation it was. */
function refused(why: string): StatusError {
  const message = `the server rejected our request due to an error in our request: ${why}`;
  return StatusError.of(422, "Invalid", message, {});
}

function rejected(operation: Operation, why: string): StatusError {
  return refused(`${operation.op} operation does not apply: ${why}`);
}

function apply(document: unknown, operation: Operation): unknown {
  const { op, path } = operation;
  switch (op) {
    case "add":
      if (!operation.hasValue) throw rejected(operation, "missing value");
      return add(document, pointer(operation, path), operation.value, operation);
    case "replace": {
      if (!operation.hasValue) throw rejected(operation, "missing value");
      const parts = pointer(operation, path);
      read(document, parts, operation);
      return parts.length === 0
        ? operation.value
        : change(document, parts, operation, setMember(operation.value));
    }
    case "remove": {
      const parts = pointer(operation, path);
      if (parts.length === 0) throw rejected(operation, "the whole document cannot be removed");
      read(document, parts, operation);
      return change(document, parts, operation, removeMember);
    }
    case "move":
    case "copy":
      return moveOrCopy(document, operation);
    case "test":
      if (!sameJson(readOrUndefined(document, pointer(operation, path)), operation.value ?? undefined)) {
        if (operation.value === null && readOrUndefined(document, pointer(operation, path)) === null)
          return document;
        throw refused(`testing value ${path} failed: test failed`);
      }
      return document;
    default:
      throw rejected(operation, `unexpected kind: ${op}`);
  }
}

function copiedLength(document: unknown, operation: Operation): number {
  const value = readOrUndefined(document, pointer(operation, operation.from ?? ""));
  return value === undefined ? 0 : JSON.stringify(value).length;
}

function moveOrCopy(document: unknown, operation: Operation): unknown {
  if (operation.from === undefined) throw rejected(operation, "missing from");
  const from = pointer(operation, operation.from);
  const to = pointer(operation, operation.path);
  const value = read(document, from, operation);
  if (operation.op === "copy") return add(document, to, value, operation);
  if (operation.path.startsWith(`${operation.from}/`))
    throw rejected(operation, "a value cannot be moved into itself");
  return add(change(document, from, operation, removeMember), to, value, operation);
}

/** `/a~1b/0` → `["a/b", "0"]`. */
function pointer(operation: Operation, text: string): string[] {
  if (text === "") return [];
  if (!text.startsWith("/"))
    throw rejected(operation, `doc is missing path: ${JSON.stringify(text)}: missing value`);
  return text
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function member(container: unknown, key: string): unknown {
  if (Array.isArray(container)) return /^(0|[1-9]\d*)$/.test(key) ? container[Number(key)] : undefined;
  if (typeof container !== "object" || container === null) return undefined;
  return Object.hasOwn(container, key) ? (container as Json)[key] : undefined;
}

function readOrUndefined(document: unknown, parts: readonly string[]): unknown {
  return parts.reduce(member, document);
}

function read(document: unknown, parts: readonly string[], operation: Operation): unknown {
  const value = readOrUndefined(document, parts);
  if (value === undefined) {
    throw rejected(operation, `doc is missing key: ${operation.from ?? operation.path}: missing value`);
  }
  return value;
}

type Change = (container: Json | unknown[], key: string, operation: Operation) => void;

/** Copies what stands on the way to the last part's container and changes the copy. */
function change(
  document: unknown,
  parts: readonly string[],
  operation: Operation,
  how: Change,
  depth = 0,
): unknown {
  if (typeof document !== "object" || document === null) {
    throw rejected(operation, `doc is missing path: ${JSON.stringify(operation.path)}: missing value`);
  }
  const copy = Array.isArray(document) ? [...document] : { ...(document as Json) };
  const key = parts[depth]!;
  if (depth === parts.length - 1) {
    how(copy, key, operation);
    return copy;
  }
  const inner = change(member(document, key), parts, operation, how, depth + 1);
  if (Array.isArray(copy)) copy[Number(key)] = inner;
  else define(copy, key, inner);
  return copy;
}

/** Plain assignment would change the prototype where the key is `__proto__`. */
export function define(object: Json, key: string, value: unknown): void {
  if (key === "__proto__")
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}

function setMember(value: unknown): Change {
  return (container, key) => {
    if (Array.isArray(container)) container[Number(key)] = value;
    else define(container, key, value);
  };
}

const removeMember: Change = (container, key) => {
  if (Array.isArray(container)) container.splice(Number(key), 1);
  else delete container[key];
};

function add(document: unknown, parts: readonly string[], value: unknown, operation: Operation): unknown {
  if (parts.length === 0) return value;
  return change(document, parts, operation, (container, key) => {
    if (!Array.isArray(container)) return define(container, key, value);
    const index = key === "-" ? container.length : Number(key);
    if (!/^(-|0|[1-9]\d*)$/.test(key) || index > container.length) {
      throw rejected(operation, `Unable to access invalid index: ${key}: invalid index referenced`);
    }
    container.splice(index, 0, value);
  });
}
