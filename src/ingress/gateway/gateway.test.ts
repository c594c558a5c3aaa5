import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RoutingBuilder } from "../routing-builder.ts";
import { conditionsOf, fails, holds } from "./conditions.ts";
import { addGateways, type GatewayObjects, type GatewayOptions } from "./gateways.ts";
import { isGranted } from "./grants.ts";
import { commonHostnames } from "./hostnames.ts";
import { secondsOf } from "./rules.ts";
import type { Gateway, HTTPRoute, HTTPRouteRule, Listener, ReferenceGrant } from "./types.ts";

const meta = (name: string, namespace = "default") => ({
  name,
  namespace,
  uid: name,
  resourceVersion: "1",
  creationTimestamp: "2026-01-01T00:00:00Z",
});

function gatewayOf(...listeners: Listener[]): Gateway {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: meta("web"),
    spec: { gatewayClassName: "knarr", listeners },
  };
}

function routeOf(name: string, hostnames: string[], rules: HTTPRouteRule[], namespace?: string): HTTPRoute {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: meta(name, namespace),
    spec: { parentRefs: [{ name: "web", namespace: "default" }], hostnames, rules },
  };
}

const options: GatewayOptions = {
  source: {
    service: (namespace, name) =>
      ({ metadata: { name, namespace }, spec: { ports: [{ port: 80, protocol: "TCP" }] } }) as never,
    slices: () => [],
    secret: () => undefined,
    namespaceLabels: (name) => ({ team: name === "team" ? "yes" : "" }),
  },
  portOf: (port) => port,
  taken: new Set([9999]),
  addresses: ["192.0.2.1"],
};

const http: Listener = { name: "http", port: 80, protocol: "HTTP" };
const to = (name: string) => [{ name, port: 80 }];

function serve(objects: Partial<GatewayObjects>) {
  const builder = new RoutingBuilder();
  const verdicts = addGateways(builder, { gateways: [], routes: [], grants: [], ...objects }, options);
  const own = { name: "own", pem: "", hosts: [] };
  return { ...verdicts, routing: builder.build(own, undefined) };
}

const reasons = (verdicts: readonly { type: string; reason: string }[]) =>
  Object.fromEntries(verdicts.map(({ type, reason }) => [type, reason]));

describe("hostnames", () => {
  test("the narrower of two that meet", () => {
    expect(commonHostnames(undefined, [])).toEqual([""]);
    expect(commonHostnames("*.example.com", [])).toEqual(["*.example.com"]);
    expect(commonHostnames("*.example.com", ["a.b.example.com", "other.com"])).toEqual(["a.b.example.com"]);
    expect(commonHostnames("a.example.com", ["*.example.com", "*.com"])).toEqual(["a.example.com"]);
    expect(commonHostnames("*.example.com", ["example.com"])).toEqual([]);
  });

  test("it does not matter who of the two names what", () => {
    const label = fc.constantFrom("a", "b", "c");
    const host = fc.oneof(
      fc.array(label, { minLength: 1, maxLength: 4 }).map((all) => all.join(".")),
      fc.array(label, { minLength: 1, maxLength: 3 }).map((all) => `*.${all.join(".")}`),
    );
    fc.assert(
      fc.property(host, host, (a, b) => {
        expect(commonHostnames(a, [b])).toEqual(commonHostnames(b, [a]));
      }),
    );
  });
});

test("grants are for kinds, namespaces and names", () => {
  const grant = {
    metadata: meta("g", "secrets"),
    spec: {
      from: [{ group: "gateway.networking.k8s.io", kind: "Gateway", namespace: "default" }],
      to: [{ group: "", kind: "Secret", name: "cert" }],
    },
  } as ReferenceGrant;
  const reference = {
    fromKind: "Gateway",
    fromNamespace: "default",
    toKind: "Secret",
    toNamespace: "secrets",
    toName: "cert",
  };
  expect(isGranted([grant], reference)).toBe(true);
  for (const change of [
    { fromKind: "HTTPRoute" },
    { fromNamespace: "other" },
    { toKind: "Service" },
    { toName: "key" },
    { toNamespace: "others" },
  ]) {
    expect(isGranted([grant], { ...reference, ...change }), JSON.stringify(change)).toBe(false);
  }
  expect(isGranted([], { ...reference, toNamespace: "default" })).toBe(true);
});

test("durations", () => {
  expect(secondsOf("1h30m")).toBe(5400);
  expect(secondsOf("500ms")).toBe(0.5);
  expect(secondsOf("1m500ms")).toBe(60.5);
  expect(secondsOf("0s")).toBe(0);
});

test("a condition keeps its time until its status changes", () => {
  const first = conditionsOf([holds("Accepted")], undefined, 1, "2026-01-01T00:00:00Z");
  const later = conditionsOf([holds("Accepted", "Else")], first, 2, "2026-01-02T00:00:00Z");
  expect(later[0]).toMatchObject({
    reason: "Else",
    observedGeneration: 2,
    lastTransitionTime: "2026-01-01T00:00:00Z",
  });
  const failed = conditionsOf([fails("Accepted", "No", "")], later, 2, "2026-01-03T00:00:00Z");
  expect(failed[0]).toMatchObject({ status: "False", lastTransitionTime: "2026-01-03T00:00:00Z" });
});

