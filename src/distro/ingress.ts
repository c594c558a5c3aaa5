/** Ingresses on this node: the class that charts find, and the controller behind it. */
import { ingressClasses, isStatus } from "#api";
import type { World } from "#base";
import type { Client } from "#client";
import { ingressController, startIngress } from "#ingress";
import type { Running } from "./components.ts";
import type { ClusterConfig, ClusterPaths } from "./config.ts";
import type { ControlPlane } from "./control-plane.ts";
import { loadStoredAuthority } from "./credentials.ts";

/** The class of Ingresses that name none. Whoever makes another one the default changes its annotation, and it stays so. */
export async function installIngressClass(client: Client): Promise<void> {
  try {
    await client.create(ingressClasses, {
      metadata: { name: "knarr", annotations: { "ingressclass.kubernetes.io/is-default-class": "true" } },
      spec: { controller: ingressController },
    });
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
  }
}

export function startNodeIngress(
  world: World,
  config: ClusterConfig,
  paths: ClusterPaths,
  { clientOf, informers }: ControlPlane,
): Promise<Running> {
  return startIngress({
    world,
    client: clientOf("system:knarr-ingress"),
    informers,
    nodeName: config.nodeName,
    dir: paths.ingress,
    addresses: [config.nodeAddress],
    httpPort: config.httpPort,
    httpsPort: config.httpsPort,
    ownCertificate: async () => {
      const authority = await loadStoredAuthority(world, paths.tls);
      const { cert, key } = await authority.issue({
        commonName: "knarr-ingress",
        use: "server",
        dnsNames: ["ingress.local"],
        addresses: [config.nodeAddress],
      });
      return `${cert}${key}`;
    },
  });
}
