/**
 * The objects that every cluster has beside those of the API server: the `kube-dns` Service and where it leads, the
 * default StorageClass, the default IngressClass.
 */
import { isStatus, storageClasses } from "#api";
import type { Client } from "#client";
import { localPathProvisioner } from "#controllers";
import { installDns } from "./cluster-dns.ts";
import type { ClusterConfig } from "./config.ts";
import { installIngressClass } from "./ingress.ts";

/** Idempotent. */
export async function installAddons(client: Client, config: ClusterConfig): Promise<void> {
  await installDns(client, config);
  await installIngressClass(client);
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
