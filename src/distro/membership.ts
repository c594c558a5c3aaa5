/**
 * What makes this machine a member of a cluster: addresses and certificates, asked for once with a token, and again by
 * the node itself when its address changes or its certificates run out.
 */
import { isIPv4 } from "node:net";
import { messageOf, UserError, type World } from "#base";
import { httpsTransport } from "#client";
import { type ClusterConfig, type ClusterPaths, configFor, readConfig, writeConfig } from "./config.ts";
import {
  areNodeCredentialsGood,
  type NodeCredentials,
  readNodeCredentials,
  writeNodeCredentials,
} from "./credentials.ts";
import { type JoinAnswer, joinCluster, renewPath } from "./join.ts";
import { parseToken } from "./join-token.ts";

export interface MembershipOptions {
  world: World;
  /** `https://ADDRESS:PORT` of the server. */
  server: string;
  /** Needed the first time only. */
  token?: string;
  nodeName: string;
  nodeAddress: string;
  /** Of IPv6, where the machine has one. */
  nodeAddress6?: string;
  paths: ClusterPaths;
}

export interface Membership {
  config: ClusterConfig;
  credentials: NodeCredentials;
}

/** Joins once and keeps the answer; from then on the node renews it by itself. Throws `UserError`. */
export async function loadMembership(options: MembershipOptions): Promise<Membership> {
  const { world, paths, server, token, nodeName, nodeAddress } = options;
  if (!isIPv4(nodeAddress))
    throw new UserError(`--node-address ${nodeAddress} is no IPv4 address`, "give it as 192.0.2.7");
  const known = readConfig(paths);
  const stored = await readNodeCredentials(paths.tls);
  if (known && stored && known.nodeName === nodeName) {
    const isGood = areNodeCredentialsGood(world, stored, nodeName, nodeAddress);
    const current = { config: withSecondAddress(known, options), credentials: stored };
    if (isGood && known.nodeAddress === nodeAddress) return current;
    const answer = await tryRenewal(options, stored);
    if (answer) return keep(options, answer);
    // Without an answer what is there may still do: the server is not reached now, or is older than this node.
    if (known.nodeAddress === nodeAddress) return current;
  }
  if (!token)
    throw new UserError(
      "this machine has not joined yet",
      "give --token, which the server prints with: knarr token create",
    );
  const answer = await joinCluster(world, server, parseToken(token), { nodeName, nodeAddress });
  return keep(options, answer);
}

/** New certificates in good time before the old ones run out: whether there are some now. */
export async function renewMembership(options: MembershipOptions): Promise<boolean> {
  const { world, paths, nodeName, nodeAddress } = options;
  const stored = await readNodeCredentials(paths.tls);
  if (!stored || areNodeCredentialsGood(world, stored, nodeName, nodeAddress)) return false;
  const answer = await tryRenewal(options, stored);
  if (!answer) return false;
  await keep(options, answer);
  return true;
}

/** It is this machine's own affair: no certificate names it. */
function withSecondAddress(config: ClusterConfig, { nodeAddress6 }: MembershipOptions): ClusterConfig {
  if (!config.ipv6) return config;
  const { nodeAddress: _, ...ipv6 } = config.ipv6;
  return { ...config, ipv6: { ...ipv6, ...(nodeAddress6 ? { nodeAddress: nodeAddress6 } : {}) } };
}

async function keep(options: MembershipOptions, answer: JoinAnswer): Promise<Membership> {
  const { paths, nodeName, nodeAddress } = options;
  const base = configFor({ name: answer.clusterName, slot: 0, nodeName, nodeAddress });
  const config: ClusterConfig = {
    ...base,
    role: "agent",
    clusterCidr: answer.clusterCidr,
    podCidr: answer.podCidr,
    serviceCidr: answer.serviceCidr ?? base.serviceCidr,
    ...(answer.ipv6 ? { ipv6: answer.ipv6 } : {}),
    dnsAddress: answer.dnsAddress,
    ...(answer.cni ? { cni: answer.cni } : {}),
    ...(answer.backend ? { backend: answer.backend } : {}),
    ...(answer.dnsUpstream ? { dnsUpstream: answer.dnsUpstream } : {}),
  };
  const own = withSecondAddress(config, options);
  await writeConfig(paths, own);
  const { node, kubeletServer, networkPolicy } = answer;
  const credentials = { ca: { cert: answer.ca }, node, kubeletServer, networkPolicy };
  await writeNodeCredentials(paths.tls, credentials);
  return { config: own, credentials };
}

const patienceMs = 10_000;

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function tryRenewal(
  { world, server, nodeName, nodeAddress }: MembershipOptions,
  { ca, node }: NodeCredentials,
): Promise<JoinAnswer | undefined> {
  const transport = httpsTransport({ url: server, ca: ca.cert, ...node, clock: world.clock });
  const patience = new AbortController();
  const timer = world.clock.after(patienceMs, () => patience.abort());
  try {
    const body = Buffer.from(JSON.stringify({ nodeName, nodeAddress }));
    const headers = { "content-type": "application/json" };
    const { signal } = patience;
    const answer = await transport.send({ method: "POST", path: renewPath, headers, body, signal });
    const { status } = answer;
    const text = await textOf(answer.body);
    if (status === 200) return JSON.parse(text) as JoinAnswer;
    world.log.warn({ status }, "the server does not renew this node's certificates");
  } catch (error) {
    world.log.warn({ error: messageOf(error) }, "this node's certificates could not be renewed");
  } finally {
    timer.cancel();
    await transport.close();
  }
  return undefined;
}
