export * from "./contract.ts";
export { type EmbeddedStoreOptions, openEmbeddedStore } from "./embedded.ts";
export { SortedKeys } from "./sorted-keys.ts";
