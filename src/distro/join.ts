/**
 * How another machine becomes a node. The server's side answers a request that carries the join secret with the node's
 * keys and addresses; the node's side finds the server by its token's fingerprint, asks once, and keeps the answer.
 */
import { request } from "node:https";
import { isIPv4 } from "node:net";
import { connect, type PeerCertificate, type TLSSocket } from "node:tls";
import { badRequest, isStatus, nodes } from "#api";
import type { Extension } from "#apiserver";
import { UserError, type World } from "#base";
import type { Client } from "#client";
import type { NodeRanges } from "#controllers";
import type { Authority, KeyPair } from "./certificates.ts";
import type { ClusterConfig } from "./config.ts";
import { type SecondFamily, secondPodCidrOf } from "./families.ts";
import { fingerprintOf, type JoinToken, sameFingerprint } from "./join-token.ts";

const joinPath = "/knarr/v1/join";
export const joinGroup = "system:bootstrappers";
/** Where a node that has joined asks for certificates again: for another address, or before they run out. */
export const renewPath = "/knarr/v1/renew";
const nodesGroup = "system:nodes";
const nodeUserPrefix = "system:node:";

export interface JoinRequest {
  nodeName: string;
  nodeAddress: string;
}

/** Everything a node must know. */
export interface JoinAnswer {
  clusterName: string;
  ca: string;
  node: KeyPair;
  kubeletServer: KeyPair;
  networkPolicy: KeyPair;
  clusterCidr: string;
  podCidr: string;
  serviceCidr?: string;
  dnsAddress: string;
  /** Of the second family; the node knows its own address. */
  ipv6?: SecondFamily;
  cni?: "none";
  backend?: "wireguard";
  /** Where the server's own cluster DNS answers: `ADDRESS#PORT`. */
  dnsUpstream?: string;
}

/** What a client sent, checked; throws a `Status`. */
export function parseJoinRequest(value: unknown): JoinRequest {
  const { nodeName, nodeAddress } = (value ?? {}) as Partial<Record<keyof JoinRequest, unknown>>;
  if (typeof nodeName !== "string" || !/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(nodeName)) {
    throw badRequest("nodeName must be a DNS subdomain");
  }
  if (typeof nodeAddress !== "string" || !isIPv4(nodeAddress)) {
    throw badRequest("nodeAddress must be an IPv4 address");
  }
  return { nodeName, nodeAddress };
}

interface JoinServerOptions {
  config: ClusterConfig;
  /** Loaded when the first node comes: a server that nobody joins never needs the certificate library. */
  authority(): Promise<Authority>;
  /** Asked for when the first node comes: the API server is not there yet when its paths are named. */
  client(): Client;
  ranges: NodeRanges;
}

/** The paths of the API server that machines join through, and are members by. */
export function joinExtensions(options: JoinServerOptions): Extension[] {
  const admitOne = (asked: JoinRequest) => admit(options, asked);
  return [
    { path: joinPath, group: joinGroup, handle: (body) => admitOne(parseJoinRequest(body)) },
    {
      path: renewPath,
      group: nodesGroup,
      // A node speaks for itself alone, whatever name it sends.
      handle: (body, { username }) =>
        admitOne(parseJoinRequest({ ...Object(body), nodeName: username.slice(nodeUserPrefix.length) })),
    },
  ];
}

async function admit(
  options: JoinServerOptions,
  { nodeName, nodeAddress }: JoinRequest,
): Promise<JoinAnswer> {
  const { config } = options;
  const podCidr = await reserve(options, nodeName);
  const authority = await options.authority();
  const commonName = `system:node:${nodeName}`;
  const life = config.signingDurationMs ? { lifeMs: config.signingDurationMs } : {};
  const [node, kubeletServer, networkPolicy] = await Promise.all([
    authority.issue({ ...life, commonName, organizations: [nodesGroup], use: "client" }),
    authority.issue({
      ...life,
      commonName,
      organizations: [nodesGroup],
      use: "server",
      dnsNames: [nodeName],
      addresses: [nodeAddress],
    }),
    authority.issue({ ...life, commonName: "system:knarr-network-policy", use: "client" }),
  ]);
  return {
    clusterName: config.name,
    ca: authority.cert,
    node,
    kubeletServer,
    networkPolicy,
    clusterCidr: config.clusterCidr,
    podCidr,
    serviceCidr: config.serviceCidr,
    dnsAddress: config.dnsAddress,
    ...(config.ipv6 ? { ipv6: joinedFamily(config.ipv6, podCidr) } : {}),
    ...(config.cni ? { cni: config.cni } : {}),
    ...(config.backend ? { backend: config.backend } : {}),
    dnsUpstream: `${config.nodeAddress}#${config.dnsPort}`,
  };
}

