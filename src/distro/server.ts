/** `knarr server`: one cluster in one process, from the first byte of its folder to the last handle closed. */
import { writeFile } from "node:fs/promises";
import { messageOf, releaseMemoryAfterWork, UserError, type World } from "#base";
import type { Client } from "#client";
import { startSimulator } from "#simulator";
import { openEmbeddedStore, openEtcdStore, parseDatastore, type Store } from "#store";
import { installAddons, installStorageClass } from "./addons.ts";
import { installDns } from "./cluster-dns.ts";
import { type Running, stopAll } from "./components.ts";
import type { ClusterConfig, ClusterPaths } from "./config.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { type Credentials, loadCredentials, loadStoredAuthority } from "./credentials.ts";
import { endDnsStandby, endUnreadyStandby, guardDns } from "./dns-standby.ts";
import { bothOf } from "./families.ts";
import { startNodeIngress } from "./ingress.ts";
import { forgetInstance, recordInstance, runningInstance } from "./instance.ts";
import { joinExtensions, joinGroup } from "./join.ts";
import { loadJoinSecret } from "./join-token.ts";
import { kubeconfigOf } from "./kubeconfig.ts";
import { startAsLeader } from "./leading.ts";
import { startClusterMetrics } from "./metrics.ts";
import { startNode, startNodeRoutes, startRuntime } from "./node.ts";
import { followNodeDns } from "./node-dns.ts";
import { nodeRangesOf } from "./node-ranges.ts";
import { schedulerSettings } from "./scheduler-settings.ts";

export interface ServerOptions {
  world: World;
  config: ClusterConfig;
  paths: ClusterPaths;
}

const sshPort = 22;

/** As kubeadm labels the node that carries the control plane: `kubectl get nodes` shows it as a role. */
const controlPlaneLabels = { "node-role.kubernetes.io/control-plane": "" };

/** Resolves when the API answers and the node's parts run; the node is Ready a moment later. */
export async function startServer(options: ServerOptions): Promise<Running> {
  const { paths, config, world } = options;
  const other = runningInstance(paths.pid);
  if (other) {
    throw new UserError(
      `the cluster "${config.name}" runs already (pid ${other.pid})`,
      `stop it with: knarr down --name ${config.name}`,
    );
  }
  recordInstance(paths.pid, false);
  const started: Running[] = [{ stop: () => forgetInstance(paths.pid) }];
  try {
    await endUnreadyStandby(paths, world.clock);
    const credentials = await loadCredentials(world, config, paths.tls);
    // The runtime needs no API server: both come up at once.
    const starting = config.simulatedNodes > 0 ? undefined : startRuntime(world, config, paths);
    starting?.catch(() => {});
    const controlPlane = await startStoredControlPlane(options, credentials, started);
    await writeKubeconfig(options, credentials, controlPlane);
    await installStorageClass(controlPlane.clientOf("system:knarr", ["system:masters"]));
    const runtime = await starting;
    if (runtime) {
      const client = controlPlane.clientOf(`system:node:${config.nodeName}`, ["system:nodes"]);
      const { informers } = controlPlane;
      const addons = installAddons(controlPlane.clientOf("system:knarr", ["system:masters"]), config);
      // Where the node's parts fail first, theirs is the reason to tell.
      addons.catch(() => {});
      const node = { world, config, paths, credentials, runtime, client, informers };
      const takeOverDns = async () => {
        await endDnsStandby(paths, world.clock);
        // What etcd holds others go on changing: an answer from a copy would be worse than none.
        if (config.datastore === undefined) started.push(guardDns(world, paths));
      };
      started.push(await startNode({ ...node, labels: controlPlaneLabels, takeOverDns }));
      started.push(await startNodeRoutes(node));
      const admin = controlPlane.clientOf("system:knarr", ["system:masters"]);
      started.push(await followNodeDns(world, admin, informers, () => installDns(admin, config)));
      started.push(await startNodeIngress(world, config, paths, controlPlane));
      await addons;
      const metricsClient = controlPlane.clientOf("system:knarr-metrics", ["system:masters"]);
      started.push(
        await startClusterMetrics({ world, config, credentials, client: metricsClient, informers }),
      );
    } else {
      started.push(await startSimulatedNodes(world, config, controlPlane));
    }
    started.push(releaseMemoryAfterWork(world.clock));
    recordInstance(paths.pid, true);
  } catch (error) {
    await stopAll(started);
    throw error;
  }
  return { stop: () => stopAll(started) };
}

