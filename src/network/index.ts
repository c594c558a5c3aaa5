export {
  type PodNetworkOptions,
  removePodNetwork,
  startPodNetwork,
} from "./pod-network.ts";
export { type Policies, startPolicies } from "./policy/start-policies.ts";
export { removeRoutes, startRoutes } from "./routes.ts";
