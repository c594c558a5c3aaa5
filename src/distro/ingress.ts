/** Ingresses and Gateways on this node: the classes that charts find, and the controller behind them. */
import { customResourceDefinitions, ingressClasses, isStatus } from "#api";
import type { Clock, World } from "#base";
import type { Client } from "#client";
import { gatewayClasses, gatewayController, ingressController, startIngress } from "#ingress";
import type { Running } from "./components.ts";
import type { ClusterConfig, ClusterPaths } from "./config.ts";
import type { ControlPlane } from "./control-plane.ts";
import { loadStoredAuthority } from "./credentials.ts";
import { bothOf } from "./families.ts";

/** The class of Ingresses that name none. Whoever makes another one the default changes its annotation, and it stays so. */
export async function installIngressClass(client: Client): Promise<void> {
  const ingressClass = {
    metadata: { name: "knarr", annotations: { "ingressclass.kubernetes.io/is-default-class": "true" } },
    spec: { controller: ingressController },
  };
  await client.create(ingressClasses, ingressClass).catch(unlessThere);
}

/** Definitions are served a moment after they are written. */
const servedMs = 10_000;
const pollMs = 20;

/** The Gateway API with a class; definitions that are there already stay as they are. */
export async function installGatewayApi(client: Client, clock: Clock): Promise<void> {
  const { gatewayDefinitions } = await import("#ingress");
  for (const definition of gatewayDefinitions()) {
    await client.create(customResourceDefinitions, definition).catch(unlessThere);
  }
  const gatewayClass = { metadata: { name: "knarr" }, spec: { controllerName: gatewayController } };
  const deadline = clock.monotonic() + servedMs;
  for (;;) {
    try {
      await client.create(gatewayClasses, gatewayClass);
      return;
    } catch (error) {
      if (isStatus(error, "AlreadyExists")) return;
      if (!isStatus(error, "NotFound") || clock.monotonic() > deadline) throw error;
      await clock.sleep(pollMs);
    }
  }
}

function unlessThere(error: unknown): void {
  if (!isStatus(error, "AlreadyExists")) throw error;
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
    addresses: bothOf(config, "nodeAddress"),
    httpPort: config.httpPort,
    httpsPort: config.httpsPort,
    ownCertificate: async () => {
      const authority = await loadStoredAuthority(world, paths.tls);
      const { cert, key } = await authority.issue({
        commonName: "knarr-ingress",
        use: "server",
        dnsNames: ["ingress.local"],
        addresses: bothOf(config, "nodeAddress"),
      });
      return `${cert}${key}`;
    },
  });
}
