/** `knarr up`: from nothing to a Ready cluster that the user's kubectl speaks to. */
import { spawn } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { openSync, readFileSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { isStatus, nodes } from "#api";
import { systemClock as clock, createWorld, messageOf, silentLogger, UserError } from "#base";
import {
  type ClusterConfig,
  type ClusterConnection,
  type ClusterPaths,
  checkName,
  clusterDomain,
  connectCluster,
  contextName,
  installGatewayApi,
  installPackages,
  localNodesOf,
  missingExtras,
  missingForWireguard,
  pathsOf,
  preflight,
  readConfig,
  runningInstance,
  runtimeEndpointOf,
  stopLocalNodes,
  writeConfig,
} from "#distro";
import { startLocalNodes } from "../local-nodes.ts";
import { bold, dim, print, step } from "../output.ts";
import { type ClusterRequest, prepareCluster } from "../prepare.ts";
import { mergeIntoUserKubeconfig } from "../user-kubeconfig.ts";

interface UpOptions extends ClusterRequest {
  install: boolean;
  gatewayApi?: boolean;
}

const apiPatienceMs = 180_000;
const nodePatienceMs = 120_000;
const dnsPatienceMs = 30_000;
const pollMs = 25;

export async function up(options: UpOptions): Promise<void> {
  checkName(options.name);
  const paths = pathsOf(options.name, options.dataDir);
  const known = readConfig(paths);
  if (known && runningInstance(paths.pid)) {
    const config = await resize(known, paths, options.nodes);
    await mergeIntoUserKubeconfig(paths);
    print(`the cluster ${bold(config.name)} runs already`);
    if (options.gatewayApi) await addGatewayApi(config, paths);
    return printNextSteps(config);
  }
  const startMs = clock.monotonic();
  if (!options.simulate) await prepareMachine(paths, options);
  if (options.backend === "wireguard" && options.install) await installForWireguard();
  const config = await prepareCluster(options);
  const server = await step(clock, "starting the control plane", "control plane", () =>
    startServerProcess(config, paths),
  );
  const connection = await connectCluster(config, paths);
  try {
    await dropLocalNodes(known, config, paths, connection);
    const checkAgents = await startLocalNodes(config, paths);
    const started = { ...server, check: checkAgents };
    await step(clock, "waiting for the nodes", nodesLabel(config), () =>
      waitForNodes(connection, config, started),
    );
    if (config.simulatedNodes === 0) {
      await step(clock, "waiting for cluster DNS", "cluster DNS answers", () => waitForDns(config, server));
    }
  } finally {
    await connection.close();
  }
  if (options.gatewayApi) await addGatewayApi(config, paths);
  const file = await mergeIntoUserKubeconfig(paths);
  const seconds = ((clock.monotonic() - startMs) / 1000).toFixed(1);
  print(
    `\n${bold(config.name)} is ready in ${seconds} s. ${dim(`Context ${contextName(config.name)} is current in ${file}`)}`,
  );
  printNextSteps(config);
}

/** It stays: definitions are objects of the cluster. */
async function addGatewayApi(config: ClusterConfig, paths: ClusterPaths): Promise<void> {
  const { client, close } = await connectCluster(config, paths);
  try {
    await step(clock, "adding the Gateway API", "Gateway API", () => installGatewayApi(client, clock));
  } finally {
    await close();
  }
}

/** A running cluster's nodes as they should be: those that have ended run again, and their number may be another one. */
async function resize(
  known: ClusterConfig,
  paths: ClusterPaths,
  count: number | undefined,
): Promise<ClusterConfig> {
  if (known.simulatedNodes > 0) return known;
  const config = { ...known, localNodes: count === undefined ? (known.localNodes ?? 0) : count - 1 };
  if (config.localNodes !== known.localNodes) await writeConfig(paths, config);
  if (config.localNodes === 0 && !known.localNodes) return config;
  const connection = await connectCluster(config, paths);
  try {
    await dropLocalNodes(known, config, paths, connection);
    const check = await startLocalNodes(config, paths);
    const server = { paths, hasEnded: () => !runningInstance(paths.pid), check };
    await step(clock, "waiting for the nodes", nodesLabel(config), () =>
      waitForNodes(connection, config, server),
    );
  } finally {
    await connection.close();
  }
  return config;
}

/** Nodes that the cluster is not to have any more: they go with everything, pods too. */
async function dropLocalNodes(
  known: ClusterConfig | undefined,
  config: ClusterConfig,
  paths: ClusterPaths,
  connection: ClusterConnection,
): Promise<void> {
  const surplus = known ? localNodesOf(known, paths).slice(config.localNodes) : [];
  if (surplus.length === 0) return;
  const world = createWorld({ log: silentLogger });
  await step(clock, "removing nodes", `removed ${surplus.map(({ name }) => name).join(", ")}`, async () => {
    await stopLocalNodes(world, surplus, { purge: true });
    for (const { name } of surplus) {
      await connection.client.delete(nodes, { name }).catch((error: unknown) => {
        if (!isStatus(error, "NotFound")) throw error;
      });
    }
  });
}

function nodesLabel(config: ClusterConfig): string {
  if (config.simulatedNodes > 0) return `${config.simulatedNodes} simulated nodes are Ready`;
  if (config.localNodes > 0) return `${config.localNodes + 1} nodes are Ready`;
  if (config.cni === "none") return `node ${config.nodeName} waits for a CNI plugin`;
  return `node ${config.nodeName} is Ready`;
}

function printNextSteps(config: ClusterConfig): void {
  const name = config.name === "knarr" ? "" : ` --name ${config.name}`;
  // The launcher says how it was called: ./knarr in a clone, knarr where it is installed.
  const knarr = process.env.KNARR_COMMAND ?? "knarr";
  print(`
  kubectl get nodes
  kubectl apply -f examples/guestbook.yaml
  ${knarr} status
  ${knarr} down${name} --purge   ${dim("removes everything again")}`);
}

/** Looks at the machine, installs what is missing if that is allowed, and says the mend for all else at once. */
async function prepareMachine(
  paths: ClusterPaths,
  { install: mayInstall, kubeletConfig, kubeletConfigDir }: UpOptions,
): Promise<void> {
  const given = {
    kubeletConfig: kubeletConfig ?? paths.kubeletConfig,
    kubeletDropIns: kubeletConfigDir ?? paths.kubeletDropIns,
  };
  const hasRuntime = (await runtimeEndpointOf({ ...paths, ...given })) !== undefined;
  let findings = await preflight(paths.dir, hasRuntime);
  const packages = findings.flatMap((finding) => finding.packages ?? []);
  if (packages.length > 0 && mayInstall) {
    const list = packages.join(", ");
    await step(clock, `installing ${list}`, `installed ${list}`, () => installPackages(packages));
    findings = await preflight(paths.dir, hasRuntime);
  }
  if (mayInstall) await installExtras();
  if (findings.length === 0) return;
  const [only] = findings;
  if (findings.length === 1) throw new UserError(only!.problem, only!.mend);
  const lines = findings.map((finding) => `  ${finding.problem}\n    → ${finding.mend}`);
  throw new UserError(
    `this machine is not ready:\n${lines.join("\n")}`,
    "mend these, then run knarr up again",
  );
}

async function installForWireguard(): Promise<void> {
  const packages = missingForWireguard();
  const list = packages.join(", ");
  if (list) await step(clock, `installing ${list}`, `installed ${list}`, () => installPackages(packages));
}

/** Ingresses need them; a machine that cannot have them has a cluster without Ingresses. */
async function installExtras(): Promise<void> {
  const extras = missingExtras();
  if (extras.length === 0) return;
  const list = extras.join(", ");
  try {
    await step(clock, `installing ${list}`, `installed ${list}`, () => installPackages(extras));
  } catch (error) {
    print(dim(`Ingresses will not be served: ${messageOf(error)}`));
  }
}

/** The server as the process that started it sees it. */
interface ServerProcess {
  readonly paths: ClusterPaths;
  hasEnded(): boolean;
  /** Throws when another process that is waited for has ended. */
  check?(): void;
}

/** Starts `knarr server` in a session of its own and waits until the API server says it is ready. */
async function startServerProcess(config: ClusterConfig, paths: ClusterPaths): Promise<ServerProcess> {
  await mkdir(paths.dir, { recursive: true, mode: 0o711 });
  await rm(paths.failure, { force: true });
  await rm(paths.kubeconfig, { force: true });
  const log = openSync(paths.log, "a", 0o600);
  const args = [
    ...process.execArgv,
    process.argv[1]!,
    "server",
    "--name",
    config.name,
    "--data-dir",
    paths.dir,
  ];
  // As the launcher starts a server, see docs/decisions/0015-memory.md.
  const env = { ...process.env, MALLOC_ARENA_MAX: "2" };
  const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", log, log], env });
  child.unref();
  let ended = false;
  child.once("exit", () => {
    ended = true;
  });
  const server: ServerProcess = { paths, hasEnded: () => ended };
  await waitFor(apiPatienceMs, "the API server did not become ready", server, () => isReady(config, paths));
  return server;
}

async function isReady(config: ClusterConfig, paths: ClusterPaths): Promise<boolean> {
  // The server writes the kubeconfig when it listens: before that there is nobody, or somebody else, at the port.
  if (!(await readFile(paths.kubeconfig).catch(() => undefined))) return false;
  const connection = await connectCluster(config, paths);
  try {
    return (await connection.client.transport.send({ method: "GET", path: "/readyz" })).status === 200;
  } catch {
    // It ends again: why, it says in its last words.
    return false;
  } finally {
    await connection.close();
  }
}

/** Why the server ended, in its own words. */
function serverFailure(paths: ClusterPaths): UserError {
  try {
    const { message, mend } = JSON.parse(readFileSync(paths.failure, "utf8")) as {
      message: string;
      mend?: string;
    };
    return new UserError(message, mend ?? `see ${paths.log}`);
  } catch {
    return new UserError("the server ended without a word", `see ${paths.log}`);
  }
}

async function waitForNodes(
  connection: ClusterConnection,
  config: ClusterConfig,
  server: ServerProcess,
): Promise<void> {
  const wanted = Math.max(1 + config.localNodes, config.simulatedNodes);
  await waitFor(nodePatienceMs, "the node did not become Ready", server, async () => {
    // A node that was Ready when the cluster was stopped is so still, until its parts run again.
    const parts = [server.paths, ...localNodesOf(config, server.paths).map((node) => node.paths)];
    if (!parts.every(({ pid }) => runningInstance(pid)?.started)) return false;
    const list = await connection.client.list(nodes).catch(() => undefined);
    // Its network comes later, with somebody else's objects.
    if (config.cni === "none") return (list?.items ?? []).length >= wanted;
    const ready = (list?.items ?? []).filter((n) =>
      n.status.conditions?.some((c) => c.type === "Ready" && c.status === "True"),
    );
    return ready.length >= wanted;
  });
}

/** Asks through the Service's address, the way a pod does: it proves the proxy's rules too. */
async function waitForDns(config: ClusterConfig, server: ServerProcess): Promise<void> {
  const resolver = new Resolver({ timeout: 300, tries: 1 });
  resolver.setServers([config.dnsAddress]);
  await waitFor(dnsPatienceMs, "cluster DNS does not answer", server, async () => {
    const addresses: string[] = await resolver
      .resolve4(`kubernetes.default.svc.${clusterDomain}`)
      .catch(() => []);
    return addresses.includes(config.serviceAddress);
  });
}

async function waitFor(
  patienceMs: number,
  problem: string,
  server: ServerProcess,
  ask: () => Promise<boolean>,
): Promise<void> {
  const deadline = clock.monotonic() + patienceMs;
  for (;;) {
    if (await ask()) return;
    server.check?.();
    if (server.hasEnded()) throw serverFailure(server.paths);
    if (clock.monotonic() > deadline)
      throw new UserError(`${problem} within ${patienceMs / 1000} s`, `see ${server.paths.log}`);
    await clock.sleep(pollMs);
  }
}