/** The second family as the node with these pods sees it. */
function joinedFamily({ nodeAddress: _, ...ipv6 }: SecondFamily, podCidr: string): SecondFamily {
  return { ...ipv6, podCidr: secondPodCidrOf(ipv6.clusterCidr, podCidr) };
}

/** The pod addresses of a node: its own from an earlier time, or free ones. Its object is made with them. */
async function reserve(
  { client: clientOf, config, ranges }: JoinServerOptions,
  nodeName: string,
): Promise<string> {
  const client = clientOf();
  const podCidr = await ranges.give(nodeName, async (spec) => {
    try {
      await client.create(nodes, { metadata: { name: nodeName }, spec });
    } catch (error) {
      if (!isStatus(error, "AlreadyExists")) throw error;
      await client.patch(nodes, { name: nodeName }, "merge", { spec });
    }
  });
  if (!podCidr) throw badRequest(`all 256 node ranges of ${config.clusterCidr} are taken`);
  return podCidr;
}

const patienceMs = 10_000;

/** The node's side: throws a `UserError` when the server is not the one the token was made by. */
export async function joinCluster(
  world: World,
  url: string,
  token: JoinToken,
  ask: JoinRequest,
): Promise<JoinAnswer> {
  const ca = await authorityBehind(world, new URL(url), token);
  const body = JSON.stringify(ask);
  const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${token.secret}`,
      "content-type": "application/json",
      "content-length": body.length,
    };
    const call = request(
      new URL(joinPath, url),
      { method: "POST", ca, headers, timeout: patienceMs },
      (response) => {
        let received = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          received += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text: received }));
      },
    );
    call.on("timeout", () => call.destroy(new Error("no answer")));
    call.on("error", reject);
    call.end(body);
  });
  if (status === 401)
    throw new UserError("the server does not know this token", "print one on the server: knarr token create");
  if (status !== 200) throw new UserError(`the server refused: ${text}`, "see the server's log");
  return JSON.parse(text) as JoinAnswer;
}

/** The authority's certificate as the server shows it in its chain, once its fingerprint is the token's. */
function authorityBehind(world: World, url: URL, token: JoinToken): Promise<string> {
  return new Promise((resolve, reject) => {
    // Nothing is sent on this connection: it only fetches the chain, which is then checked against the token.
    const socket: TLSSocket = connect(
      { host: url.hostname, port: Number(url.port || 443), rejectUnauthorized: false },
      () => {
        const top = topOf(socket.getPeerCertificate(true));
        socket.destroy();
        timer.cancel();
        if (sameFingerprint(fingerprintOf(top), token.fingerprint)) resolve(pemOf(top));
        else
          reject(
            new UserError(
              `${url.host} is not the server this token was made by`,
              "print a token on the right server: knarr token create",
            ),
          );
      },
    );
    const timer = world.clock.after(patienceMs, () => socket.destroy(new Error("no answer")));
    socket.on("error", (error) => {
      timer.cancel();
      reject(
        new UserError(
          `${url.origin} cannot be reached: ${error.message}`,
          "check --server, and that nothing filters the port",
        ),
      );
    });
  });
}

/** The last certificate of the chain, in DER. */
function topOf(certificate: ReturnType<TLSSocket["getPeerCertificate"]>): Buffer {
  let at = certificate as PeerCertificate & { issuerCertificate?: PeerCertificate };
  for (let depth = 0; depth < 8; depth++) {
    const next = at.issuerCertificate;
    if (!next || next.raw.equals(at.raw)) break;
    at = next;
  }
  return at.raw;
}

function pemOf(der: Buffer): string {
  return `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
}
