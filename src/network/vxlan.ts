/**
 * The overlay: where another node is behind a router, packets of pods travel to it in UDP (VXLAN, RFC 7348). There is no
 * learning and no flooding: every node's address and hardware address follow from its Node object.
 * https://docs.kernel.org/networking/vxlan.html
 */
import { run, runOk } from "#base";

/** The head that VXLAN over IPv4 puts before a frame. */
const overheadBytes = 50;
const port = 4789;
const plainMtu = 1500;

/** `10.244.1.0/24` → 10.244.1.0, `fd00:10:244:1::/64` → fd00:10:244:1::: it stands for the node, and no pod has it. */
export function gatewayOf(podCidr: string): string {
  return podCidr.split("/")[0] ?? "";
}

/** The same on every node, without asking: a local address made of the node's first pod address of IPv4. */
export function hardwareAddressOf(podCidr: string): string {
  const bytes = gatewayOf(podCidr).split(".").map(Number);
  return [0x02, 0x6b, ...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Clusters whose pods have other addresses have another network. */
export function networkIdOf(clusterCidr: string): number {
  const [a = 0, b = 0] = clusterCidr.split(".").map(Number);
  return a * 256 + b;
}

export function deviceOf(clusterCidr: string): string {
  return `knarr-vx${networkIdOf(clusterCidr)}`;
}

/** What `ip -o route get` says of the way to a node: the link, and whether a router stands between. */
export function wayOf(routeGet: string): { link: string; isDirect: boolean } | undefined {
  const link = /\bdev (\S+)/.exec(routeGet)?.[1];
  return link ? { link, isDirect: !/\bvia \S+/.test(routeGet) } : undefined;
}

export interface OverlayOptions {
  clusterCidr: string;
  podCidr: string;
  nodeAddress: string;
}

/** Idempotent. Answers the largest packet that pods may send through it. */
export async function openOverlay({ clusterCidr, podCidr, nodeAddress }: OverlayOptions): Promise<number> {
  const device = deviceOf(clusterCidr);
  const { stdout } = await run("ip", ["-o", "route", "get", "1.1.1.1", "from", nodeAddress]);
  const mtu = (await mtuOf(wayOf(stdout)?.link)) - overheadBytes;
  const known = (await run("ip", ["-d", "-o", "link", "show", device])).stdout;
  const stands = known.includes(`local ${nodeAddress} `) && known.includes(` ${hardwareAddressOf(podCidr)} `);
  if (!stands) {
    if (known) await runOk("ip", ["link", "del", device]);
    const options = ["id", String(networkIdOf(clusterCidr)), "local", nodeAddress];
    const fixed = ["dstport", String(port), "nolearning"];
    const hardware = ["address", hardwareAddressOf(podCidr)];
    await runOk("ip", ["link", "add", device, ...hardware, "type", "vxlan", ...options, ...fixed]);
  }
  await runOk("ip", ["link", "set", device, "mtu", String(mtu), "up"]);
  return mtu;
}

/** Asked of `ip`: /sys tells of the network namespace that it was mounted in, which need not be this process' own. */
async function mtuOf(link = ""): Promise<number> {
  const { stdout } = await run("ip", ["-o", "link", "show", "dev", link]);
  return Number(/ mtu (\d+) /.exec(stdout)?.[1] ?? plainMtu);
}

/** The way to a node's pods through the overlay. */
export async function reachThrough(
  clusterCidr: string,
  { cidr, home, underlay }: { cidr: string; home: string; underlay: string },
  routeProtocol: string,
): Promise<void> {
  const device = deviceOf(clusterCidr);
  const gateway = gatewayOf(cidr);
  const hardware = hardwareAddressOf(home);
  await runOk("bridge", ["fdb", "replace", hardware, "dev", device, "dst", underlay]);
  await runOk("ip", ["neigh", "replace", gateway, "lladdr", hardware, "dev", device, "nud", "permanent"]);
  const route = ["route", "replace", cidr, "via", gateway, "dev", device, "onlink"];
  await runOk("ip", [cidr.includes(":") ? "-6" : "-4", ...route, "proto", routeProtocol]);
}

export async function closeOverlay(clusterCidr: string): Promise<void> {
  // It fails where there is none.
  await run("ip", ["link", "del", deviceOf(clusterCidr)]);
}
