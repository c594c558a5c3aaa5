export {
  networkTable,
  type PodNetwork,
  type PodNetworkOptions,
  removePodNetwork,
  startPodNetwork,
} from "./pod-network.ts";
