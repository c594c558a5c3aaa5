/**
 * The `kube-dns` Service and where it leads: cluster DNS of the nodes themselves, or what a user has put in its place by
 * giving the Service a selector, as the manifests of CoreDNS do. Then Knarr keeps its hands off it.
 * https://kubernetes.io/docs/tasks/administer-cluster/coredns/
 */
import { type corev1, type Draft, type discoveryv1, endpointSlices, isStatus, services } from "#api";
import type { Client } from "#client";
import type { ClusterConfig } from "./config.ts";
import { createOrPatch } from "./create-or-patch.ts";
import { bothOf } from "./families.ts";

const namespace = "kube-system";
const name = "kube-dns";
export const dnsServiceKey = `${namespace}/${name}`;
const managedByLabel = "endpointslice.kubernetes.io/managed-by";
const managedBy = "knarr.dev";
const dnsLabels = {
  "k8s-app": "kube-dns",
  "kubernetes.io/cluster-service": "true",
  "kubernetes.io/name": "CoreDNS",
};

/** Somebody else's pods answer. */
export function isReplaced(service: Readonly<corev1.Service> | undefined): boolean {
  return Object.keys(service?.spec.selector ?? {}).length > 0;
}

/** One of ours, for this Service. */
export function isOwnDnsSlice({ metadata }: Readonly<discoveryv1.EndpointSlice>): boolean {
  return metadata.labels?.[managedByLabel] === managedBy;
}

/** Idempotent. DNS answers on the node itself, so its EndpointSlices are written here and by no controller. */
export async function installDns(client: Client, config: ClusterConfig): Promise<void> {
  const { dnsAddress, dnsPort, ipv6, nodeName } = config;
  const known = await client.get(services, { namespace, name }).catch((error: unknown) => {
    if (!isStatus(error, "NotFound")) throw error;
    return undefined;
  });
  if (isReplaced(known)) return;
  await createOrPatch(client, services, {
    metadata: { name, namespace, labels: dnsLabels },
    spec: {
      clusterIP: dnsAddress,
      ...(ipv6
        ? { clusterIPs: [dnsAddress, ipv6.dnsAddress], ipFamilyPolicy: "PreferDualStack" as const }
        : {}),
      ports: [
        { name: "dns", port: 53, protocol: "UDP", targetPort: dnsPort },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: dnsPort },
      ],
    },
  });
  for (const address of bothOf(config, "nodeAddress"))
    await createOrPatch(client, endpointSlices, dnsSlice({ name, nodeName, address, port: dnsPort }));
}

/** Where cluster DNS answers on a node, in one family: meant for that node, since the others answer their own pods. */
export function dnsSlice(of: {
  name: string;
  nodeName: string;
  address: string;
  port: number;
  ready?: boolean;
}): Draft<discoveryv1.EndpointSlice> {
  const { nodeName, address, port, ready = true } = of;
  const isSecond = address.includes(":");
  return {
    metadata: {
      name: `${of.name}${isSecond ? "-ipv6" : ""}`,
      namespace,
      labels: {
        "kubernetes.io/service-name": name,
        [managedByLabel]: managedBy,
      },
    },
    addressType: isSecond ? "IPv6" : "IPv4",
    ports: [
      { name: "dns", port, protocol: "UDP" },
      { name: "dns-tcp", port, protocol: "TCP" },
    ],
    endpoints: [
      { addresses: [address], conditions: { ready }, nodeName, hints: { forNodes: [{ name: nodeName }] } },
    ],
  };
}
