export * as api from "#api";
export { createWorld, type World } from "#base";
export * from "#client";
export { startAgent } from "./agent.ts";
export { Cluster, type ClusterOptions } from "./cluster.ts";
export type { Running } from "./components.ts";
export {
  type ClusterConfig,
  type ClusterPaths,
  checkDatastore,
  checkName,
  clusterDomain,
  clustersRoot,
  configFor,
  defaultName,
  freeSlot,
  linkCluster,
  listClusters,
  pathsOf,
  readConfig,
  sharesSlot,
  unlinkCluster,
  writeConfig,
} from "./config.ts";
export { type ClusterConnection, connectCluster } from "./connection.ts";
export { endDnsStandby, isStandbyAnswering } from "./dns-standby.ts";
export { type BuildRequest, buildFromFile } from "./image-build.ts";
export { listImages, loadImages, makeBusyboxImage, removeImages } from "./images.ts";
export { installGatewayApi } from "./ingress.ts";
export { endInstance, runningInstance } from "./instance.ts";
export { joinTokenOf } from "./join-token.ts";
export { contextName, editKubeconfig, mergeKubeconfig, type Owner, unmergeKubeconfig } from "./kubeconfig.ts";
export { keepKubeletConfig, runtimeEndpointOf } from "./kubelet-settings.ts";
export {
  closeLocalNetwork,
  insideOf,
  type LocalNode,
  localNodesOf,
  openLocalNetwork,
  stopLocalNodes,
} from "./local-nodes.ts";
export { freePort, hasIpv6, isPortFree, machineAddress, machineAddress6, machineName } from "./machine.ts";
export {
  type Finding,
  installPackages,
  missingExtras,
  missingForWireguard,
  preflight,
} from "./preflight.ts";
export { keepSchedulerConfig } from "./scheduler-settings.ts";
export { startServer } from "./server.ts";
export { purge, stopNode } from "./teardown.ts";
