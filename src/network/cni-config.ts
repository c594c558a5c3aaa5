/**
 * The pod network of one node as CNI configuration: a point-to-point link per pod and host-local addresses.
 * https://www.cni.dev/plugins/current/main/ptp/ and https://www.cni.dev/plugins/current/ipam/host-local/
 *
 * `ptp` rather than `bridge`: a pod that calls a Service whose endpoint is on the same node is routed by the host, so
 * the nftables rules see it without `br_netfilter`.
 */
import { quickIpam } from "./address-claims.ts";

export interface CniOptions {
  /** Addresses of this node's pods, of every family: `10.244.0.0/24`, `fd00:10:244::/64`. */
  podCidrs: readonly string[];
  /** Where host-local keeps its leases. */
  leaseDir: string;
  /** 0 leaves the kernel's own. */
  mtu: number;
}

/** The network configuration list that containerd reads. */
export function cniConfig(options: CniOptions): object {
  return {
    cniVersion: "1.0.0",
    name: "knarr",
    plugins: [
      {
        type: "ptp",
        ipMasq: false,
        ...(options.mtu > 0 ? { mtu: options.mtu } : {}),
        ipam: {
          type: options.podCidrs.some((cidr) => cidr.includes(":")) ? quickIpam : "host-local",
          ranges: options.podCidrs.map((subnet) => [{ subnet }]),
          routes: options.podCidrs.map((cidr) => ({ dst: cidr.includes(":") ? "::/0" : "0.0.0.0/0" })),
          dataDir: options.leaseDir,
        },
      },
    ],
  };
}
