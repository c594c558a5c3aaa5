/** Which listeners of a Gateway are served, and what routes they take. https://gateway-api.sigs.k8s.io/reference/spec/#listener */
import { type corev1, selectorMatches } from "#api";
import { readCertificate } from "../certificate.ts";
import type { RoutingBuilder, Sites } from "../routing-builder.ts";
import type { ServiceSource } from "../services.ts";
import { fails, holds, type Verdict } from "./conditions.ts";
import { isGranted } from "./grants.ts";
import { siteOf } from "./hostnames.ts";
import type { AnyRoute } from "./rules.ts";
import {
  type Gateway,
  gatewayGroup,
  type Listener,
  type ObjectReference,
  type ParentReference,
  type ReferenceGrant,
} from "./types.ts";

export interface GatewaySource extends ServiceSource {
  secret(namespace: string, name: string): Readonly<corev1.Secret> | undefined;
  namespaceLabels(name: string): Readonly<Record<string, string>> | undefined;
}

export interface ListenerContext {
  builder: RoutingBuilder;
  source: GatewaySource;
  grants: readonly Readonly<ReferenceGrant>[];
  /** The node's port for a listener's. */
  portOf(port: number): number;
  /** Ports of the node that other programs have. */
  taken: ReadonlySet<number>;
}

/** A listener as it is served. */
export interface ServedListener {
  gateway: Readonly<Gateway>;
  listener: Listener;
  /** Kinds of routes. */
  kinds: string[];
  verdicts: Verdict[];
  /** Names of the attached routes. */
  attached: Set<string>;
  /** Absent where it is not served. */
  sites?: Sites;
}

const servedProtocols = ["HTTP", "HTTPS"];
const servedKinds = ["HTTPRoute", "GRPCRoute"];

export function serveListener(
  context: ListenerContext,
  gateway: Readonly<Gateway>,
  listener: Listener,
): ServedListener {
  const { kinds, invalid } = kindsOf(listener);
  const refused = refusal(context, listener);
  const certificates = refused ? undefined : certificatesOf(context, gateway, listener);
  const tls = listener.protocol === "HTTPS";
  const usable = !refused && (!tls || (certificates?.found.length ?? 0) > 0);
  const sites = usable ? context.builder.frontend(context.portOf(listener.port), tls) : undefined;
  const conflict = usable && !sites;
  const host = siteOf(listener.hostname);
  if (sites) {
    // A name of its own: requests for it go to no wider listener.
    sites.routes(host);
    const shownFor = listener.hostname ? [listener.hostname.toLowerCase()] : [];
    for (const [name, pem] of certificates?.found ?? []) sites.certificate(name, pem, shownFor);
  }
  const unresolved =
    certificates?.problem ??
    (invalid
      ? fails("ResolvedRefs", "InvalidRouteKinds", `routes of kind ${invalid} are not served`)
      : undefined);
  const message = `port ${listener.port} speaks another protocol already`;
  const problem = refused ?? (conflict ? fails("Accepted", "ProtocolConflict", message) : undefined);
  return {
    gateway,
    listener,
    kinds,
    attached: new Set(),
    ...(sites ? { sites } : {}),
    verdicts: [
      problem ?? holds("Accepted"),
      sites
        ? holds("Programmed")
        : fails("Programmed", "Invalid", problem?.message ?? unresolved?.message ?? ""),
      unresolved ?? holds("ResolvedRefs"),
      conflict
        ? { type: "Conflicted", holds: true, reason: "ProtocolConflict", message }
        : fails("Conflicted", "NoConflicts", ""),
    ],
  };
}

function refusal({ portOf, taken }: ListenerContext, { protocol, port }: Listener): Verdict | undefined {
  if (!servedProtocols.includes(protocol)) {
    return fails("Accepted", "UnsupportedProtocol", `protocol ${protocol} is not served: HTTP and HTTPS are`);
  }
  if (taken.has(portOf(port))) {
    const message = `port ${portOf(port)} of the node is in use by another program`;
    return fails("Accepted", "PortUnavailable", message);
  }
  return undefined;
}

function kindsOf({ allowedRoutes, protocol }: Listener): { kinds: string[]; invalid?: string } {
  if (!servedProtocols.includes(protocol)) return { kinds: [] };
  const wished = allowedRoutes?.kinds ?? [];
  if (wished.length === 0) return { kinds: servedKinds };
  const isServed = ({ group = gatewayGroup, kind }: { group?: string; kind: string }) =>
    group === gatewayGroup && servedKinds.includes(kind);
  const invalid = wished.find((each) => !isServed(each))?.kind;
  return { kinds: wished.filter(isServed).map(({ kind }) => kind), ...(invalid ? { invalid } : {}) };
}

interface Certificates {
  found: [name: string, pem: string][];
  problem?: Verdict;
}

function certificatesOf(
  context: ListenerContext,
  gateway: Readonly<Gateway>,
  listener: Listener,
): Certificates {
  const result: Certificates = { found: [] };
  if (listener.protocol !== "HTTPS") return result;
  for (const ref of listener.tls?.certificateRefs ?? []) {
    const read = readReference(context, gateway, ref);
    if (Array.isArray(read)) result.found.push(read);
    else result.problem ??= read;
  }
  if (result.found.length === 0) {
    result.problem ??= fails(
      "ResolvedRefs",
      "InvalidCertificateRef",
      "a listener for HTTPS needs a certificate",
    );
  }
  return result;
}

function readReference(
  { source, grants }: ListenerContext,
  gateway: Readonly<Gateway>,
  ref: ObjectReference,
): [name: string, pem: string] | Verdict {
  const bad = (message: string) => fails("ResolvedRefs", "InvalidCertificateRef", message);
  if (ref.group || (ref.kind ?? "Secret") !== "Secret") return bad("certificates are in Secrets");
  const from = gateway.metadata.namespace ?? "";
  const namespace = ref.namespace ?? from;
  const reference = { fromKind: "Gateway", fromNamespace: from, toKind: "Secret" };
  if (!isGranted(grants, { ...reference, toNamespace: namespace, toName: ref.name })) {
    const message = `no ReferenceGrant in namespace ${namespace} lets this Gateway refer to Secret ${ref.name}`;
    return fails("ResolvedRefs", "RefNotPermitted", message);
  }
  const secret = source.secret(namespace, ref.name);
  if (!secret) return bad(`there is no Secret ${namespace}/${ref.name}`);
  const read = readCertificate(secret);
  return "problem" in read ? bad(read.problem) : [`${namespace}_${ref.name}`, read.pem];
}

/** Whether a parent reference means this listener. */
export function isMeant({ listener }: ServedListener, { sectionName, port }: ParentReference): boolean {
  return (sectionName ?? listener.name) === listener.name && (port ?? listener.port) === listener.port;
}

/** Whether the listener takes routes of that kind and namespace. */
export function takes(
  { gateway, listener, kinds }: ServedListener,
  route: AnyRoute,
  source: GatewaySource,
): boolean {
  if (!kinds.includes(route.kind)) return false;
  const { from = "Same", selector } = listener.allowedRoutes?.namespaces ?? {};
  const namespace = route.metadata.namespace ?? "";
  if (from === "All") return true;
  if (from === "Same") return namespace === gateway.metadata.namespace;
  if (from !== "Selector") return false;
  const labels = source.namespaceLabels(namespace);
  return labels !== undefined && selectorMatches(selector, labels);
}
