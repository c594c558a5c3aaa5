/** What this machine has: its name, its address, free ports. */

import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { UserError } from "#base";

/** Links that container engines make: their addresses say nothing about where the machine is. */
const virtualLinks = /^(lo|docker|br-|veth|cni|flannel|cali|knarr|tun|wg)/;

/** The first global IPv4 address of a real link. */
export function machineAddress(): string {
  const links = Object.entries(networkInterfaces()).filter(([name]) => !virtualLinks.test(name));
  for (const [, addresses] of links) {
    const found = addresses?.find(
      (a) => a.family === "IPv4" && !a.internal && !a.address.startsWith("169.254."),
    );
    if (found) return found.address;
  }
  throw new UserError(
    "this machine has no network address beside loopback, and pods need one to reach it",
    "give it one, for example: ip link add knarr-node type dummy && ip addr add 192.0.2.1/24 dev knarr-node && ip link set knarr-node up",
  );
}

/** The first global IPv6 address of a real link, where there is one. */
export function machineAddress6(): string | undefined {
  const links = Object.entries(networkInterfaces()).filter(([name]) => !virtualLinks.test(name));
  const all = links.flatMap(([, addresses]) => addresses ?? []);
  return all.find((a) => a.family === "IPv6" && !a.internal && !/^fe[89ab]/i.test(a.address))?.address;
}

/** Whether the kernel speaks IPv6 at all. */
export function hasIpv6(): boolean {
  try {
    return readFileSync("/proc/sys/net/ipv6/conf/all/disable_ipv6", "utf8").trim() === "0";
  } catch {
    return false;
  }
}

/** The host name as a node may be called: a DNS name in lower case. */
export function machineName(): string {
  const name = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, "-")
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "");
  return name || "node";
}

export function isPortFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

function isUdpPortFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.once("error", () => socket.close(() => resolve(false)));
    socket.bind(port, host, () => socket.close(() => resolve(true)));
  });
}

/** `wanted` or the next port above it that is free for TCP and, where `udp` says so, for UDP too. */
export async function freePort(wanted: number, host: string, udp = false): Promise<number> {
  for (let port = wanted; port < wanted + 100; port++) {
    if ((await isPortFree(port, host)) && (!udp || (await isUdpPortFree(port, host)))) return port;
  }
  throw new UserError(
    `no free port from ${wanted} to ${wanted + 99}`,
    "stop some of the programs that listen there",
  );
}
