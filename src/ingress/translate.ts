/** All that asks for routes as one routing. Loaded with the first of them: most clusters never see one. */
import {
  addGateways,
  type GatewayObjects,
  type GatewayVerdict,
  type RouteVerdict,
} from "./gateway/gateways.ts";
import type { GatewaySource } from "./gateway/listeners.ts";
import { addIngresses, type Ingress, type Problem } from "./kubernetes/rules.ts";
import type { Certificate, Routing } from "./model.ts";
import { RoutingBuilder, Sites } from "./routing-builder.ts";

export interface Wanted {
  ingresses: readonly Ingress[];
  gateways: GatewayObjects;
}

export interface NodeFacts {
  addresses: readonly string[];
  httpPort: number;
  httpsPort: number;
  /** Ports that other programs have. */
  taken: ReadonlySet<number>;
  /** For names that nobody has a certificate for. */
  own: Certificate;
}

export interface Translation {
  routing: Routing;
  problems: Problem[];
  gateways: GatewayVerdict[];
  routes: RouteVerdict[];
}

/** The node's port for a listener's: where others than 80 and 443 serve these, as with a second cluster on a machine. */
export function nodePort(
  port: number,
  { httpPort, httpsPort }: Pick<NodeFacts, "httpPort" | "httpsPort">,
): number {
  if (port === 80) return httpPort;
  return port === 443 ? httpsPort : port;
}

export function translate(source: GatewaySource, wanted: Wanted, node: NodeFacts): Translation {
  const builder = new RoutingBuilder();
  const sites = new Sites();
  const { problems, defaultBackend } = addIngresses(builder, sites, source, wanted.ingresses);
  if (wanted.ingresses.length > 0) {
    builder.frontend(node.httpPort, false)?.include(sites);
    builder.frontend(node.httpsPort, true)?.include(sites);
  }
  const { gateways, routes } = addGateways(builder, wanted.gateways, {
    source,
    portOf: (port) => nodePort(port, node),
    taken: node.taken,
    addresses: node.addresses,
  });
  const routing = builder.build(node.own, defaultBackend);
  const ipv6 = node.addresses.some((address) => address.includes(":"));
  if (ipv6) for (const frontend of routing.frontends) frontend.ipv6 = true;
  return { routing, problems, gateways, routes };
}
