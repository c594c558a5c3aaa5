/** `knarr agent`: this machine as a node of a cluster whose control plane runs elsewhere. */

import { forComponent, UserError, type World } from "#base";
import { createClient, createInformers, httpsTransport } from "#client";
import { startRoutes } from "#network";
import { type Running, stopAll } from "./components.ts";
import { type ClusterConfig, type ClusterPaths, configFor, readConfig, writeConfig } from "./config.ts";
import { type NodeCredentials, readNodeCredentials, writeNodeCredentials } from "./credentials.ts";
import { forgetInstance, recordInstance, runningInstance } from "./instance.ts";
import { joinCluster } from "./join.ts";
import { parseToken } from "./join-token.ts";
import { startNode, startRuntime } from "./node.ts";

export interface AgentOptions {
  world: World;
  /** `https://ADDRESS:PORT` of the server. */
  server: string;
  /** Needed the first time only. */
  token?: string;
  nodeName: string;
  nodeAddress: string;
  paths: ClusterPaths;
}

/** Joins once and keeps the answer; from then on it starts by itself. */
export async function startAgent(options: AgentOptions): Promise<Running> {
  const { world, paths } = options;
  const other = runningInstance(paths.pid);
  if (other)
    throw new UserError(
      `an agent runs in ${paths.dir} already (pid ${other.pid})`,
      "stop it first, or choose another --data-dir",
    );
  const { config, credentials } = await membership(options);
  recordInstance(paths.pid, true);
  const started: Running[] = [{ stop: () => forgetInstance(paths.pid) }];
  try {
    const transport = httpsTransport({
      url: options.server,
      ca: credentials.ca.cert,
      cert: credentials.node.cert,
      key: credentials.node.key,
      clock: world.clock,
    });
    started.push({ stop: () => transport.close() });
    const client = createClient(transport, { userAgent: "kubelet" });
    const stopping = new AbortController();
    const informers = createInformers(client, forComponent(world, "informers"));
    informers.start(stopping.signal);
    started.push({ stop: async () => stopping.abort() });
    const containerd = await startRuntime(world, config, paths);
    started.push(
      await startNode({ world, config, paths, credentials, containerd, client, informers, dns: false }),
    );
    started.push(await startRoutes({ world, informers, nodeName: config.nodeName }));
  } catch (error) {
    await stopAll(started);
    throw error;
  }
  return { stop: () => stopAll(started) };
}

interface Membership {
  config: ClusterConfig;
  credentials: NodeCredentials;
}

async function membership({
  world,
  paths,
  server,
  token,
  nodeName,
  nodeAddress,
}: AgentOptions): Promise<Membership> {
  const known = readConfig(paths);
  const stored = await readNodeCredentials(paths.tls);
  if (known && stored && known.nodeAddress === nodeAddress) return { config: known, credentials: stored };
  if (!token)
    throw new UserError(
      "this machine has not joined yet",
      "give --token, which the server prints with: knarr token create",
    );
  const answer = await joinCluster(world, server, parseToken(token), { nodeName, nodeAddress });
  const config: ClusterConfig = {
    ...configFor({ name: answer.clusterName, slot: 0, nodeName, nodeAddress }),
    role: "agent",
    clusterCidr: answer.clusterCidr,
    podCidr: answer.podCidr,
    dnsAddress: answer.dnsAddress,
  };
  await writeConfig(paths, config);
  const credentials = { ca: { cert: answer.ca }, node: answer.node, kubeletServer: answer.kubeletServer };
  await writeNodeCredentials(paths.tls, credentials);
  return { config, credentials };
}
