export type * from "./generated/types/index.ts";
export * from "./meta/resource-type.ts";
export * from "./meta/status.ts";
export * from "./meta/definition.ts";
export * from "./meta/field-error.ts";
