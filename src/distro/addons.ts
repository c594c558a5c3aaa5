/**
 * The objects that every cluster has beside those of the API server: the `kube-dns` Service and where it leads, the
 * default StorageClass, the default IngressClass.
 */
import {
  type Draft,
  type discoveryv1,
  endpointSlices,
  isStatus,
  type KubernetesObject,
  type ResourceType,
  services,
  storageClasses,
} from "#api";
import type { Client } from "#client";
import { localPathProvisioner } from "#controllers";
import type { ClusterConfig } from "./config.ts";
import { bothOf } from "./families.ts";
import { installIngressClass } from "./ingress.ts";

const namespace = "kube-system";
const dnsLabels = {
  "k8s-app": "kube-dns",
  "kubernetes.io/cluster-service": "true",
  "kubernetes.io/name": "CoreDNS",
};

/** Idempotent. DNS answers on the node itself, so its EndpointSlices are written here and by no controller. */
export async function installAddons(client: Client, config: ClusterConfig): Promise<void> {
  const { dnsAddress, dnsPort, ipv6, nodeName } = config;
  await createOrPatch(client, services, {
    metadata: { name: "kube-dns", namespace, labels: dnsLabels },
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
  await installIngressClass(client);
  for (const address of bothOf(config, "nodeAddress"))
    await createOrPatch(
      client,
      endpointSlices,
      dnsSlice({ name: "kube-dns", nodeName, address, port: dnsPort }),
    );
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
        "kubernetes.io/service-name": "kube-dns",
        "endpointslice.kubernetes.io/managed-by": "knarr.dev",
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

/**
 * `standard`, as kind, minikube and GKE call theirs and as most manifests that name a class expect it. Once it is there
 * it is the user's: whoever prefers another default changes its annotation, and that stays.
 */
export async function installStorageClass(client: Client): Promise<void> {
  try {
    await client.create(storageClasses, {
      metadata: {
        name: "standard",
        annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
      },
      provisioner: localPathProvisioner,
      reclaimPolicy: "Delete",
      volumeBindingMode: "WaitForFirstConsumer",
      allowVolumeExpansion: true,
    });
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
  }
}

export async function createOrPatch<T extends KubernetesObject>(
  client: Client,
  type: ResourceType<T>,
  object: Draft<T>,
): Promise<void> {
  const { name, namespace: home } = object.metadata as { name: string; namespace: string };
  try {
    await client.create(type, object);
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
    await client.patch(type, { namespace: home, name }, "merge", object);
  }
}
