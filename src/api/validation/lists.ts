/** Lists and sets of bounded length, whose items are validated each at its place. */
import { duplicate, type FieldError, tooMany } from "../meta/field-error.ts";

/** A list that is too long answers only that: its items are many, and the client's own. */
export function validateList<T>(
  items: readonly T[] | undefined,
  max: number,
  path: string,
  validateItem: (item: T, at: string) => FieldError[],
): FieldError[] {
  if (!items) return [];
  if (items.length > max) return [tooMany(path, items.length, max)];
  return items.flatMap((item, i) => validateItem(item, `${path}[${i}]`));
}

/** As `validateList`, and no two items may have the same key. */
export function validateSet<T>(
  items: readonly T[] | undefined,
  max: number,
  path: string,
  validateItem: (item: T, at: string) => FieldError[],
  keyOf: (item: T) => unknown,
): FieldError[] {
  const errors = validateList(items, max, path, validateItem);
  if (!items || items.length > max) return errors;
  const seen = new Set<string>();
  for (const [i, item] of items.entries()) {
    const key = keyOf(item);
    const identity = JSON.stringify(key ?? "");
    if (seen.has(identity)) errors.push(duplicate(`${path}[${i}]`, key));
    seen.add(identity);
  }
  return errors;
}