test("rules for the same path: method, then headers, then parameters, then the older route", () => {
  const header = (name: string) => ({ name, value: "x" });
  const rules: HTTPRouteRule[] = [
    { backendRefs: to("plain") },
    { matches: [{ queryParams: [header("q")] }], backendRefs: to("query") },
    { matches: [{ headers: [header("a")] }], backendRefs: to("header") },
    { matches: [{ headers: [header("a"), header("b")] }], backendRefs: to("headers") },
    { matches: [{ method: "PUT" }], backendRefs: to("method") },
    { matches: [{ path: { type: "Exact", value: "/" } }], backendRefs: to("exact") },
    { matches: [{ path: { type: "PathPrefix", value: "/long" } }], backendRefs: to("long") },
  ];
  const late = routeOf("b", [], [{ backendRefs: to("late") }]);
  const { routing } = serve({ gateways: [gatewayOf(http)], routes: [late, routeOf("a", [], rules)] });
  const order = routing.frontends[0]!.sites[0]!.routes.map(({ targets }) => targets[0]!.backend);
  const names = ["exact", "long", "method", "headers", "header", "query", "plain"];
  expect(order).toEqual(names.map((name) => `default_${name}_80`));
});

test("a listener's own name is served by nobody else", () => {
  const narrow: Listener = { name: "narrow", port: 80, protocol: "HTTP", hostname: "a.example.com" };
  const wide: Listener = { name: "wide", port: 80, protocol: "HTTP", hostname: "*.example.com" };
  const route = routeOf("r", [], [{ backendRefs: to("one") }]);
  route.spec.parentRefs![0]!.sectionName = "wide";
  const { routing, gateways } = serve({ gateways: [gatewayOf(narrow, wide)], routes: [route] });
  const sites = Object.fromEntries(
    routing.frontends[0]!.sites.map(({ host, routes }) => [host, routes.length]),
  );
  expect(sites).toEqual({ "a.example.com": 0, "**.example.com": 1 });
  expect(gateways[0]!.listeners.map(({ attached }) => attached.size)).toEqual([0, 1]);
});

test("who may attach", () => {
  const namespaces = (from: "All" | "Same" | "Selector", selector?: object): Listener => ({
    ...http,
    allowedRoutes: { namespaces: { from, ...(selector ? { selector } : {}) } },
  });
  const away = routeOf("away", [], [{ backendRefs: to("one") }], "team");
  const accepted = (listener: Listener) =>
    reasons(serve({ gateways: [gatewayOf(listener)], routes: [away] }).routes[0]!.parents[0]!.verdicts)
      .Accepted;
  expect(accepted(http)).toBe("NotAllowedByListeners");
  expect(accepted(namespaces("All"))).toBe("Accepted");
  expect(accepted(namespaces("Selector", { matchLabels: { team: "yes" } }))).toBe("Accepted");
  expect(accepted(namespaces("Selector", { matchLabels: { team: "no" } }))).toBe("NotAllowedByListeners");
  expect(accepted({ ...http, allowedRoutes: { kinds: [{ kind: "GRPCRoute" }] } })).toBe(
    "NotAllowedByListeners",
  );
});

test("listeners that cannot be served say why", () => {
  const judged = (...listeners: Listener[]) =>
    serve({ gateways: [gatewayOf(...listeners)] }).gateways[0]!.listeners.map(({ verdicts }) =>
      reasons(verdicts),
    );
  expect(judged({ ...http, port: 9999 })[0]).toMatchObject({
    Accepted: "PortUnavailable",
    Programmed: "Invalid",
  });
  expect(judged({ ...http, protocol: "UDP" })[0]).toMatchObject({ Accepted: "UnsupportedProtocol" });
  const secured: Listener = {
    ...http,
    name: "s",
    protocol: "HTTPS",
    tls: { certificateRefs: [{ name: "c" }] },
  };
  expect(judged(secured)[0]).toMatchObject({ ResolvedRefs: "InvalidCertificateRef", Programmed: "Invalid" });
  expect(judged({ ...http, allowedRoutes: { kinds: [{ kind: "TCPRoute" }] } })[0]).toMatchObject({
    ResolvedRefs: "InvalidRouteKinds",
  });
});

test("a rule that cannot be served is dropped; the others stay", () => {
  const mirror = { filters: [{ type: "RequestMirror" }], backendRefs: to("one") };
  const good = { matches: [{ path: { value: "/good" } }], backendRefs: to("one") };
  const { routes, routing } = serve({
    gateways: [gatewayOf(http)],
    routes: [routeOf("r", [], [mirror, good])],
  });
  expect(reasons(routes[0]!.parents[0]!.verdicts)).toEqual({
    Accepted: "Accepted",
    ResolvedRefs: "ResolvedRefs",
    PartiallyInvalid: "UnsupportedValue",
  });
  expect(routing.frontends[0]!.sites[0]!.routes.map(({ path }) => path.value)).toEqual(["/good"]);
});
