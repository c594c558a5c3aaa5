/**
 * Host ports on 127.0.0.1: the kernel sends nothing from there to a pod's link unless that link's `route_localnet` says
 * so. The proxy's rules drop what a pod would send to 127.0.0.1 in turn. The setting goes with the link.
 * https://docs.kernel.org/networking/ip-sysctl.html
 */
import { writeFile } from "node:fs/promises";
import { run } from "#base";

/** The link that leads to `address`: `10.244.0.5 dev veth1 src …`. */
export function linkOf(routeGet: string): string | undefined {
  return /\bdev (\S+)/.exec(routeGet)?.[1];
}

export async function allowLoopback(address: string): Promise<void> {
  const { stdout } = await run("ip", ["-o", "route", "get", address]);
  const link = linkOf(stdout);
  // Through `lo` the pod has gone already; names with a slash are no links.
  if (!link || link === "lo" || link.includes("/")) return;
  await writeFile(`/proc/sys/net/ipv4/conf/${link}/route_localnet`, "1");
}
