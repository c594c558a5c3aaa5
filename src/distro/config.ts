/** What a cluster on this machine is: a name, a folder, addresses and ports, kept in `cluster.json`. */
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { lstat, mkdir, rm, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { codeOf, UserError, writeDurably } from "#base";
import { parseDatastore } from "#store";
import { type SecondFamily, secondFamilyOf } from "./families.ts";

export const defaultName = "knarr";

/** Where clusters live by default: one folder each, or a link to the folder the user chose. */
export function clustersRoot(): string {
  return process.getuid?.() === 0 ? "/var/lib/knarr" : join(homedir(), ".local", "share", "knarr");
}

export const clusterDomain = "cluster.local";

export interface ClusterConfig {
  name: string;
  /** `agent`: this folder is a node of a cluster whose control plane is elsewhere. */
  role: "server" | "agent";
  /** Clusters on one machine differ in their slot: it gives each its own addresses and ports. */
  slot: number;
  /** Pods of the whole cluster. */
  clusterCidr: string;
  /** Pods of this node. */
  podCidr: string;
  serviceCidr: string;
  /** The `kubernetes` Service and cluster DNS inside `serviceCidr`. */
  serviceAddress: string;
  dnsAddress: string;
  /** Addresses for Services of type LoadBalancer whose ports are not free on the nodes. */
  balancerCidr: string;
  apiPort: number;
  kubeletPort: number;
  dnsPort: number;
  /** Where Ingresses are served. */
  httpPort: number;
  httpsPort: number;
  nodeName: string;
  nodeAddress: string;
  /** How many simulated nodes stand in for real ones; 0 means this machine is the node. */
  simulatedNodes: number;
  /** Real nodes on this machine beside itself, each in a network namespace. */
  localNodes: number;
  /** Pods and Services have addresses of both families. */
  ipv6?: SecondFamily;
  /** Somebody else brings the pods' network. */
  cni?: "none";
  /** How packets of pods come to other nodes; absent: routes, and VXLAN where a router stands between. */
  backend?: "wireguard";
  /** Of an agent: where the server's cluster DNS answers. */
  dnsUpstream?: string;
  /** Where the state is, as `--datastore` says it; absent: in the cluster's own folder. */
  datastore?: string;
  /** The longest life of certificates that are signed for others: nodes, and who asks through the API. Absent: a year. */
  signingDurationMs?: number;
}

/** More clusters than this on one machine is a mistake; it also keeps every derived address valid. */
const slotsMax = 50;

export interface ConfigOptions {
  name: string;
  slot: number;
  nodeName: string;
  nodeAddress: string;
  simulatedNodes?: number;
  apiPort?: number;
  httpPort?: number;
  httpsPort?: number;
  /** Whether the cluster has both families, or already has. */
  ipv6?: boolean | SecondFamily;
}

/** The defaults of a slot: kubeadm's own addresses for the first cluster, its neighbours for the next ones. */
export function configFor(options: ConfigOptions): ClusterConfig {
  const { slot } = options;
  return {
    name: options.name,
    role: "server",
    slot,
    clusterCidr: `10.${244 - slot}.0.0/16`,
    podCidr: `10.${244 - slot}.0.0/24`,
    serviceCidr: `10.${96 + slot}.0.0/16`,
    serviceAddress: `10.${96 + slot}.0.1`,
    dnsAddress: `10.${96 + slot}.0.10`,
    // Nobody's, but for the testing of networks: https://www.rfc-editor.org/rfc/rfc2544
    balancerCidr: `198.18.${slot}.0/24`,
    apiPort: options.apiPort ?? 6443 + slot,
    kubeletPort: 10250 + slot * 10,
    dnsPort: 10053 + slot * 10,
    httpPort: options.httpPort ?? (slot === 0 ? 80 : 8080 + slot),
    httpsPort: options.httpsPort ?? (slot === 0 ? 443 : 8443 + slot),
    nodeName: options.nodeName,
    nodeAddress: options.nodeAddress,
    simulatedNodes: options.simulatedNodes ?? 0,
    localNodes: 0,
    ...(options.ipv6 ? { ipv6: secondFamilyOf(slot) } : {}),
  };
}

/** Throws a `UserError` for what cannot be a place of the state. */
export function checkDatastore(text: string): void {
  parseDatastore(text);
}

/** Throws a `UserError` for what cannot be a folder, a context and a host name at once. */
export function checkName(name: string): void {
  if (/^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/.test(name)) return;
  throw new UserError(
    `"${name}" cannot be a cluster's name`,
    "use at most 32 lower-case letters, digits and dashes, beginning and ending with a letter or digit",
  );
}

/** The cgroup above all pods of a node, in every hierarchy: clusters and nodes on one machine do not meet there. */
export function cgroupRootOf({
  name,
  role,
  nodeName,
}: Pick<ClusterConfig, "name" | "role" | "nodeName">): string {
  return role === "agent" ? `/knarr-${name}.${nodeName}` : `/knarr-${name}`;
}

/** Every file and folder of one cluster. */
export interface ClusterPaths {
  dir: string;
  config: string;
  store: string;
  tls: string;
  kubeconfig: string;
  log: string;
  pid: string;
  /** Why the server ended, when it is something the user can mend. */
  failure: string;
  containerd: string;
  ingress: string;
  /** Who answers for names while there is no server. */
  dns: string;
  cniConf: string;
  /** The CNI plugins, where they are not the machine's alone. */
  cniBin: string;
  cniState: string;
  kubelet: string;
  /** The kubelet's settings, where the user gave any, and a folder of what holds instead. */
  kubeletConfig: string;
  kubeletDropIns: string;
  /** The scheduler's, likewise. */
  schedulerConfig: string;
  /** Pods of this node alone, as files. */
  staticPods: string;
  podLogs: string;
  /** Folders of this node that serve as PersistentVolumes. */
  volumes: string;
  registries: string;
  /** Programs that have logins of registries. */
  credentialProviders: string;
}

export function pathsOf(name: string, dataDir?: string): ClusterPaths {
  // Mounts are listed under real paths, and a cluster may be known by a link to its folder.
  const dir = realOf(resolve(dataDir ?? join(clustersRoot(), name)));
  const inDir = (...parts: string[]) => join(dir, ...parts);
  return {
    dir,
    config: inDir("cluster.json"),
    store: inDir("store.db"),
    tls: inDir("tls"),
    kubeconfig: inDir("kubeconfig"),
    log: inDir("knarr.log"),
    pid: inDir("server.pid"),
    failure: inDir("failure.json"),
    containerd: inDir("containerd"),
    ingress: inDir("ingress"),
    dns: inDir("dns.pid"),
    cniConf: inDir("cni", "conf"),
    cniBin: inDir("cni", "bin"),
    cniState: inDir("cni", "state"),
    kubelet: inDir("kubelet"),
    kubeletConfig: inDir("kubelet.yaml"),
    kubeletDropIns: inDir("kubelet.conf.d"),
    schedulerConfig: inDir("scheduler.yaml"),
    staticPods: inDir("static-pods"),
    podLogs: inDir("pod-logs"),
    volumes: inDir("volumes"),
    registries: inDir("registries"),
    credentialProviders: inDir("credential-providers"),
  };
}

export function readConfig(paths: ClusterPaths): ClusterConfig | undefined {
  let text: string;
  try {
    text = readFileSync(paths.config, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as ClusterConfig;
  } catch {
    throw new UserError(
      `${paths.config} is not valid JSON`,
      `restore the file; where that cannot be done, end what runs below ${paths.dir} and remove that folder`,
    );
  }
}

export async function writeConfig(paths: ClusterPaths, config: ClusterConfig): Promise<void> {
  await mkdir(paths.dir, { recursive: true, mode: 0o711 });
  await writeDurably(paths.config, `${JSON.stringify(config, null, 2)}\n`, 0o644);
}

/** Makes a cluster in a folder of the user's choice known to `status` and to the choice of slots. */
export async function linkCluster(name: string, paths: ClusterPaths): Promise<void> {
  const link = join(clustersRoot(), name);
  if (link === paths.dir || realOf(link) === realOf(paths.dir)) return;
  if (readConfig(pathsOf(name))) {
    throw new UserError(`there is a cluster "${name}" in ${realOf(link)} already`, "use another --name");
  }
  await mkdir(clustersRoot(), { recursive: true });
  await rm(link, { force: true });
  await symlink(paths.dir, link);
}

/** The opposite; a folder of its own is left alone. */
export async function unlinkCluster(name: string): Promise<void> {
  const link = join(clustersRoot(), name);
  const isLink = await lstat(link).then(
    (stat) => stat.isSymbolicLink(),
    () => false,
  );
  if (isLink) await rm(link);
}

function realOf(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}

/** The clusters of this machine, running or not. */
export function listClusters(): ClusterConfig[] {
  let names: string[];
  try {
    names = readdirSync(clustersRoot());
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
  return names.sort().flatMap((name) => readConfig(pathsOf(name)) ?? []);
}

/** Whether another cluster of the machine has its slot: two were begun at the same moment. */
export function sharesSlot({ name, slot }: ClusterConfig, clusters: readonly ClusterConfig[]): boolean {
  return clusters.some((other) => other.slot === slot && other.name !== name);
}

/** The lowest slot that no cluster of this machine has. */
export function freeSlot(clusters: readonly ClusterConfig[]): number {
  const taken = new Set(clusters.map((c) => c.slot));
  for (let slot = 0; slot < slotsMax; slot++) if (!taken.has(slot)) return slot;
  throw new UserError(
    `there are ${slotsMax} clusters on this machine already`,
    "remove one with: knarr down --name NAME --purge",
  );
}
