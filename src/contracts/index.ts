export * from "./cri.ts";
export { isReference, normalizeReference, registryOf } from "./image-reference.ts";
export * from "./volume.ts";
