/** Store, API server, controllers and scheduler, wired together in one process. */
import { type ApiServer, type Extension, type StaticToken, startApiServer } from "#apiserver";
import { forComponent, type World } from "#base";
import { type Client, createClient, createInformers, type Informers } from "#client";
import { type ControllerOptions, controllers, startControllers } from "#controllers";
import { type KubeSchedulerConfiguration, settingsOf, startScheduler } from "#scheduler";
import type { Store } from "#store";
import { type Running, stopAll } from "./components.ts";
import { clusterDomain } from "./config.ts";
import type { Credentials } from "./credentials.ts";
import { startAsLeader } from "./leading.ts";

export interface ControlPlaneOptions {
  world: World;
  store: Store;
  credentials: Credentials;
  /** Absent: reached from inside this process only. */
  listen?: { host: string; port: number };
  /** One of each family; the first one's is the default. */
  serviceCidrs: readonly string[];
  /** Where the `kubernetes` Service leads. */
  advertiseAddress: string;
  tokens?: readonly StaticToken[];
  extensions?: readonly Extension[];
  /** Five minutes without. */
  compactEveryMs?: number;
  /** Absent: the default profile alone. */
  scheduler?: KubeSchedulerConfiguration;
  /** Absent: the controller's own defaults. */
  loadBalancer?: ControllerOptions["loadBalancer"];
  nodeRanges?: ControllerOptions["nodeRanges"];
  signingDurationMs?: ControllerOptions["signingDurationMs"];
  /** Other servers work on the same store: controllers and scheduler run where they lead. */
  isShared?: boolean;
}

export interface ControlPlane extends Running {
  readonly apiServer: ApiServer;
  /** A client of its own for each component: the API server sees who asks. */
  clientOf(username: string, groups?: readonly string[]): Client;
  /** One local copy of each resource for all components of this process. */
  readonly informers: Informers;
}

export const serviceAccountIssuer = `https://kubernetes.default.svc.${clusterDomain}`;
const serviceAccountGroups = ["system:serviceaccounts", "system:serviceaccounts:kube-system"];
const nodePortRange = { from: 30000, to: 32767 };

/** The component behind a user, as it names itself in what it writes. */
function componentOf(username: string): string {
  if (username.startsWith("system:node:")) return "kubelet";
  if (username.startsWith("system:serviceaccount:kube-system:")) return "kube-controller-manager";
  return username.startsWith("system:") ? username.slice("system:".length) : "knarr";
}

export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { world, credentials } = options;
  const started: Running[] = [];
  const apiServer = await startApiServer({
    world,
    store: options.store,
    // The authority goes along in the chain: a joining node knows it by its fingerprint.
    tls: { cert: credentials.server.cert + credentials.ca.cert, key: credentials.server.key },
    clientCa: credentials.ca.cert,
    ...(options.listen ? { listen: options.listen } : {}),
    serviceCidrs: options.serviceCidrs,
    nodePortRange,
    advertiseAddress: options.advertiseAddress,
    serviceAccountKey: credentials.serviceAccountKey,
    issuer: serviceAccountIssuer,
    tokens: options.tokens ?? [],
    extensions: options.extensions ?? [],
    ...(options.compactEveryMs ? { compactEveryMs: options.compactEveryMs } : {}),
    components: controllers,
    frontProxy: credentials.frontProxy,
    kubeletClient: { ...credentials.kubeletClient, ca: credentials.ca.cert },
  });
  started.push(apiServer);
  const clientOf = (username: string, groups: readonly string[] = []) =>
    createClient(apiServer.transport({ username, groups: [...groups, "system:authenticated"] }), {
      userAgent: componentOf(username),
    });
  const stopping = new AbortController();
  const informers = createInformers(
    clientOf("system:knarr", ["system:masters"]),
    forComponent(world, "informers"),
  );
  informers.start(stopping.signal);
  started.push({ stop: async () => stopping.abort() });
  const identity = `${options.advertiseAddress}_${world.random.uuid()}`;
  const once = async (name: string, start: () => Promise<Running>) => {
    if (!options.isShared) return start();
    return startAsLeader({ world, client: clientOf(`system:${name}`), name, identity }, start);
  };
  try {
    started.push(
      await once("kube-controller-manager", () =>
        startControllers({
          client: clientOf("system:kube-controller-manager"),
          clientOf: (name) => clientOf(`system:serviceaccount:kube-system:${name}`, serviceAccountGroups),
          world,
          informers,
          rootCa: credentials.ca.cert,
          authority: credentials.ca,
          ...(options.loadBalancer ? { loadBalancer: options.loadBalancer } : {}),
          ...(options.nodeRanges ? { nodeRanges: options.nodeRanges } : {}),
          ...(options.signingDurationMs ? { signingDurationMs: options.signingDurationMs } : {}),
        }),
      ),
    );
    started.push(
      await once("kube-scheduler", () =>
        startScheduler({
          client: clientOf("system:kube-scheduler"),
          world,
          informers,
          ...(options.scheduler ? settingsOf(options.scheduler) : {}),
        }),
      ),
    );
  } catch (error) {
    await stopAll(started);
    throw error;
  }
  return { apiServer, clientOf, informers, stop: () => stopAll(started) };
}
