/**
 * The kubelet: runs the pods the API assigns to this node, tells the API how they are, and serves logs, exec, attach
 * and port-forward. It may be stopped and started at any time: containers go on, and it finds them again.
 * https://kubernetes.io/docs/reference/command-line-tools-reference/kubelet/
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type corev1, nodes, pods, services } from "#api";
import { messageOf, Rate, type World } from "#base";
import { type Client, createEventRecorder, createInformers, type Informer } from "#client";
import {
  type ContainerRuntime,
  normalizeReference,
  type RuntimeVersion,
  type VolumePlugin,
} from "#contracts";
import { createCgroups } from "./cgroups.ts";
import { clientFor, podSettings, worldFor } from "./config/effect.ts";
import { kubeletConfigurationOf } from "./config/file.ts";
import { defaultConfig, type KubeletConfig } from "./config/settings.ts";
import { createCredentialProviders } from "./credential-providers.ts";
import { createEvictionManager } from "./eviction/manager.ts";
import type { PressureKind } from "./eviction/signals.ts";
import { figuresOf, whatIsGiven } from "./given.ts";
import { keepHouse, removeOrphans } from "./housekeeping.ts";
import { createImageCollector } from "./image-gc.ts";
import { ImagePuller } from "./image-puller.ts";
import { createImageRecords } from "./image-records.ts";
import { meteredCgroups, meteredRuntime } from "./metered-runtime.ts";
import { kubeletMetrics } from "./metrics.ts";
import { allocatableOf, type Machine, nodeShareOf, readMachine } from "./node-info.ts";
import { type NodeReporter, nodeReference, startNodeReporter } from "./node-status.ts";
import { createObjectSource } from "./object-source.ts";
import { type OomLog, openOomLog } from "./oom-log.ts";
import { startPluginWatcher } from "./plugins/watcher.ts";
import {
  containerReference,
  type KubeletPaths,
  kubeletPaths,
  type PodContext,
  readText,
} from "./pod-context.ts";
import { type DnsSettings, parseResolvConf } from "./pod-network-config.ts";
import { stateReader } from "./pod-state.ts";
import { type PodWorkers, startPodWorkers } from "./pod-workers.ts";
import { createProbeManager } from "./probes/manager.ts";
import { servePodResources } from "./resources/pod-resources.ts";
import { followRuntime } from "./runtime-events.ts";
import { type KubeletServer, type KubeletServerOptions, startKubeletServer } from "./server/server.ts";
import { shutdownPeriods } from "./shutdown/groups.ts";
import { createLogind } from "./shutdown/logind.ts";
import { createShutdownManager } from "./shutdown/manager.ts";
import { isStatic } from "./static/manifest.ts";
import { createStaticPods, type StaticPods } from "./static/static-pods.ts";
import { createNodeStats, type NodeStats } from "./stats/node-stats.ts";
import { createStatusManager } from "./status-manager.ts";
import { RuntimeTurns } from "./turns.ts";
import { followingOf } from "./volumes/following.ts";
import { imageVolume } from "./volumes/image.ts";
import { createLocalFolders } from "./volumes/local-folders.ts";
import { createNodeVolumes, type NodeVolumes } from "./volumes/node-volumes.ts";
import { createTokenSource, type TokenSource } from "./volumes/tokens.ts";

export interface KubeletOptions {
  client: Client;
  world: World;
  runtime: ContainerRuntime;
  nodeName: string;
  /** The first is the node's address; the others are further families. */
  nodeAddress: string | readonly string[];
  clusterDns: string | readonly string[];
  clusterDomain: string;
  podCidr?: string | readonly string[];
  /** The pods' folders lie below. */
  dataDir: string;
  /** The pods' logs lie below, in `pods/`. Default: `logs` under `dataDir`. */
  logDir?: string;
  /** Folders that serve as PersistentVolumes lie below. Default: `local-volumes` under `dataDir`. */
  localVolumesDir?: string;
  /** Programs that have logins of registries, and which for which; default: `credential-providers` under `dataDir`. */
  credentialProvidersDir?: string;
  /** Used by every pod though no container tells so: it stays. */
  sandboxImage?: string;
  /** Absent: no server; logs and exec are not offered. */
  server?: Pick<KubeletServerOptions, "host" | "port" | "tls" | "clientCa">;
  volumePlugins?: readonly VolumePlugin[];
  /** Waited for before a pod's containers start; it must not fail. */
  admitToNetwork?(pod: Readonly<corev1.Pod>, addresses: readonly string[]): Promise<void>;
  config?: Partial<KubeletConfig>;
}

