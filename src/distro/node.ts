/** This machine as a node: a private containerd, the pod network, the kubelet, the service proxy and cluster DNS. */
import { join } from "node:path";
import { nodes } from "#api";
import type { World } from "#base";
import type { Client, Informers } from "#client";
import { type DnsServer, startDns } from "#dns";
import { startKubelet } from "#kubelet";
import {
  foreignCni,
  forgetEarlierBoot,
  keepPodNetwork,
  lendCniConfig,
  loadWireguardKey,
  openCniBin,
  openForeignCni,
  type Policies,
  settleGateways,
  startPodNetwork,
  startPolicies,
  startRoutes,
  wireguardKeyAnnotation,
  writeCniConfig,
} from "#network";
import { startProxy } from "#proxy";
import {
  type ContainerdOptions,
  cniBinDirs,
  connectForeignRuntime,
  type NodeRuntime,
  startContainerd,
} from "#runtime";
import { type Running, stopAll } from "./components.ts";
import { type ClusterConfig, type ClusterPaths, cgroupRootOf, clusterDomain } from "./config.ts";
import type { NodeCredentials } from "./credentials.ts";
import { dnsServing } from "./dns-serving.ts";
import { bothOf } from "./families.ts";
import { kubeletSettings, runtimeEndpointOf, runtimeSettingsOf } from "./kubelet-settings.ts";
import { applyProcessSettings } from "./process-settings.ts";

export function containerdOptions(
  world: World,
  { cni, ipv6 }: Pick<ClusterConfig, "cni" | "ipv6">,
  paths: ClusterPaths,
): ContainerdOptions {
  return {
    dir: paths.containerd,
    world,
    ...(cni === "none"
      ? { cniConfDir: foreignCni.confDir, cniBinDirs: [foreignCni.binDir] }
      : { cniConfDir: paths.cniConf, ...(ipv6 ? { cniBinDirs: [paths.cniBin] } : {}) }),
    registryConfigDir: paths.registries,
  };
}

/** The container runtime and the pod network: what needs no API server, and can start beside it. */
export async function startRuntime(
  world: World,
  config: ClusterConfig,
  paths: ClusterPaths,
): Promise<NodeRuntime> {
  const { endpoint, requestMs } = await runtimeSettingsOf(paths);
  await forgetEarlierBoot(paths.cniState);
  if (config.ipv6 && config.cni !== "none") await openCniBin(paths.cniBin, cniBinDirs);
  const families = config.ipv6 ? (["ip", "ip6"] as const) : (["ip"] as const);
  const openNetwork = async () => {
    if (config.cni === "none" || endpoint) await openForeignCni(cniBinDirs, families);
    if (config.cni === "none") return;
    const where = { confDir: paths.cniConf, stateDir: paths.cniState };
    await startPodNetwork({ clusterName: config.name, ...podNetworkOf(config), ...where });
    if (endpoint) await lendCniConfig(config.name, paths.cniConf);
  };
  const [runtime] = await Promise.all([
    endpoint
      ? connectForeignRuntime(endpoint, world, { requestMs })
      : startContainerd({ ...containerdOptions(world, config, paths), requestMs }),
    openNetwork(),
  ]);
  return runtime;
}

function podNetworkOf(config: ClusterConfig): { clusterCidrs: string[]; podCidrs: string[] } {
  return { clusterCidrs: bothOf(config, "clusterCidr"), podCidrs: bothOf(config, "podCidr") };
}

/** The ways to the other nodes' pods. */
export async function startNodeRoutes(
  options: Pick<NodeOptions, "world" | "config" | "paths" | "client" | "informers">,
): Promise<Running> {
  const { world, config, paths, informers } = options;
  const { nodeName, nodeAddress, cni, backend } = config;
  const { clusterCidrs, podCidrs } = podNetworkOf(config);
  if (cni === "none") return { stop: async () => {} };
  let mtu = 0;
  return startRoutes({
    ...(backend === "wireguard" ? { wireguard: await wireguardOf(options) } : {}),
    world,
    informers,
    nodeName,
    nodeAddress,
    clusterCidrs,
    podCidrs,
    async onOverlay(wanted) {
      if (mtu === wanted) return;
      mtu = wanted;
      await writeCniConfig({ podCidrs, confDir: paths.cniConf, stateDir: paths.cniState }, mtu);
      if (await runtimeEndpointOf(paths)) await lendCniConfig(config.name, paths.cniConf);
    },
  });
}

