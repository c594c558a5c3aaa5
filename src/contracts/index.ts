export * from "./cri.ts";
export { isReference, normalizeReference, registryOf } from "./image-reference.ts";
export type { PodNetwork, PodNetworkStatus } from "./pod-network.ts";
export * from "./volume.ts";