export interface Kubelet {
  /** Resolves when the node is registered and its first status is written. */
  readonly registered: Promise<void>;
  /** Where the server listens; 0 without one. */
  readonly port: number;
  /** Reports the node's state at once: for whoever has just made the network ready. */
  refreshNode(): void;
  /** Containers go on. */
  stop(): Promise<void>;
}

const listOf = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === "string" ? [value] : value;

/** systemd's stub answers only on the node itself: behind it stand the real servers. */
async function nodeResolvConf(path: string): Promise<string> {
  const text = await readText(path);
  const behind = "/run/systemd/resolve/resolv.conf";
  return /^nameserver\s+127\.0\.0\.53/m.test(text) ? (await readText(behind)) || text : text;
}

interface Late {
  pod(uid: string): void;
  node(): void;
  isActive(uid: string): boolean;
  pressures(): ReadonlySet<PressureKind>;
  isShuttingDown(): boolean;
}

const notYet = (): Late => ({
  pod: () => {},
  node: () => {},
  isActive: () => true,
  pressures: () => new Set(),
  isShuttingDown: () => false,
});

interface Parts {
  context: PodContext;
  machine: Machine;
  version: RuntimeVersion;
  volumes: NodeVolumes;
  oomLog: OomLog;
  /** Set once the parts exist: probes and volumes wake workers and reporter, eviction knows what the node is short of. */
  wake: Late;
}

function imagePuller(
  { runtime, client, dataDir, credentialProvidersDir }: KubeletOptions,
  config: KubeletConfig,
  world: World,
  paths: KubeletPaths,
  tokens: TokenSource,
): ImagePuller {
  const dir = credentialProvidersDir ?? join(dataDir, "credential-providers");
  return new ImagePuller({
    runtime,
    clock: world.clock,
    parallelMax: config.maxParallelImagePulls || Number.POSITIVE_INFINITY,
    rate: new Rate(world.clock, config.registryPullQps, config.registryBurst),
    records: createImageRecords(paths.imageRecords, config, world),
    loginsFor: createCredentialProviders({ dir, world, client, tokens }).loginsFor,
  });
}

async function dnsSettings(config: KubeletConfig): Promise<DnsSettings> {
  return {
    clusterDns: config.clusterDns,
    clusterDomain: config.clusterDomain,
    node: parseResolvConf(await nodeResolvConf(config.resolvConf)),
  };
}

async function assemble(
  options: KubeletOptions,
  config: KubeletConfig,
  world: World,
  informers: ReturnType<typeof createInformers>,
  statics: StaticPods,
): Promise<Parts> {
  const { runtime, nodeName } = options;
  const client = clientFor(options.client, config, world);
  const nodeAddresses = listOf(options.nodeAddress);
  const version = await runtime.version();
  const machine = await readMachine(options.dataDir, version);
  const paths = kubeletPaths(options.dataDir, options.logDir ?? join(options.dataDir, "logs"));
  const rate = new Rate(world.clock, config.eventQps, config.eventBurst);
  const recorder = createEventRecorder({ ...options, world, component: "kubelet", host: nodeName, rate });
  const objects = createObjectSource(client);
  const wake = notYet();
  const given = whatIsGiven({ ...options, client, config, world, machine, version, wake });
  const allocatable = () => ({ ...allocatableOf(machine, config), ...given.devices.allocatable() });
  const probes = createProbeManager({
    runtime,
    world,
    wake: (uid) => wake.pod(uid),
    say: (pod, container, kind, reason, message) =>
      recorder.record(containerReference(pod, container), kind, reason, message),
  });
  const tokens = createTokenSource(client, world.clock);
  const volumes = await createNodeVolumes({
    more: [imageVolume(runtime), ...(options.volumePlugins ?? [])],
    recorder,
    dataDir: options.dataDir,
    logDir: paths.logRoot,
    podsDir: paths.podsDir,
    inUseChanged: () => wake.node(),
    client,
    objects,
    tokens,
    world,
    nodeName,
    allocatable,
    podDir: paths.podDir,
    wake: (uid) => wake.pod(uid),
    following: followingOf(config),
    measureMs: config.volumeStatsMs,
  });
  const oomLog = openOomLog();
  const metrics = kubeletMetrics(world.metrics);
  const context: PodContext = {
    client,
    world,
    metrics,
    runtime,
    runtimeName: version.runtimeName,
    reader: stateReader(runtime, oomLog.has),
    turns: new RuntimeTurns(world.clock, machine.cpus),
    images: imagePuller(options, config, world, paths, tokens),
    volumes: volumes.manager,
    objects,
    probes,
    statuses: createStatusManager(client, world, (pod) => (isStatic(pod) ? statics.mirrorFor(pod) : pod)),
    cgroups: meteredCgroups(createCgroups(), metrics, world.clock),
    ...given,
    recorder,
    services: informers.of(services),
    ...podSettings(options.dataDir, config),
    dns: () => dnsSettings(config),
    admitToNetwork: async (pod, addresses) => options.admitToNetwork?.(pod, addresses),
    nodeName,
    nodeAddresses,
    figures: figuresOf(machine, config),
    allocatable,
    pressures: () => wake.pressures(),
    isShuttingDown: () => wake.isShuttingDown(),
    paths,
  };
  return { context, machine, version, volumes, oomLog, wake };
}

