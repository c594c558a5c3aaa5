/** Custom resources as data: their definitions, and what schemas do to objects. */
export * from "./custom-resource-definition.ts";
export { applyDefaults, hasDefaults } from "./default.ts";
export { findPath } from "./field-path.ts";
export { matchesFormat } from "./formats.ts";
export { validateListTypes } from "./list-types.ts";
export { compilePattern } from "./pattern.ts";
export { prune } from "./prune.ts";
export {
  additionalOf,
  itemsOf,
  type JsonSchema,
  propertyOf,
  setOwn,
  someSchema,
  structuralParts,
} from "./schema.ts";
export { isProtectedGroup } from "./validate-definition.ts";
export { correlate, validateValue } from "./validate-value.ts";
