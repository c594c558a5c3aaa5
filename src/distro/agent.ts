/** `knarr agent`: this machine as a node of a cluster whose control plane runs elsewhere. */
import {
  forComponent,
  messageOf,
  optimizeAfterLastingWork,
  releaseMemoryAfterWork,
  UserError,
  type World,
} from "#base";
import { createClient, createInformers, httpsTransport, type Informers } from "#client";
import { type Running, stopAll } from "./components.ts";
import type { ClusterPaths } from "./config.ts";
import { forgetInstance, recordInstance, runningInstance } from "./instance.ts";
import { loadMembership, type Membership, type MembershipOptions, renewMembership } from "./membership.ts";
import { startNode, startNodeRoutes, startRuntime } from "./node.ts";
import { announceDns } from "./node-dns.ts";
import { lifeOf } from "./renewal.ts";

export interface AgentOptions {
  world: World;
  /** `https://ADDRESS:PORT` of the server. */
  server: string;
  /** Needed the first time only. */
  token?: string;
  nodeName: string;
  /** The IPv4 address, then perhaps one of IPv6. Asked for again from time to time: machines move. */
  nodeAddresses: () => readonly string[];
  paths: ClusterPaths;
}

/** How often the node looks whether it has moved or needs other certificates. */
const lookMs = 10_000;
/** A server that is away is asked for certificates this often, and four times more before they run out. */
const retryMs = 3600 * 1000;

/** Joins once and keeps the answer; from then on it starts by itself. */
export async function startAgent(options: AgentOptions): Promise<Running> {
  const { paths } = options;
  const other = runningInstance(paths.pid);
  if (other)
    throw new UserError(
      `an agent runs in ${paths.dir} already (pid ${other.pid})`,
      "stop it first, or choose another --data-dir",
    );
  const agent = new Agent(options);
  await agent.start();
  const { clock } = options.world;
  const small = [releaseMemoryAfterWork(clock), optimizeAfterLastingWork(clock)];
  return {
    async stop() {
      await Promise.all(small.map((each) => each.stop()));
      await agent.stop();
    },
  };
}

/** The node's parts, begun anew when the node has moved or has new certificates; pods go on meanwhile. */
class Agent {
  readonly #options: AgentOptions;
  #addresses: readonly string[] = [];
  #renewAtMs = 0;
  #certificatesEndMs = 0;
  #parts: Running[] = [];
  readonly #connections: Running[] = [];
  #work: Promise<void> = Promise.resolve();
  #stopped = false;
  #lookout: { cancel(): void } | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#begin(this.#options.nodeAddresses());
    this.#lookout = this.#options.world.clock.every(lookMs, () => {
      this.#work = this.#work.then(() => this.#look());
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#lookout?.cancel();
    await this.#work;
    await stopAll(this.#parts);
    forgetInstance(this.#options.paths.pid);
  }

  async #begin(nodeAddresses: readonly string[]): Promise<void> {
    const { paths } = this.#options;
    const membership = await loadMembership(this.#asked(nodeAddresses));
    recordInstance(paths.pid, false);
    this.#addresses = nodeAddresses;
    const { renewAtMs, endMs } = lifeOf(membership.credentials.node.cert);
    this.#renewAtMs = renewAtMs;
    this.#certificatesEndMs = endMs;
    this.#parts = [];
    this.#connections.length = 0;
    try {
      await startParts(this.#options, membership, this.#parts, this.#connections);
      recordInstance(paths.pid, true);
    } catch (error) {
      await stopAll(this.#parts);
      this.#parts = [];
      if (!this.#lookout) forgetInstance(paths.pid);
      throw error;
    }
  }

  #asked([nodeAddress = "", nodeAddress6]: readonly string[]): MembershipOptions {
    const { world, server, token, nodeName, paths } = this.#options;
    return {
      world,
      server,
      nodeName,
      nodeAddress,
      paths,
      ...(nodeAddress6 ? { nodeAddress6 } : {}),
      ...(token ? { token } : {}),
    };
  }

  #isRenewalDue(): boolean {
    const nowMs = this.#options.world.clock.now();
    if (nowMs < this.#renewAtMs) return false;
    const leftMs = Math.max(0, this.#certificatesEndMs - nowMs);
    this.#renewAtMs = nowMs + Math.min(retryMs, leftMs / 4);
    return true;
  }

  /** Never fails: it is tried again at the next look. */
  async #look(): Promise<void> {
    const { world } = this.#options;
    try {
      if (this.#stopped) return;
      const nodeAddresses = this.#options.nodeAddresses();
      const isRunning = this.#parts.length > 0 && nodeAddresses.join() === this.#addresses.join();
      if (isRunning && !(this.#isRenewalDue() && (await renewMembership(this.#asked(nodeAddresses))))) return;
      world.log.info({ nodeAddresses }, "the node begins anew: its address or its certificates change");
      // Answers to the former address never come: nobody waits for them.
      if (!isRunning) await stopAll(this.#connections);
      await stopAll(this.#parts);
      this.#parts = [];
      await this.#begin(nodeAddresses);
    } catch (error) {
      world.log.warn({ error: messageOf(error) }, "the node could not begin anew");
    }
  }
}

async function startParts(
  { world, server, paths }: AgentOptions,
  { config, credentials }: Membership,
  started: Running[],
  connections: Running[],
): Promise<void> {
  const follow = (pair: { cert: string; key: string }, userAgent: string) => {
    const transport = httpsTransport({
      url: server,
      ca: credentials.ca.cert,
      cert: pair.cert,
      key: pair.key,
      clock: world.clock,
    });
    const connection = { stop: () => transport.close() };
    started.push(connection);
    connections.push(connection);
    const client = createClient(transport, { userAgent });
    const stopping = new AbortController();
    const informers: Informers = createInformers(client, forComponent(world, "informers"));
    informers.start(stopping.signal);
    started.push({ stop: async () => stopping.abort() });
    return { client, informers };
  };
  const { client, informers } = follow(credentials.node, "kubelet");
  const policyInformers = follow(credentials.networkPolicy, "knarr-network-policy").informers;
  const runtime = await startRuntime(world, config, paths);
  const node = { world, config, paths, credentials, runtime, client, informers, policyInformers };
  const { nodeName, dnsPort } = config;
  started.push(await startNode(node));
  await announceDns(client, nodeName, dnsPort);
  started.push(await startNodeRoutes(node));
}