function reportNode(
  options: KubeletOptions,
  config: KubeletConfig,
  parts: Parts,
  workers: PodWorkers,
  told: Informer<corev1.Node>,
  port: number,
): NodeReporter {
  const { context, machine } = parts;
  const reporter = startNodeReporter({
    client: options.client,
    world: context.world,
    runtime: options.runtime,
    recorder: context.recorder,
    nodeName: options.nodeName,
    nodeAddresses: context.nodeAddresses,
    hostname: options.nodeName,
    labels: config.nodeLabels,
    podCidrs: listOf(options.podCidr),
    machine,
    config,
    node: () => told.byKey(options.nodeName),
    pressures: context.pressures,
    isShuttingDown: context.isShuttingDown,
    systemVictims: parts.oomLog.systemVictims,
    devices: context.devices,
    handlers: context.handlers,
    port,
    sinceRelistMs: workers.sinceRelistMs,
    volumesInUse: parts.volumes.volumesInUse,
  });
  told.on({ update: (node) => (isTakenForLost(node) ? reporter.refresh() : undefined) });
  return reporter;
}

/** What keeps the node from running out of what it has. */
function guardNode(
  options: KubeletOptions,
  config: KubeletConfig,
  { context, wake }: Parts,
  workers: PodWorkers,
  stats: NodeStats,
  reporter: NodeReporter,
) {
  const warn = (reason: string, message: string) =>
    context.recorder.record(nodeReference(options.nodeName), "Warning", reason, message);
  const usedBeside = () =>
    [
      ...(options.sandboxImage ? [options.sandboxImage] : []),
      ...workers
        .list()
        .flatMap(({ spec }) => (spec.volumes ?? []).map(({ image }) => image?.reference ?? "")),
    ].map((name) => (name ? normalizeReference(name) : ""));
  const diskPath = options.dataDir;
  const images = createImageCollector({ context, policy: config, diskPath, usedBeside, warn });
  const changed = reporter.refresh;
  const eviction = createEvictionManager({
    context,
    workers,
    stats,
    images,
    config,
    diskPath,
    warn,
    changed,
  });
  wake.pressures = eviction.pressures;
  const shutdown = createShutdownManager({
    world: context.world,
    periods: shutdownPeriods(config),
    workers,
    logind: createLogind(config.cgroupRoot),
    say: (message) => context.recorder.record(nodeReference(options.nodeName), "Normal", "Shutdown", message),
    changed,
  });
  wake.isShuttingDown = () => shutdown.isShuttingDown;
  return { images, eviction, shutdown };
}

/** Drivers are taken once there is a node that can say so. */
async function followPlugins(
  { context, volumes }: Parts,
  { dataDir }: KubeletOptions,
  { registered }: NodeReporter,
  workers: Pick<PodWorkers, "list">,
  signal: AbortSignal,
): Promise<void> {
  const dir = join(dataDir, "plugins_registry");
  await mkdir(dir, { recursive: true, mode: 0o750 });
  await registered;
  if (signal.aborted) return;
  await volumes
    .announce()
    .catch((error: unknown) =>
      context.world.log.warn({ error: messageOf(error) }, "the node's CSINode could not be written"),
    );
  await context.devices
    .start()
    .catch((error: unknown) =>
      context.world.log.warn({ error: messageOf(error) }, "device plugins cannot make themselves known"),
    );
  const agents = await servePodResources(dataDir, context, workers.list).catch((error: unknown) =>
    context.world.log.warn({ error: messageOf(error) }, "what pods have cannot be asked for"),
  );
  const watcher = startPluginWatcher({
    dir,
    world: context.world,
    handlers: {
      CSIPlugin: volumes.drivers,
      DevicePlugin: context.devices.handler,
      DRAPlugin: context.claims.handler,
    },
  });
  if (!signal.aborted)
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  await watcher.stop();
  context.devices.stop();
  agents?.stop();
}

