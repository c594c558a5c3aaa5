export { openCniBin, settleGateways } from "./address-claims.ts";
export { forgetEarlierBoot } from "./earlier-boot.ts";
export { closeForeignCni, foreignCni, lendCniConfig, openForeignCni } from "./foreign-cni.ts";
export {
  keepPodNetwork,
  type PodNetworkOptions,
  removePodNetwork,
  startPodNetwork,
  writeCniConfig,
} from "./pod-network.ts";
export { type Policies, startPolicies } from "./policy/start-policies.ts";
export { removeRoutes, startRoutes } from "./routes.ts";
export {
  checkWireguard,
  loadWireguardKey,
  wireguardDeviceOf,
  wireguardKeyAnnotation,
} from "./wireguard.ts";
