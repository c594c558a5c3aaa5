export * from "./cri.ts";
export type { PodNetwork, PodNetworkStatus } from "./pod-network.ts";
export * from "./volume.ts";