function serve(
  options: KubeletOptions,
  config: KubeletConfig,
  parts: Pick<KubeletServerOptions, "context" | "workers" | "stats" | "world">,
): Promise<KubeletServer> | undefined {
  const localFolders = createLocalFolders(options.localVolumesDir ?? join(options.dataDir, "local-volumes"));
  if (!options.server) return undefined;
  return startKubeletServer({
    ...options.server,
    ...parts,
    host: config.address,
    port: config.port,
    settings: config,
    ...(config.showsSystemLogs ? { systemLogsDir: "/var/log" } : {}),
    localFolders,
    configuration: kubeletConfigurationOf(config),
  });
}

/** Nobody has heard of the node for a while; it hears so itself. */
function isTakenForLost({ status }: Readonly<corev1.Node>): boolean {
  return status?.conditions?.some((each) => each.type === "Ready" && each.status === "Unknown") ?? false;
}

/** Where a setting names nothing, the distribution does. */
function configOf({ clusterDns, clusterDomain, config, server }: KubeletOptions): KubeletConfig {
  const all = { ...defaultConfig, clusterDns: listOf(clusterDns), clusterDomain, ...config };
  return { ...all, address: all.address || (server?.host ?? ""), port: all.port || (server?.port ?? 0) };
}

/** What is asked of the runtime is counted. */
function metered(options: KubeletOptions, world: World): KubeletOptions {
  const metrics = kubeletMetrics(world.metrics);
  return { ...options, runtime: meteredRuntime(options.runtime, metrics, world.clock) };
}

function staticPodsOf(
  { nodeName, client, dataDir }: KubeletOptions,
  config: KubeletConfig,
  world: World,
  node: () => Readonly<corev1.Node> | undefined,
): StaticPods {
  return createStaticPods({
    path: config.staticPodPath,
    checkMs: config.fileCheckMs,
    source: { url: config.staticPodUrl, headers: config.staticPodUrlHeaders, checkMs: config.httpCheckMs },
    sourceFile: join(dataDir, "static-pods-of-url"),
    nodeName,
    client,
    world,
    node,
  });
}

export async function startKubelet(given: KubeletOptions): Promise<Kubelet> {
  const config = configOf(given);
  const world = worldFor(given.world, config);
  const options = metered(given, world);
  await mkdir(join(options.dataDir, "pods"), { recursive: true, mode: 0o750 });
  const ending = new AbortController();
  const informers = createInformers(options.client, world);
  const nodeInformer = informers.of(nodes, { fieldSelector: `metadata.name=${options.nodeName}` });
  const node = () => nodeInformer.byKey(options.nodeName);
  const statics = staticPodsOf(options, config, world, node);
  const parts = await assemble(options, config, world, informers, statics);
  const { context } = parts;
  const podInformer = informers.of(pods, { fieldSelector: `spec.nodeName=${options.nodeName}` });
  informers.start(ending.signal);
  await Promise.all(
    [statics, context.devices, context.claims, context.cpus, context.memory].map((each) => each.load()),
  );
  const workers = startPodWorkers(context, world, podInformer, node, statics);
  parts.wake.pod = workers.wake;
  parts.wake.isActive = workers.isActive;
  statics.start(workers);
  const { cpus } = parts.machine;
  const stats = createNodeStats({ context, pods: workers.list, diskPath: options.dataDir, cpus });
  let server: KubeletServer | undefined;
  try {
    server = await serve(options, config, { context, workers, stats, world });
  } catch (error) {
    ending.abort();
    await statics.stop();
    await workers.stop();
    parts.volumes.stop();
    parts.oomLog.close();
    throw error;
  }
  const port = server?.port ?? 0;
  const reporter = reportNode(options, config, parts, workers, nodeInformer, port);
  parts.wake.node = reporter.refresh;
  const guards = guardNode(options, config, parts, workers, stats, reporter);
  const house = Promise.all([
    podInformer
      .waitForSync()
      .then(() => (ending.signal.aborted ? undefined : removeOrphans(context, workers)))
      .catch((error: unknown) =>
        world.log.warn({ error: messageOf(error) }, "remains of pods could not be removed"),
      ),
    keepHouse(context, workers, config, guards.images, nodeShareOf(parts.machine, config), ending.signal),
    guards.eviction.run(ending.signal),
    guards.shutdown.run(ending.signal),
    followRuntime(context, workers, ending.signal),
    followPlugins(parts, options, reporter, workers, ending.signal).catch((error: unknown) =>
      world.log.warn({ error: messageOf(error) }, "plugins are not looked for"),
    ),
  ]);
  return {
    registered: reporter.registered,
    port,
    refreshNode: reporter.refresh,
    async stop() {
      ending.abort();
      await server?.stop();
      await statics.stop();
      await workers.stop();
      parts.volumes.stop();
      parts.oomLog.close();
      await Promise.all([reporter.stop(), house, context.statuses.stop()]);
      context.probes.stop();
      await context.recorder.stop();
    },
  };
}
