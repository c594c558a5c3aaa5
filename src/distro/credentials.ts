/** Who may speak to whom: every key of a cluster, made once and kept in its `tls` folder. */
import { X509Certificate } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, type World, writeDurably } from "#base";
import type { Authority, KeyPair, Subject } from "./certificates.ts";
import { type ClusterConfig, clusterDomain } from "./config.ts";
import { lifeOf } from "./renewal.ts";

export interface Credentials {
  ca: KeyPair;
  /** The API server's own certificate. */
  server: KeyPair;
  /** What the API server shows to kubelets. */
  kubeletClient: KeyPair;
  /** The kubelet's own certificate, and what it shows to the API server. */
  kubeletServer: KeyPair;
  node: KeyPair;
  /** What the metrics API shows to the API server. */
  metricsServer: KeyPair;
  admin: KeyPair;
  /** Signs service account tokens. */
  serviceAccountKey: KeyPair;
  /** What the API server shows to servers that it aggregates, and the authority that signs nothing else. */
  frontProxy: KeyPair & { ca: string };
}

/** What a node needs of them: the authority's key stays with the server. */
export interface NodeCredentials extends Pick<Credentials, "node" | "kubeletServer"> {
  ca: Pick<KeyPair, "cert">;
  /** What its network policies show: they follow pods of other nodes, which the node itself may not. */
  networkPolicy: KeyPair;
}

/** Addresses and names that certificates must be good for. */
export type CredentialConfig = Pick<ClusterConfig, "nodeName" | "nodeAddress" | "serviceAddress">;

type Leaf = Exclude<keyof Credentials, "ca" | "frontProxy">;

const frontProxySubject: Subject = { commonName: "front-proxy-client", use: "client" };

function subjects(config: CredentialConfig): Record<Leaf, Subject> {
  const service = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    `kubernetes.default.svc.${clusterDomain}`,
  ];
  return {
    server: {
      commonName: "kube-apiserver",
      use: "server",
      dnsNames: [...service, "localhost", config.nodeName],
      addresses: ["127.0.0.1", config.serviceAddress, config.nodeAddress],
    },
    kubeletClient: {
      commonName: "kube-apiserver-kubelet-client",
      organizations: ["system:masters"],
      use: "client",
    },
    kubeletServer: {
      commonName: `system:node:${config.nodeName}`,
      organizations: ["system:nodes"],
      use: "server",
      dnsNames: [config.nodeName],
      addresses: [config.nodeAddress],
    },
    metricsServer: {
      commonName: "knarr-metrics",
      use: "server",
      dnsNames: ["knarr-metrics.kube-system.svc"],
    },
    node: { commonName: `system:node:${config.nodeName}`, organizations: ["system:nodes"], use: "client" },
    admin: { commonName: "kubernetes-admin", organizations: ["system:masters"], use: "client" },
    serviceAccountKey: { commonName: "service-accounts", use: "both" },
  };
}

/** All of them fresh, in memory: for embedded clusters. */
export async function createCredentials(world: World, config: CredentialConfig): Promise<Credentials> {
  const { createAuthority } = await import("./certificates.ts");
  const authority = await createAuthority(world, "knarr-ca");
  const wanted = Object.entries(subjects(config)) as [Leaf, Subject][];
  const made = await Promise.all(
    wanted.map(async ([name, subject]) => [name, await authority.issue(subject)] as const),
  );
  return {
    ca: { cert: authority.cert, key: authority.key },
    frontProxy: await createFrontProxy(world),
    ...(Object.fromEntries(made) as Record<Leaf, KeyPair>),
  };
}

/** Those in `dir`; what is missing, about to expire or made for another address is made and kept. */
export async function loadCredentials(
  world: World,
  config: CredentialConfig,
  dir: string,
): Promise<Credentials> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const authority = authorityLoader(world, dir);
  const out: Partial<Record<Leaf, KeyPair>> = {};
  for (const [name, subject] of Object.entries(subjects(config)) as [Leaf, Subject][]) {
    const stored = await readPair(dir, name);
    // Tokens signed by the old key must stay good.
    const keep = name === "serviceAccountKey" || (stored && isGood(world, stored, subject));
    out[name] =
      stored && keep ? stored : await writePair(dir, name, await (await authority()).issue(subject));
  }
  const ca = await readPair(dir, "ca");
  const frontProxy = await loadFrontProxy(world, dir);
  return { ca: ca ?? (await authority()), frontProxy, ...(out as Record<Leaf, KeyPair>) };
}

