/**
 * The objects that every cluster has beside those of the API server: the `kube-dns` Service and where it leads, the
 * default StorageClass, the default IngressClass.
 */
import {
  type Draft,
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
import { installIngressClass } from "./ingress.ts";

const namespace = "kube-system";
const dnsLabels = {
  "k8s-app": "kube-dns",
  "kubernetes.io/cluster-service": "true",
  "kubernetes.io/name": "CoreDNS",
};

/** Idempotent. DNS answers on the node itself, so its EndpointSlice is written here and by no controller. */
export async function installAddons(client: Client, config: ClusterConfig): Promise<void> {
  await createOrPatch(client, services, {
    metadata: { name: "kube-dns", namespace, labels: dnsLabels },
    spec: {
      clusterIP: config.dnsAddress,
      ports: [
        { name: "dns", port: 53, protocol: "UDP", targetPort: config.dnsPort },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: config.dnsPort },
      ],
    },
  });
  await installIngressClass(client);
  await createOrPatch(client, endpointSlices, {
    metadata: {
      name: "kube-dns",
      namespace,
      labels: {
        "kubernetes.io/service-name": "kube-dns",
        "endpointslice.kubernetes.io/managed-by": "knarr.dev",
      },
    },
    addressType: "IPv4",
    ports: [
      { name: "dns", port: config.dnsPort, protocol: "UDP" },
      { name: "dns-tcp", port: config.dnsPort, protocol: "TCP" },
    ],
    endpoints: [
      {
        addresses: [config.nodeAddress],
        conditions: { ready: true },
        nodeName: config.nodeName,
        // The other nodes answer their own pods: see node-dns.ts.
        hints: { forNodes: [{ name: config.nodeName }] },
      },
    ],
  });
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
