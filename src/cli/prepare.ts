/** From the options of `up` and `server` to a cluster's configuration on this machine. */
import { rm } from "node:fs/promises";
import { goDurationMs, systemClock, systemRandom, UserError } from "#base";
import {
  type ClusterConfig,
  type ClusterPaths,
  checkDatastore,
  checkName,
  configFor,
  freePort,
  freeSlot,
  hasIpv6,
  isPortFree,
  isStandbyAnswering,
  keepKubeletConfig,
  keepSchedulerConfig,
  linkCluster,
  listClusters,
  machineAddress,
  machineAddress6,
  machineName,
  pathsOf,
  readConfig,
  sharesSlot,
  unlinkCluster,
  writeConfig,
} from "#distro";
import { checkWireguard } from "#network";

export interface ClusterRequest {
  name: string;
  dataDir?: string;
  simulate?: boolean;
  /** Default: as many as the cluster has. */
  nodes?: number;
  port?: number;
  /** Of Ingresses. */
  httpPort?: number;
  httpsPort?: number;
  datastore?: string;
  /** Both families of addresses. */
  ipv6?: boolean;
  cni?: string;
  /** How packets of pods come to other nodes. */
  backend?: string;
  clusterSigningDuration?: string;
  kubeletConfig?: string;
  kubeletConfigDir?: string;
  schedulerConfig?: string;
}

/** Each is an agent and a containerd of its own: some 150 MB. */
const realNodesMax = 100;

const anyAddress = "0.0.0.0";

/** Commands that begin clusters at the same moment give way to each other for at most so long, and so often. */
const giveWayMaxMs = 300;
const triesMax = 100;

/** The configuration of the cluster named, made and kept if there is none. Throws `UserError`. */
export async function prepareCluster(request: ClusterRequest): Promise<ClusterConfig> {
  checkName(request.name);
  const paths = pathsOf(request.name, request.dataDir);
  const isNew = readConfig(paths) === undefined;
  for (let i = 0; i < triesMax; i++) {
    const config = await chooseConfig(request, paths);
    await writeConfig(paths, config);
    await linkCluster(config.name, paths);
    // Whoever looks now sees it, and gives way: what nobody has taken at this moment stays ours.
    if (!isNew || !sharesSlot(config, listClusters())) return config;
    await rm(paths.config, { force: true });
    await unlinkCluster(config.name);
    await systemClock.sleep(systemRandom.int(giveWayMaxMs));
  }
  throw new UserError("too many clusters are begun at this moment", "try again");
}

async function chooseConfig(request: ClusterRequest, paths: ClusterPaths): Promise<ClusterConfig> {
  if (!request.simulate && (request.nodes ?? 1) > realNodesMax) {
    throw new UserError(
      `${request.nodes} real nodes on one machine are too many`,
      `ask for at most ${realNodesMax}, or use --simulate`,
    );
  }
  const known = readConfig(paths);
  const config = known ? { ...configFor(known), ...known } : freshConfig(request);
  // The machine may have moved since the last start.
  config.nodeAddress = request.simulate ? "127.0.0.1" : machineAddress();
  config.simulatedNodes = request.simulate ? (request.nodes ?? (known?.simulatedNodes || 1)) : 0;
  if (!request.simulate && request.nodes !== undefined) config.localNodes = request.nodes - 1;
  if (known && known.simulatedNodes > 0 !== config.simulatedNodes > 0) {
    const former = known.simulatedNodes > 0 ? "simulated nodes" : "a real node";
    throw new UserError(
      `the cluster "${known.name}" was made with ${former}`,
      "use another --name, or remove it: knarr down --purge",
    );
  }
  chooseNetwork(config, known, request.cni);
  await chooseBackend(config, known, request.backend);
  chooseFamilies(config, known, request);
  if (request.datastore !== undefined) {
    checkDatastore(request.datastore);
    if (known && known.datastore !== request.datastore) {
      throw new UserError(
        `the cluster "${known.name}" keeps its state elsewhere`,
        "use another --name, or remove it: knarr down --purge",
      );
    }
    config.datastore = request.datastore;
  }
  if (request.clusterSigningDuration !== undefined)
    config.signingDurationMs = signingDurationOf(request.clusterSigningDuration);
  if (request.httpPort !== undefined) config.httpPort = request.httpPort;
  if (request.httpsPort !== undefined) config.httpsPort = request.httpsPort;
  await moveToFreePorts(config, known ? config.apiPort : request.port);
  // Where DNS answers without a server, it does so in the place of this one's.
  if (!isStandbyAnswering(paths)) config.dnsPort = await freePort(config.dnsPort, anyAddress, true);
  if (request.port !== undefined) config.apiPort = request.port;
  if (!(await isPortFree(config.apiPort, anyAddress))) {
    throw new UserError(
      `port ${config.apiPort} is in use`,
      "choose another one with --port, or stop the program that listens there",
    );
  }
  await keepKubeletConfig({ file: request.kubeletConfig, dropIns: request.kubeletConfigDir }, paths);
  if (request.schedulerConfig !== undefined) await keepSchedulerConfig(request.schedulerConfig, paths);
  return config;
}