/** An authority of its own: nobody else can get a certificate of it, and play anybody with it. */
async function createFrontProxy(world: World): Promise<Credentials["frontProxy"]> {
  const { createAuthority } = await import("./certificates.ts");
  const authority = await createAuthority(world, "knarr-front-proxy-ca");
  return { ...(await authority.issue(frontProxySubject)), ca: authority.cert };
}

async function loadFrontProxy(world: World, dir: string): Promise<Credentials["frontProxy"]> {
  const stored = await readPair(dir, "frontProxy");
  const authority = await readOptional(join(dir, "frontProxyCa.crt"));
  if (stored && authority && isGood(world, stored, frontProxySubject)) return { ...stored, ca: authority };
  const made = await createFrontProxy(world);
  await writeFile(join(dir, "frontProxyCa.crt"), made.ca, { mode: 0o600 });
  await writePair(dir, "frontProxy", made);
  return made;
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Those of a node that has joined, if it has. */
export async function readNodeCredentials(dir: string): Promise<NodeCredentials | undefined> {
  const names = ["node", "kubeletServer", "networkPolicy"];
  const [node, kubeletServer, networkPolicy] = await Promise.all(names.map((name) => readPair(dir, name)));
  if (!node || !kubeletServer) return undefined;
  const ca = { cert: await readFile(join(dir, "ca.crt"), "utf8") };
  // Nodes that joined before there were network policies are given their certificate when they renew.
  return { ca, node, kubeletServer, networkPolicy: networkPolicy ?? node };
}

/** Whether a node's certificates are good for it, and for a while yet. */
export function areNodeCredentialsGood(
  world: World,
  credentials: NodeCredentials,
  nodeName: string,
  nodeAddress: string,
): boolean {
  const { node, kubeletServer, networkPolicy } = credentials;
  const server: Subject = { commonName: "", use: "server", dnsNames: [nodeName], addresses: [nodeAddress] };
  const client: Subject = { commonName: "", use: "client" };
  return (
    isGood(world, node, client) &&
    isGood(world, kubeletServer, server) &&
    networkPolicy !== node &&
    isGood(world, networkPolicy, client)
  );
}

export async function writeNodeCredentials(dir: string, credentials: NodeCredentials): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await writeFile(join(dir, "ca.crt"), credentials.ca.cert, { mode: 0o600 });
  await writePair(dir, "node", credentials.node);
  await writePair(dir, "kubeletServer", credentials.kubeletServer);
  await writePair(dir, "networkPolicy", credentials.networkPolicy);
}

/** The authority that signs for joining nodes. */
export function loadStoredAuthority(world: World, dir: string): Promise<Authority> {
  return authorityLoader(world, dir)();
}

/** Loads the certificate library only when something has to be signed: a start usually signs nothing. */
function authorityLoader(world: World, dir: string): () => Promise<Authority> {
  let authority: Authority | undefined;
  return async () => {
    if (authority) return authority;
    const { authorityOf, createAuthority } = await import("./certificates.ts");
    const stored = await readPair(dir, "ca");
    authority = stored ? authorityOf(world, stored) : await createAuthority(world, "knarr-ca");
    if (!stored) await writePair(dir, "ca", authority);
    return authority;
  };
}

function isGood(world: World, pair: KeyPair, subject: Subject): boolean {
  const cert = new X509Certificate(pair.cert);
  if (world.clock.now() >= lifeOf(pair.cert).renewAtMs) return false;
  const names = cert.subjectAltName ?? "";
  const has = (kind: string, value: string) => names.split(", ").includes(`${kind}:${value}`);
  return (
    (subject.dnsNames ?? []).every((n) => has("DNS", n)) &&
    (subject.addresses ?? []).every((a) => has("IP Address", a))
  );
}

async function readPair(dir: string, name: string): Promise<KeyPair | undefined> {
  try {
    const [cert, key] = await Promise.all([
      readFile(join(dir, `${name}.crt`), "utf8"),
      readFile(join(dir, `${name}.key`), "utf8"),
    ]);
    return { cert, key };
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** The key first: a certificate is never there without its key. */
async function writePair(dir: string, name: string, pair: KeyPair): Promise<KeyPair> {
  for (const [ending, text] of [
    ["key", pair.key],
    ["crt", pair.cert],
  ] as const) {
    await writeDurably(join(dir, `${name}.${ending}`), text);
  }
  return pair;
}
