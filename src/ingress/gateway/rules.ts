/** The rules of HTTPRoutes and GRPCRoutes as routes of the model. https://gateway-api.sigs.k8s.io/api-types/httproute/ */
import { messageOf, parseGoDuration } from "#base";
import type { BackendOptions, Route as ModelRoute, PathMatch, Target } from "../model.ts";
import type { RoutingBuilder } from "../routing-builder.ts";
import { type ServiceSource, serversOf } from "../services.ts";
import { fails, holds, type Verdict } from "./conditions.ts";
import { filterOptions, joinOptions, UnsupportedValue } from "./filters.ts";
import { isGranted } from "./grants.ts";
import { grpcMatch, httpMatch, type Match } from "./matches.ts";
import type {
  BackendReference,
  GRPCRoute,
  GRPCRouteMatch,
  GRPCRouteRule,
  HTTPRoute,
  HTTPRouteMatch,
  HTTPRouteRule,
  ReferenceGrant,
  RouteFilter,
} from "./types.ts";

export type AnyRoute = Readonly<HTTPRoute> | Readonly<GRPCRoute>;

export interface RuleContext {
  builder: RoutingBuilder;
  source: ServiceSource;
  grants: readonly Readonly<ReferenceGrant>[];
}

export interface TranslatedRoute {
  /** In the order of its rules. */
  routes: ModelRoute[];
  /** `ResolvedRefs`. */
  resolved: Verdict;
  /** Why rules were dropped. */
  dropped: string[];
}

/** Durations of the Gateway API are some of Go's. Throws `UnsupportedValue`. https://gateway-api.sigs.k8s.io/geps/gep-2257/ */
export function secondsOf(duration: string): number {
  try {
    return parseGoDuration(duration) / 1000;
  } catch (error) {
    throw new UnsupportedValue(messageOf(error));
  }
}

/** No limit: what HAProxy has instead of it. */
const longestSeconds = 86_400;

export function translateRoute(context: RuleContext, route: AnyRoute): TranslatedRoute {
  const translation = new RouteTranslation(context, route);
  for (const [i, rule] of (route.spec.rules ?? []).entries()) translation.add(rule, i);
  return translation.result();
}

class RouteTranslation {
  readonly #context: RuleContext;
  readonly #route: AnyRoute;
  readonly #routes: ModelRoute[] = [];
  readonly #dropped: string[] = [];
  #resolved = holds("ResolvedRefs");

  constructor(context: RuleContext, route: AnyRoute) {
    this.#context = context;
    this.#route = route;
  }

  /** All of a rule or nothing. */
  add(rule: HTTPRouteRule | GRPCRouteRule, index: number): void {
    try {
      const added = this.#matches(rule).map((match) => ({
        ...match,
        targets: this.#targets(rule, match.path),
      }));
      this.#routes.push(...added);
    } catch (error) {
      if (!(error instanceof UnsupportedValue)) throw error;
      this.#dropped.push(`Dropped Rule ${index}: ${error.message}`);
    }
  }

  result(): TranslatedRoute {
    return { routes: this.#routes, resolved: this.#resolved, dropped: this.#dropped };
  }

  #matches(rule: HTTPRouteRule | GRPCRouteRule): Match[] {
    const matches = rule.matches?.length ? rule.matches : [{}];
    return this.#isGrpc()
      ? (matches as GRPCRouteMatch[]).map(grpcMatch)
      : (matches as HTTPRouteMatch[]).map(httpMatch);
  }

  #isGrpc(): boolean {
    return this.#route.kind === "GRPCRoute";
  }

  #targets(rule: HTTPRouteRule | GRPCRouteRule, path: PathMatch): Target[] {
    const { builder } = this.#context;
    const options = { ...filterOptions(rule.filters, path), ...this.#timeouts(rule) };
    if (options.redirect) return [{ backend: builder.backend("redirect", [], options), weight: 1 }];
    const targets = (rule.backendRefs ?? []).map((ref) => ({
      backend: this.#backend(ref, joinOptions(options, filterOptions(ref.filters, path))),
      weight: ref.weight ?? 1,
    }));
    const wanted = targets.filter(({ weight }) => weight > 0);
    if (wanted.length > 0) return wanted;
    return [{ backend: builder.answer(500, "this route leads nowhere"), weight: 1 }];
  }

  #timeouts(rule: HTTPRouteRule | GRPCRouteRule): BackendOptions {
    if (!("timeouts" in rule)) return {};
    const wished = [rule.timeouts?.request, rule.timeouts?.backendRequest].filter(
      (each) => each !== undefined,
    );
    if (wished.length === 0) return {};
    return { serverTimeout: Math.min(...wished.map((each) => secondsOf(each) || longestSeconds)) };
  }

  #backend(ref: BackendReference<RouteFilter>, options: BackendOptions): string {
    const { builder, source, grants } = this.#context;
    const from = this.#route.metadata.namespace ?? "";
    const namespace = ref.namespace ?? from;
    if (ref.group || (ref.kind ?? "Service") !== "Service") {
      return this.#unresolved("InvalidKind", `backends of kind ${ref.kind} are not served`);
    }
    const reference = { fromKind: this.#route.kind, fromNamespace: from, toKind: "Service" };
    if (!isGranted(grants, { ...reference, toNamespace: namespace, toName: ref.name })) {
      const message = `no ReferenceGrant in namespace ${namespace} lets this route refer to Service ${ref.name}`;
      return this.#unresolved("RefNotPermitted", message);
    }
    const found = serversOf(source, namespace, ref.name, { number: ref.port });
    if ("problem" in found) return this.#unresolved("BackendNotFound", found.problem);
    const speaks =
      this.#isGrpc() || found.appProtocol === "kubernetes.io/h2c" ? { protocol: "GRPC" as const } : {};
    const name = `${namespace}_${ref.name}_${ref.port}`;
    return builder.backend(name, found.servers, { ...options, ...speaks });
  }

  #unresolved(reason: string, message: string): string {
    if (this.#resolved.holds) this.#resolved = fails("ResolvedRefs", reason, message);
    return this.#context.builder.answer(500, "this route leads nowhere");
  }
}
