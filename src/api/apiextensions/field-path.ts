/** Paths into a schema, as rules and selectable fields name them: `.spec.color`, `.spec['a.b'].c`. */
import { additionalOf, type JsonSchema, propertyOf } from "./schema.ts";

interface FoundPath {
  readonly keys: readonly string[];
  readonly schema: Readonly<JsonSchema>;
}

const part = /\.([A-Za-z_$][\w$-]*)|\['((?:[^'\\]|\\.)*)'\]/y;

/** The names in a path; undefined for what is none. */
function keysOf(path: string): string[] | undefined {
  const keys: string[] = [];
  part.lastIndex = 0;
  while (part.lastIndex < path.length) {
    const match = part.exec(path);
    if (!match) return undefined;
    keys.push(match[1] ?? match[2]!.replace(/\\(.)/g, "$1"));
  }
  return keys.length > 0 ? keys : undefined;
}

/** Where a path leads in a schema, or why it leads nowhere. */
export function findPath(path: string, schema: Readonly<JsonSchema>): FoundPath | string {
  const keys = keysOf(path);
  if (!keys) return `expected dot notation or a quoted key in brackets but got: ${path}`;
  let found: Readonly<JsonSchema> = schema;
  for (const key of keys) {
    const next = propertyOf(found, key) ?? additionalOf(found);
    if (!next) return `does not refer to a valid field`;
    found = next;
  }
  return { keys, schema: found };
}

export function fieldPathError(path: string, schema: Readonly<JsonSchema>): string | undefined {
  const found = findPath(path, schema);
  return typeof found === "string" ? found : undefined;
}
