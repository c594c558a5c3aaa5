export {
  type PodNetworkOptions,
  removePodNetwork,
  startPodNetwork,
} from "./pod-network.ts";
export { removeRoutes, startRoutes } from "./routes.ts";