async function wireguardOf({
  world,
  config,
  paths,
  client,
}: Pick<NodeOptions, "world" | "config" | "paths" | "client">) {
  const keyFile = join(paths.tls, "wireguard.key");
  return {
    keyFile,
    publicKey: await loadWireguardKey(world.random, keyFile),
    async publish(publicKey: string) {
      const metadata = { annotations: { [wireguardKeyAnnotation]: publicKey } };
      await client.patch(nodes, { name: config.nodeName }, "merge", { metadata });
    },
  };
}

export interface NodeOptions {
  world: World;
  config: ClusterConfig;
  paths: ClusterPaths;
  credentials: Pick<NodeCredentials, "ca" | "kubeletServer">;
  runtime: NodeRuntime;
  client: Client;
  informers: Informers;
  /** Those of somebody who may follow all pods; default: `informers`. */
  policyInformers?: Informers;
  /** Before cluster DNS listens: whoever answers in its place lets go. */
  takeOverDns?: () => Promise<void>;
  labels?: Record<string, string>;
}

/** Stopping leaves pods, containerd and rules as they are: the next start takes them over. */
export async function startNode(options: NodeOptions): Promise<Running> {
  const { world, config } = options;
  const started: Running[] = [{ stop: () => options.runtime.release() }];
  if (config.cni !== "none")
    started.push(
      keepPodNetwork(world, {
        ...podNetworkOf(config),
        clusterName: config.name,
        stateDir: options.paths.cniState,
      }),
    );
  try {
    const policies = startNodePolicies(options);
    const parts: Promise<Running>[] = [
      policies,
      startNodeKubelet(options, async (pod, addresses) => {
        if (config.ipv6 && config.cni !== "none") await settleGateways(addresses);
        await (await policies).admit(pod, addresses);
      }),
      startNodeProxy(options),
      startNodeDns(options),
    ];
    // Where one fails the others are still coming up: they have to be stopped too.
    const settled = await Promise.allSettled(parts);
    for (const part of settled) if (part.status === "fulfilled") started.push(part.value);
    for (const part of settled) if (part.status === "rejected") throw part.reason;
  } catch (error) {
    await stopAll(started);
    throw error;
  }
  return { stop: () => stopAll(started) };
}

/** Whoever brings the network enforces its policies. */
const noPolicies: Policies = { admit: async () => {}, settled: async () => {}, stop: async () => {} };

function startNodePolicies(options: NodeOptions): Promise<Policies> {
  if (options.config.cni === "none") return Promise.resolve(noPolicies);
  return startPolicies({
    world: options.world,
    informers: options.policyInformers ?? options.informers,
    clusterName: options.config.name,
    nodeName: options.config.nodeName,
    clusterCidrs: bothOf(options.config, "clusterCidr"),
  });
}

async function startNodeKubelet(options: NodeOptions, admitToNetwork: Policies["admit"]): Promise<Running> {
  const { world, config, paths, credentials } = options;
  const settings = await kubeletSettings(world, paths);
  await applyProcessSettings(settings, world);
  return startKubelet({
    client: options.client,
    world,
    runtime: options.runtime.runtime,
    nodeName: config.nodeName,
    nodeAddress: bothOf(config, "nodeAddress"),
    clusterDns: config.dnsAddress,
    clusterDomain,
    podCidr: bothOf(config, "podCidr"),
    dataDir: paths.kubelet,
    logDir: paths.podLogs,
    admitToNetwork,
    credentialProvidersDir: paths.credentialProviders,
    ...(options.runtime.sandboxImage ? { sandboxImage: options.runtime.sandboxImage } : {}),
    localVolumesDir: paths.volumes,
    config: { ...settings, cgroupRoot: cgroupRootOf(config), nodeLabels: options.labels ?? {} },
    server: {
      host: config.nodeAddress,
      port: config.kubeletPort,
      tls: credentials.kubeletServer,
      clientCa: credentials.ca.cert,
    },
  });
}

function startNodeProxy(options: NodeOptions): Promise<Running> {
  return startProxy({
    world: options.world,
    informers: options.informers,
    clusterName: options.config.name,
    nodeName: options.config.nodeName,
    nodeAddresses: bothOf(options.config, "nodeAddress"),
    serviceCidrs: bothOf(options.config, "serviceCidr"),
    ...podNetworkOf(options.config),
  });
}

async function startNodeDns({
  world,
  config,
  informers,
  policyInformers,
  takeOverDns,
}: NodeOptions): Promise<DnsServer> {
  return startDns({
    ...(await dnsServing(config)),
    world,
    informers,
    ...(policyInformers ? { settingsInformers: policyInformers } : {}),
    ...(takeOverDns ? { takeOver: takeOverDns } : {}),
  });
}
