export * from "./cri.ts";
export { isReference, normalizeReference, referenceProblem, registryOf } from "./image-reference.ts";
export * from "./volume.ts";
