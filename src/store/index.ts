export * from "./contract.ts";
export { openEtcdStore, parseDatastore } from "./datastore.ts";
export { type EmbeddedStoreOptions, openEmbeddedStore } from "./embedded.ts";
export { SortedKeys } from "./sorted-keys.ts";
export { readStoredFile } from "./sqlite-journal.ts";
