/**
 * The encrypted back end: packets of pods travel to every other node through WireGuard. A node makes a key for itself and
 * shows the public half in an annotation of its Node; who its peers are follows from the Node objects.
 * https://www.wireguard.com/protocol/ https://man7.org/linux/man-pages/man8/wg.8.html
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { codeOf, findProgram, type Random, run, runOk, UserError } from "#base";
import { gatewayOf, networkIdOf, wayOf } from "./vxlan.ts";

/** On a Node: its public key. */
export const wireguardKeyAnnotation = "knarr.dev/wireguard-key";

/** The heads that WireGuard over IPv4 puts before a packet, and its seal. */
const overheadBytes = 60;
const basePort = 51_820;
const keyBytes = 32;

/** What a node must know of another one. */
export interface WireguardPeer {
  readonly key: string;
  readonly underlay: string;
  readonly cidrs: readonly string[];
}

/** Of one node: no other node on the same machine has a device of this name, which wireguard-go's socket has too. */
export function wireguardDeviceOf(podCidr: string): string {
  const third = Number(podCidr.split(".")[2]);
  return `knarr-wg${(networkIdOf(podCidr) * 256 + third).toString(36)}`;
}

/** The same on all nodes of a cluster, another one for every cluster of a machine: 51820 for 10.244.0.0/16, then on. */
export function wireguardPortOf(cidr: string): number {
  return basePort + ((500 - (networkIdOf(cidr) % 256)) % 256);
}

/** A key as others write it, or undefined: it comes from an annotation. */
export function wireguardKeyOf(text: string | undefined): string | undefined {
  return text && /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text) ? text : undefined;
}

/** `wg set` of one peer: it may send under the addresses of its pods and under no others. */
export function peerCommand(podCidr: string, { key, underlay, cidrs }: WireguardPeer): string[] {
  const endpoint = `${underlay}:${wireguardPortOf(podCidr)}`;
  const allowed = ["allowed-ips", cidrs.join(",")];
  return ["set", wireguardDeviceOf(podCidr), "peer", key, "endpoint", endpoint, ...allowed];
}

/** The keys that `wg show DEVICE peers` lists, but for those that are wanted. */
export function surplusPeers(shown: string, wanted: ReadonlySet<string>): string[] {
  return shown.split("\n").filter((key) => wireguardKeyOf(key) !== undefined && !wanted.has(key));
}

/** The public half of the key in `file`, which is made where there is none. */
export async function loadWireguardKey(random: Random, file: string): Promise<string> {
  const stored = await readFile(file, "utf8").catch((error: unknown) => {
    if (codeOf(error) !== "ENOENT") throw error;
    return undefined;
  });
  const secret = stored ? Buffer.from(stored, "base64") : Buffer.from(random.bytes(keyBytes));
  if (!stored) await writeFile(file, `${secret.toString("base64")}\n`, { mode: 0o600, flag: "wx" });
  return publicKeyOf(secret);
}

/** What stands before a secret of X25519 in PKCS #8. https://www.rfc-editor.org/rfc/rfc8410 */
const pkcs8Head = Buffer.from("302e020100300506032b656e04220420", "hex");

function publicKeyOf(secret: Buffer): string {
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Head, secret]), format: "der", type: "pkcs8" });
  const { x = "" } = createPublicKey(key).export({ format: "jwk" });
  return Buffer.from(x, "base64url").toString("base64");
}

const probe = "knarr-wg-probe";

/** Throws a `UserError` where this machine cannot: neither its kernel nor a program that does it in its place. */
export async function checkWireguard(): Promise<void> {
  if (!findProgram("wg"))
    throw new UserError("the program wg is not installed", "apt-get install wireguard-tools");
  if (findProgram("wireguard-go")) return;
  const { code } = await run("ip", ["link", "add", probe, "type", "wireguard"]);
  if (code === 0) await run("ip", ["link", "del", probe]);
  else
    throw new UserError(
      "this machine's kernel has no WireGuard",
      "apt-get install wireguard-go, which does it outside the kernel, or leave out --backend wireguard",
    );
}

export interface WireguardOptions {
  /** This node's, of each family, IPv4 first. */
  podCidrs: readonly string[];
  nodeAddress: string;
  keyFile: string;
}

/** Idempotent. Answers the largest packet that pods may send through it. */
export async function openWireguard(options: WireguardOptions): Promise<number> {
  const { podCidrs, nodeAddress, keyFile } = options;
  const [podCidr = ""] = podCidrs;
  const device = wireguardDeviceOf(podCidr);
  if ((await run("ip", ["link", "show", "dev", device])).code !== 0) await makeDevice(device);
  const port = String(wireguardPortOf(podCidr));
  await runOk("wg", ["set", device, "listen-port", port, "private-key", keyFile]);
  // What the node itself sends to pods of others comes from an address that they let through.
  for (const cidr of podCidrs) {
    const whole = cidr.includes(":") ? 128 : 32;
    await runOk("ip", ["addr", "replace", `${gatewayOf(cidr)}/${whole}`, "dev", device]);
  }
  const way = wayOf((await run("ip", ["-o", "route", "get", "1.1.1.1", "from", nodeAddress])).stdout);
  const link = (await run("ip", ["-o", "link", "show", "dev", way?.link ?? ""])).stdout;
  const mtu = Number(/ mtu (\d+) /.exec(link)?.[1] ?? 1500) - overheadBytes;
  await runOk("ip", ["link", "set", device, "mtu", String(mtu), "up"]);
  return mtu;
}

async function makeDevice(device: string): Promise<void> {
  if ((await run("ip", ["link", "add", device, "type", "wireguard"])).code === 0) return;
  await checkWireguard();
  // It goes on by itself, and ends with its device.
  await runOk("wireguard-go", [device]);
}

/** The way to one block of a node's pods. */
export async function reachPeer(
  podCidr: string,
  peer: WireguardPeer,
  cidr: string,
  routeProtocol: string,
): Promise<void> {
  await runOk("wg", peerCommand(podCidr, peer));
  const route = ["route", "replace", cidr, "dev", wireguardDeviceOf(podCidr), "proto", routeProtocol];
  await runOk("ip", [cidr.includes(":") ? "-6" : "-4", ...route]);
}

/** Nodes that have gone, and keys that nodes had before, are let in no more. */
export async function keepPeers(podCidr: string, wanted: ReadonlySet<string>): Promise<void> {
  const device = wireguardDeviceOf(podCidr);
  const { stdout } = await run("wg", ["show", device, "peers"]);
  for (const key of surplusPeers(stdout, wanted)) await runOk("wg", ["set", device, "peer", key, "remove"]);
}

export async function closeWireguard(podCidr: string): Promise<void> {
  // It fails where there is none.
  await run("ip", ["link", "del", wireguardDeviceOf(podCidr)]);
}
