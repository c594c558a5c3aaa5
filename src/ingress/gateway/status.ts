/** What the Gateway API's objects say of themselves: written where it differs. */
import { isDeepStrictEqual } from "node:util";
import { formatTime, type KubernetesObject, type metav1 } from "#api";
import type { World } from "#base";
import type { Client } from "#client";
import { patchStatus } from "../patch-status.ts";
import { conditionsOf, fails, holds, type Verdict } from "./conditions.ts";
import type { GatewayVerdict, RouteVerdict } from "./gateways.ts";
import type { AnyRoute } from "./rules.ts";
import {
  type GatewayClass,
  gatewayClasses,
  gatewayGroup,
  gateways,
  grpcRoutes,
  httpRoutes,
  type RouteParentStatus,
} from "./types.ts";

export interface StatusOptions {
  client: Client;
  world: World;
  controllerName: string;
  addresses: readonly string[];
}

/** https://gateway-api.sigs.k8s.io/geps/gep-2162/ */
const features = [
  "GRPCRoute",
  "Gateway",
  "GatewayPort8080",
  "HTTPRoute",
  "HTTPRouteBackendProtocolH2C",
  "HTTPRouteBackendProtocolWebSocket",
  "HTTPRouteBackendTimeout",
  "HTTPRouteCORS",
  "HTTPRouteHostRewrite",
  "HTTPRouteMethodMatching",
  "HTTPRoutePathRedirect",
  "HTTPRoutePathRewrite",
  "HTTPRoutePortRedirect",
  "HTTPRouteQueryParamMatching",
  "HTTPRouteRequestTimeout",
  "HTTPRouteResponseHeaderModification",
  "HTTPRouteSchemeRedirect",
  "ReferenceGrant",
];

export class GatewayStatus {
  readonly #options: StatusOptions;

  constructor(options: StatusOptions) {
    this.#options = options;
  }

  async publishClass(object: Readonly<GatewayClass>): Promise<void> {
    const conditions = this.#conditions([holds("Accepted")], object.status?.conditions, object);
    if (isDeepStrictEqual(conditions, object.status?.conditions)) return;
    const supportedFeatures = features.map((name) => ({ name }));
    await patchStatus(this.#options.client, gatewayClasses, object, { conditions, supportedFeatures });
  }

  /** `failure` is why nothing new is served at all. */
  async publishGateway({ gateway, verdicts, listeners }: GatewayVerdict, failure?: string): Promise<void> {
    const told = (all: readonly Verdict[]) =>
      failure === undefined
        ? all
        : all.map((each) => (each.type === "Programmed" ? fails("Programmed", "Pending", failure) : each));
    const before = gateway.status;
    const status = {
      addresses: this.#options.addresses.map((value) => ({ type: "IPAddress", value })),
      conditions: this.#conditions(told(verdicts), before?.conditions, gateway),
      listeners: listeners.map(({ listener, kinds, attached, verdicts: own }) => ({
        name: listener.name,
        supportedKinds: kinds.map((kind) => ({ group: gatewayGroup, kind })),
        attachedRoutes: attached.size,
        conditions: this.#conditions(
          told(own),
          before?.listeners?.find(({ name }) => name === listener.name)?.conditions,
          gateway,
        ),
      })),
    };
    if (!isDeepStrictEqual(status, before))
      await patchStatus(this.#options.client, gateways, gateway, status);
  }

  /** Parents of other controllers stay as they are. */
  async publishRoute(route: AnyRoute, verdict: RouteVerdict | undefined): Promise<void> {
    const { controllerName } = this.#options;
    const before = route.status?.parents ?? [];
    const others = before.filter((parent) => parent.controllerName !== controllerName);
    const mine = (verdict?.parents ?? []).map(({ parentRef, verdicts }): RouteParentStatus => {
      const known = before.find(
        (each) => each.controllerName === controllerName && isDeepStrictEqual(each.parentRef, parentRef),
      );
      return {
        parentRef,
        controllerName,
        conditions: this.#conditions(verdicts, known?.conditions, route),
      };
    });
    const parents = [...others, ...mine];
    if (isDeepStrictEqual(parents, before)) return;
    await patchStatus(this.#options.client, route.kind === "GRPCRoute" ? grpcRoutes : httpRoutes, route, {
      parents,
    });
  }

  #conditions(
    verdicts: readonly Verdict[],
    before: readonly metav1.Condition[] | undefined,
    { metadata }: KubernetesObject,
  ): metav1.Condition[] {
    const now = formatTime(this.#options.world.clock.now());
    return conditionsOf(verdicts, before, metadata.generation, now);
  }
}
