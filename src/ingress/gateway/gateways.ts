/**
 * Gateways with their routes as a routing, and what their status shall say.
 * https://gateway-api.sigs.k8s.io/concepts/api-overview/
 */
import type { KubernetesObject } from "#api";
import { byAge } from "../by-age.ts";
import type { Route as ModelRoute } from "../model.ts";
import type { RoutingBuilder, Sites } from "../routing-builder.ts";
import { fails, holds, type Verdict } from "./conditions.ts";
import { commonHostnames, siteOf } from "./hostnames.ts";
import {
  type GatewaySource,
  isMeant,
  type ListenerContext,
  type ServedListener,
  serveListener,
  takes,
} from "./listeners.ts";
import { bySpecificity } from "./matches.ts";
import { type AnyRoute, type RuleContext, type TranslatedRoute, translateRoute } from "./rules.ts";
import { type Gateway, gatewayGroup, type ParentReference, type ReferenceGrant } from "./types.ts";

export interface GatewayObjects {
  /** Those of this controller's classes. */
  gateways: readonly Readonly<Gateway>[];
  routes: readonly AnyRoute[];
  grants: readonly Readonly<ReferenceGrant>[];
}

export interface GatewayOptions {
  source: GatewaySource;
  /** The node's port for a listener's. */
  portOf(port: number): number;
  /** Ports of the node that other programs have. */
  taken: ReadonlySet<number>;
  /** Where the node is reached. */
  addresses: readonly string[];
}

export interface GatewayVerdict {
  gateway: Readonly<Gateway>;
  verdicts: Verdict[];
  listeners: ServedListener[];
}

export interface RouteVerdict {
  route: AnyRoute;
  parents: { parentRef: ParentReference; verdicts: Verdict[] }[];
}

export function addGateways(
  builder: RoutingBuilder,
  { gateways, routes, grants }: GatewayObjects,
  options: GatewayOptions,
): { gateways: GatewayVerdict[]; routes: RouteVerdict[] } {
  const context: ListenerContext & RuleContext = { builder, grants, ...options };
  const served = gateways.toSorted(byAge).map((gateway) => ({
    gateway,
    listeners: gateway.spec.listeners.map((listener) => serveListener(context, gateway, listener)),
  }));
  const listeners = new Map(served.map((each) => [keyOf(each.gateway), each.listeners]));
  const attachment = new Attachment(context, listeners);
  const judged = routes.toSorted(byAge).map((route) => attachment.attach(route));
  attachment.finish();
  return {
    gateways: served.map((each) => ({ ...each, verdicts: gatewayVerdicts(each, options.addresses) })),
    routes: judged.filter(({ parents }) => parents.length > 0),
  };
}

function keyOf({ metadata }: KubernetesObject): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function gatewayVerdicts(
  { gateway, listeners }: { gateway: Readonly<Gateway>; listeners: ServedListener[] },
  addresses: readonly string[],
): Verdict[] {
  const others = (gateway.spec.addresses ?? []).filter(
    ({ type = "IPAddress", value }) => value && !(type === "IPAddress" && addresses.includes(value)),
  );
  if (others.length > 0) {
    const message = `Gateways are served at ${addresses.join(", ")}`;
    return [
      fails("Accepted", "UnsupportedAddress", message),
      fails("Programmed", "AddressNotUsable", message),
    ];
  }
  const good = listeners.filter(({ sites }) => sites).length;
  if (good === listeners.length) return [holds("Accepted"), holds("Programmed")];
  const message = `${listeners.length - good} of ${listeners.length} listeners are not served: see their conditions`;
  return [
    { type: "Accepted", holds: good > 0, reason: "ListenersNotValid", message },
    good > 0 ? holds("Programmed") : fails("Programmed", "Invalid", message),
  ];
}

/** Brings routes to the listeners that they name. */
class Attachment {
  readonly #context: ListenerContext & RuleContext;
  readonly #listeners: ReadonlyMap<string, ServedListener[]>;
  /** For each site what comes to it, so that all its routes can be put in order. */
  readonly #arrivals = new Map<Sites, Map<string, ModelRoute[]>>();

  constructor(context: ListenerContext & RuleContext, listeners: ReadonlyMap<string, ServedListener[]>) {
    this.#context = context;
    this.#listeners = listeners;
  }

  attach(route: AnyRoute): RouteVerdict {
    const result: RouteVerdict = { route, parents: [] };
    let translated: TranslatedRoute | undefined;
    for (const parentRef of route.spec.parentRefs ?? []) {
      const listeners = this.#listenersOf(route, parentRef);
      if (!listeners) continue;
      translated ??= translateRoute(this.#context, route);
      const verdicts = [this.#attachTo(listeners, route, parentRef, translated), translated.resolved];
      const { dropped, routes } = translated;
      if (dropped.length > 0 && routes.length > 0) {
        verdicts.push(holds("PartiallyInvalid", "UnsupportedValue", dropped.join("; ")));
      }
      result.parents.push({ parentRef, verdicts });
    }
    return result;
  }

  /** The most specific first, then the oldest. */
  finish(): void {
    for (const [sites, hosts] of this.#arrivals) {
      for (const [host, routes] of hosts) {
        const ordered = routes.toSorted(bySpecificity);
        sites.routes(host).push(...ordered);
      }
    }
  }

  /** Undefined where the parent is nobody of ours. */
  #listenersOf(
    route: AnyRoute,
    { group = gatewayGroup, kind = "Gateway", namespace, name }: ParentReference,
  ) {
    if (group !== gatewayGroup || kind !== "Gateway") return undefined;
    return this.#listeners.get(`${namespace ?? route.metadata.namespace}/${name}`);
  }

  #attachTo(
    all: readonly ServedListener[],
    route: AnyRoute,
    parentRef: ParentReference,
    { routes, dropped }: TranslatedRoute,
  ): Verdict {
    const meant = all.filter((listener) => isMeant(listener, parentRef));
    if (meant.length === 0) return fails("Accepted", "NoMatchingParent", "the Gateway has no such listener");
    const willing = meant.filter((listener) => takes(listener, route, this.#context.source));
    if (willing.length === 0)
      return fails(
        "Accepted",
        "NotAllowedByListeners",
        "no listener takes routes of this kind and namespace",
      );
    const meeting = willing
      .map((listener) => ({
        listener,
        hosts: commonHostnames(listener.listener.hostname, route.spec.hostnames),
      }))
      .filter(({ hosts }) => hosts.length > 0);
    if (meeting.length === 0)
      return fails("Accepted", "NoMatchingListenerHostname", "no listener has a hostname of this route");
    if (dropped.length > 0 && routes.length === 0)
      return fails("Accepted", "UnsupportedValue", dropped.join("; "));
    for (const { listener, hosts } of meeting) {
      listener.attached.add(`${route.kind} ${keyOf(route)}`);
      for (const host of hosts) this.#arrive(listener, siteOf(host), routes);
    }
    return holds("Accepted");
  }

  #arrive({ sites }: ServedListener, host: string, routes: readonly ModelRoute[]): void {
    if (!sites) return;
    let hosts = this.#arrivals.get(sites);
    if (!hosts) {
      hosts = new Map();
      this.#arrivals.set(sites, hosts);
    }
    hosts.set(host, [...(hosts.get(host) ?? []), ...routes]);
  }
}