/** Nodes look at their certificates every ten seconds; the authority itself is for ten years. */
const signingDurationMinMs = 60_000;
const signingDurationMaxMs = 10 * 365 * 24 * 3600 * 1000;

function signingDurationOf(text: string): number {
  const ms = goDurationMs(text);
  if (ms !== undefined && ms >= signingDurationMinMs && ms <= signingDurationMaxMs) return Math.round(ms);
  throw new UserError(
    `--cluster-signing-duration ${text} is no life for a certificate`,
    "give a duration from 1m to 87600h, such as 720h",
  );
}

/** For good: pods have addresses of the network that they were made in. */
function chooseNetwork(
  config: ClusterConfig,
  known: ClusterConfig | undefined,
  cni: string | undefined,
): void {
  if (cni !== undefined && cni !== "knarr" && cni !== "none")
    throw new UserError(`--cni ${cni} is no choice`, "use knarr or none");
  if (known && cni !== undefined && (known.cni ?? "knarr") !== cni)
    throw new UserError(
      `the cluster "${known.name}" was made with --cni ${known.cni ?? "knarr"}`,
      "use another --name, or remove it: knarr down --purge",
    );
  if (cni === "none") config.cni = "none";
  if (config.cni === "none" && config.localNodes > 0)
    throw new UserError(
      "several nodes on one machine share its CNI folders, where another plugin keeps what is each node's own",
      "leave out --cni none, or use --nodes 1 and knarr agent on other machines",
    );
}

/** For good too: nodes that speak differently do not reach each other. */
async function chooseBackend(
  config: ClusterConfig,
  known: ClusterConfig | undefined,
  backend: string | undefined,
): Promise<void> {
  if (backend !== undefined && backend !== "wireguard")
    throw new UserError(`--backend ${backend} is no choice`, "use wireguard, or leave it out");
  if (backend && known && known.backend !== backend)
    throw new UserError(
      `the cluster "${known.name}" was made without --backend ${backend}`,
      "use another --name, or remove it: knarr down --purge",
    );
  if (backend && (config.cni === "none" || config.simulatedNodes > 0))
    throw new UserError(
      "the pods' network is not Knarr's with --cni none, and simulated nodes have none",
      "leave out --backend",
    );
  if (backend) config.backend = backend;
  if (config.backend) await checkWireguard();
}

/** For good too. The machine's own second address may come and go. */
function chooseFamilies(
  config: ClusterConfig,
  known: ClusterConfig | undefined,
  request: ClusterRequest,
): void {
  if (request.ipv6 && known && !known.ipv6)
    throw new UserError(
      `the cluster "${known.name}" was made without --ipv6`,
      "use another --name, or remove it: knarr down --purge",
    );
  if (!config.ipv6) return;
  if (request.simulate)
    throw new UserError("simulated nodes have no addresses of IPv6", "leave out --ipv6 or --simulate");
  if (!hasIpv6())
    throw new UserError(
      "this machine's kernel does not speak IPv6",
      "sysctl -w net.ipv6.conf.all.disable_ipv6=0 where it only is switched off, or leave out --ipv6",
    );
  const { nodeAddress: _, ...ipv6 } = config.ipv6;
  const nodeAddress = machineAddress6();
  config.ipv6 = { ...ipv6, ...(nodeAddress ? { nodeAddress } : {}) };
}

function freshConfig(request: ClusterRequest): ClusterConfig {
  return configFor({
    name: request.name,
    slot: freeSlot(listClusters()),
    nodeName: machineName(),
    nodeAddress: anyAddress,
    ...(request.ipv6 ? { ipv6: true } : {}),
  });
}

/** The node's ports are nobody's choice: where another program has taken one, the next free one does as well. */
async function moveToFreePorts(config: ClusterConfig, chosenApiPort: number | undefined): Promise<void> {
  if (chosenApiPort === undefined) config.apiPort = await freePort(config.apiPort, anyAddress);
  config.kubeletPort = await freePort(config.kubeletPort, anyAddress);
}
