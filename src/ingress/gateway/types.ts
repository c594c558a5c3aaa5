/**
 * The kinds of the Gateway API, version v1, as far as they are served here.
 * https://gateway-api.sigs.k8s.io/reference/spec/
 */
import type { KubernetesObject, metav1, ResourceType } from "#api";

export const gatewayGroup = "gateway.networking.k8s.io";

export interface GatewayClass extends KubernetesObject {
  spec: { controllerName: string };
  status?: { conditions?: metav1.Condition[] };
}

export interface Gateway extends KubernetesObject {
  spec: {
    gatewayClassName: string;
    listeners: Listener[];
    addresses?: { type?: string; value?: string }[];
  };
  status?: {
    addresses?: { type?: string; value: string }[];
    conditions?: metav1.Condition[];
    listeners?: ListenerStatus[];
  };
}

export interface Listener {
  name: string;
  hostname?: string;
  port: number;
  protocol: string;
  tls?: { mode?: string; certificateRefs?: ObjectReference[] };
  allowedRoutes?: {
    namespaces?: { from?: "All" | "Same" | "Selector" | "None"; selector?: metav1.LabelSelector };
    kinds?: RouteKind[];
  };
}

export interface RouteKind {
  group?: string;
  kind: string;
}

export interface ListenerStatus {
  name: string;
  supportedKinds: RouteKind[];
  attachedRoutes: number;
  conditions: metav1.Condition[];
}

export interface ObjectReference {
  group?: string;
  kind?: string;
  name: string;
  namespace?: string;
}

export interface ParentReference extends ObjectReference {
  sectionName?: string;
  port?: number;
}

export interface BackendReference<Filter> extends ObjectReference {
  port?: number;
  weight?: number;
  filters?: Filter[];
}

/** What HTTPRoute and GRPCRoute share. */
export interface Route<Rule> extends KubernetesObject {
  spec: { parentRefs?: ParentReference[]; hostnames?: string[]; rules?: Rule[] };
  status?: { parents?: RouteParentStatus[] };
}

export interface RouteParentStatus {
  parentRef: ParentReference;
  controllerName: string;
  conditions: metav1.Condition[];
}

export interface ValueMatch {
  type?: "Exact" | "RegularExpression";
  name: string;
  value: string;
}

export interface HTTPRouteRule {
  matches?: HTTPRouteMatch[];
  filters?: RouteFilter[];
  backendRefs?: BackendReference<RouteFilter>[];
  timeouts?: { request?: string; backendRequest?: string };
}

export interface HTTPRouteMatch {
  path?: { type?: "Exact" | "PathPrefix" | "RegularExpression"; value?: string };
  headers?: ValueMatch[];
  queryParams?: ValueMatch[];
  method?: string;
}

export interface GRPCRouteRule {
  matches?: GRPCRouteMatch[];
  filters?: RouteFilter[];
  backendRefs?: BackendReference<RouteFilter>[];
}

export interface GRPCRouteMatch {
  method?: { type?: "Exact" | "RegularExpression"; service?: string; method?: string };
  headers?: ValueMatch[];
}

export interface HeaderFilter {
  set?: { name: string; value: string }[];
  add?: { name: string; value: string }[];
  remove?: string[];
}

export interface PathModifier {
  type: "ReplaceFullPath" | "ReplacePrefixMatch";
  replaceFullPath?: string;
  replacePrefixMatch?: string;
}

export interface RouteFilter {
  type: string;
  requestHeaderModifier?: HeaderFilter;
  responseHeaderModifier?: HeaderFilter;
  requestRedirect?: {
    scheme?: string;
    hostname?: string;
    path?: PathModifier;
    port?: number;
    statusCode?: number;
  };
  urlRewrite?: { hostname?: string; path?: PathModifier };
  cors?: CorsFilter;
}

export interface CorsFilter {
  allowOrigins?: string[];
  allowCredentials?: boolean;
  allowMethods?: string[];
  allowHeaders?: string[];
  exposeHeaders?: string[];
  maxAge?: number;
}

export type HTTPRoute = Route<HTTPRouteRule>;
export type GRPCRoute = Route<GRPCRouteRule>;

export interface ReferenceGrant extends KubernetesObject {
  spec: {
    from: { group: string; kind: string; namespace: string }[];
    to: { group: string; kind: string; name?: string }[];
  };
}

function kind<T extends KubernetesObject>(
  name: string,
  resource: string,
  namespaced = true,
): ResourceType<T> {
  return { group: gatewayGroup, version: "v1", resource, kind: name, namespaced };
}

export const gatewayClasses = kind<GatewayClass>("GatewayClass", "gatewayclasses", false);
export const gateways = kind<Gateway>("Gateway", "gateways");
export const httpRoutes = kind<HTTPRoute>("HTTPRoute", "httproutes");
export const grpcRoutes = kind<GRPCRoute>("GRPCRoute", "grpcroutes");
/** Every release of the Gateway API serves this version of it. */
export const referenceGrants: ResourceType<ReferenceGrant> = {
  ...kind<ReferenceGrant>("ReferenceGrant", "referencegrants"),
  version: "v1beta1",
};