/** As kube-apiserver's `--etcd-compaction-interval`, in seconds. */
function compactionOf(seconds: string | undefined): { compactEveryMs?: number } {
  if (!seconds) return {};
  if (!/^[1-9]\d{0,5}$/.test(seconds))
    throw new UserError(
      `KNARR_COMPACTION_INTERVAL is ${JSON.stringify(seconds)}`,
      "give a number of seconds, such as 300",
    );
  return { compactEveryMs: Number(seconds) * 1000 };
}

async function startStoredControlPlane(
  { world, config, paths }: ServerOptions,
  credentials: Credentials,
  started: Running[],
): Promise<ControlPlane> {
  const store = await openStore(world, config, paths);
  started.push({ stop: () => store.close() });
  const token = await loadJoinSecret(world.random, paths.tls);
  const scheduler = await schedulerSettings(world, paths);
  const client = (): Client => controlPlane.clientOf("system:knarr", ["system:masters"]);
  const ranges = nodeRangesOf({ config, client });
  const controlPlane: ControlPlane = await startControlPlane({
    world,
    store,
    credentials,
    listen: { host: "0.0.0.0", port: config.apiPort },
    serviceCidrs: bothOf(config, "serviceCidr"),
    ...(scheduler ? { scheduler } : {}),
    advertiseAddress: config.nodeAddress,
    ...(config.signingDurationMs ? { signingDurationMs: config.signingDurationMs } : {}),
    isShared: config.datastore !== undefined,
    loadBalancer: {
      reservedPorts: [sshPort, config.apiPort, config.kubeletPort, config.dnsPort],
      ingressPorts: [config.httpPort, config.httpsPort],
      fallback: [config.balancerCidr, config.ipv6?.balancerCidr ?? ""].join(" "),
    },
    ...compactionOf(process.env.KNARR_COMPACTION_INTERVAL),
    tokens: [{ token, username: "system:knarr-join", groups: [joinGroup] }],
    // Simulated nodes have a plan of their own.
    ...(config.simulatedNodes ? {} : { nodeRanges: ranges }),
    extensions: joinExtensions({
      config,
      authority: () => loadStoredAuthority(world, paths.tls),
      client,
      ranges,
    }),
  });
  started.push(controlPlane);
  return controlPlane;
}

async function openStore(world: World, { datastore }: ClusterConfig, paths: ClusterPaths): Promise<Store> {
  if (datastore === undefined) return openEmbeddedStore({ path: paths.store, world });
  try {
    return await openEtcdStore({ endpoints: parseDatastore(datastore), world });
  } catch (error) {
    if (error instanceof UserError) throw error;
    const mend = "start etcd, or look at the addresses and files in --datastore";
    throw new UserError(`cannot reach the datastore: ${messageOf(error)}`, mend, { cause: error });
  }
}

function startSimulatedNodes(
  world: World,
  config: ClusterConfig,
  controlPlane: ControlPlane,
): Running | Promise<Running> {
  const client = controlPlane.clientOf("system:knarr-simulator", ["system:masters"]);
  const { informers } = controlPlane;
  const start = () => startSimulator({ client, world, informers, nodes: config.simulatedNodes });
  if (config.datastore === undefined) return start();
  // The same nodes for all servers: one of them plays them.
  const identity = `${config.name}_${world.random.uuid()}`;
  return startAsLeader({ world, client, name: "knarr-simulator", identity }, start);
}

async function writeKubeconfig(
  { config, paths }: ServerOptions,
  credentials: Credentials,
  controlPlane: ControlPlane,
): Promise<void> {
  const text = kubeconfigOf({
    name: config.name,
    // By loopback: it stays good when the machine's address changes.
    url: `https://127.0.0.1:${controlPlane.apiServer.port}`,
    caCert: credentials.ca.cert,
    client: credentials.admin,
  });
  await writeFile(paths.kubeconfig, text, { mode: 0o600 });
}
