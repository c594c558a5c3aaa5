/**
 * Addresses of Services of type LoadBalancer. Without a pool a Service gets the addresses of the nodes, where its ports
 * are free there, and an address of its own otherwise; with a pool (ConfigMap `kube-system/knarr-load-balancer`) always
 * one of its own. The data plane is the service proxy's.
 * https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer
 */
import { isIPv6 } from "node:net";
import {
  configMaps,
  type corev1,
  endpointSlices,
  ingresses,
  type networkingv1,
  nodes,
  sameJson,
  services,
} from "#api";
import { indexByService, keyOf, serviceOf, slicesOfService } from "#client";
import {
  type ControllerContext,
  type ControllerOptions,
  defineController,
  done,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import { type AddressRange, freeAddress, parsePool, poolHas } from "./address-pool.ts";

type Service = Readonly<corev1.Service>;
type Node = Readonly<corev1.Node>;
type Ingress = corev1.LoadBalancerIngress;

type LoadBalancerOptions = NonNullable<ControllerOptions["loadBalancer"]>;

/** 198.18.0.0/15 is nobody's: https://www.rfc-editor.org/rfc/rfc2544 */
const defaultOptions: LoadBalancerOptions = {
  reservedPorts: [22],
  ingressPorts: [],
  fallback: "198.18.0.0/24",
};

const configNamespace = "kube-system";
const configName = "knarr-load-balancer";
/** Services of this class are ours too; those of any other are somebody else's. */
const ownClass = "knarr.dev/load-balancer";
const excludeLabel = "node.kubernetes.io/exclude-from-external-load-balancers";
const nodePorts = { from: 30_000, to: 32_767 };

/** All decisions are one: what one Service gets no other can have. */
const onlyKey = "load-balancers";
const balancedIndex = "loadBalancer";

export interface LoadBalancerState {
  services: readonly Service[];
  nodes: readonly Node[];
  /** Names of the nodes with a ready endpoint, by the key of a Service that keeps to them. */
  localNodes: ReadonlyMap<string, ReadonlySet<string>>;
  config: Readonly<corev1.ConfigMap> | undefined;
  /** The nodes serve Ingresses. */
  hasIngresses: boolean;
  options: LoadBalancerOptions;
}

interface Change {
  service: Service;
  ingress: Ingress[];
  /** Absent: addresses that are taken away. */
  kind: "ensure" | "update" | "delete";
}

export interface LoadBalancerPlan {
  changes: readonly Change[];
  /** Services for which no address was left, and what is wrong with the configuration. */
  troubles: readonly { subject: Service | Readonly<corev1.ConfigMap>; reason: string; message: string }[];
}

function isOurs({ spec, metadata }: Service): boolean {
  if (spec.type !== "LoadBalancer" || metadata.deletionTimestamp) return false;
  return !spec.loadBalancerClass || spec.loadBalancerClass === ownClass;
}

function ingressOf(service: Service): readonly Readonly<Ingress>[] {
  return service.status?.loadBalancer?.ingress ?? [];
}

function portKeys({ spec }: Service): string[] {
  return (spec.ports ?? []).map(({ port, protocol = "TCP" }) => `${protocol}/${port}`);
}

/** Where a node is reached from outside, of one family: its external address, or its internal one. */
function addressOf({ status }: Node, ipv6: boolean): string | undefined {
  const of = (type: string) =>
    status.addresses?.find((each) => each.type === type && isIPv6(each.address) === ipv6)?.address;
  return of("ExternalIP") ?? of("InternalIP");
}

function isEligible({ metadata, status }: Node): boolean {
  if (metadata.deletionTimestamp || metadata.labels?.[excludeLabel] !== undefined) return false;
  return status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;
}

/** The giving out of addresses, oldest Service first, so that nobody loses what it has to a newer one. */
class Allocation {
  readonly #state: Readonly<LoadBalancerState>;
  readonly #pool: readonly AddressRange[] | undefined;
  readonly #fallback: readonly AddressRange[];
  /** Who has an address of its own. */
  readonly #owners = new Map<string, string>();
  /** Ports that Services have on the nodes. */
  readonly #onNodes = new Map<string, string>();

  constructor(state: Readonly<LoadBalancerState>, pool: readonly AddressRange[] | undefined) {
    this.#state = state;
    this.#pool = pool;
    this.#fallback = parsePool(state.options.fallback).ranges;
  }

  /** What stands in the status stays, as long as it may. */
  keep(service: Service): void {
    const key = keyOf(service);
    const own = ingressOf(service).flatMap(({ ip }) => (ip && this.#isOwn(ip) ? [ip] : []));
    for (const ip of own) if (!this.#owners.has(ip)) this.#owners.set(ip, key);
    if (own.length === 0 && ingressOf(service).length > 0 && this.#mayUseNodes(service))
      this.#takeNodes(service);
  }

  /** The addresses of a Service; undefined when there are none left. */
  give(service: Service): Ingress[] | undefined {
    const families = service.spec.ipFamilies ?? ["IPv4"];
    const key = keyOf(service);
    const has = ingressOf(service).some(({ ip }) => ip && this.#owners.get(ip) === key);
    if (!this.#pool && !has && this.#mayUseNodes(service)) {
      this.#takeNodes(service);
      return this.#nodeAddresses(service).map((ip) => ({ ip, ipMode: "VIP" }));
    }
    const given: Ingress[] = [];
    for (const family of families) {
      const ip = this.#ownAddress(service, family === "IPv6");
      if (ip) given.push({ ip, ipMode: "VIP" });
    }
    return given.length > 0 ? given : undefined;
  }

  /** Ports of Ingresses that the Service has on the nodes. */
  ingressPortsOf(service: Service): number[] {
    const { options, hasIngresses } = this.#state;
    if (!hasIngresses) return [];
    return (service.spec.ports ?? [])
      .filter(({ port, protocol = "TCP" }) => protocol === "TCP" && options.ingressPorts.includes(port))
      .filter(({ port }) => this.#onNodes.get(`TCP/${port}`) === keyOf(service))
      .map(({ port }) => port);
  }

  #isOwn(ip: string): boolean {
    return poolHas(this.#pool ?? this.#fallback, ip);
  }

  #mayUseNodes(service: Service): boolean {
    if (this.#pool) return false;
    const key = keyOf(service);
    const { options, hasIngresses } = this.#state;
    // A Service that was there before the first Ingress stays where it is: its clients know it.
    const withIngresses = hasIngresses && ingressOf(service).length === 0;
    const taken = [...options.reservedPorts, ...(withIngresses ? options.ingressPorts : [])];
    const reserved = (service.spec.ports ?? []).some(
      ({ port }) => taken.includes(port) || (port >= nodePorts.from && port <= nodePorts.to),
    );
    return !reserved && portKeys(service).every((port) => (this.#onNodes.get(port) ?? key) === key);
  }

  #takeNodes(service: Service): void {
    for (const port of portKeys(service)) this.#onNodes.set(port, keyOf(service));
  }

  #nodeAddresses(service: Service): string[] {
    const eligible = this.#state.nodes
      .filter(isEligible)
      .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    const local = this.#state.localNodes.get(keyOf(service));
    const holding = eligible.filter(({ metadata }) => local?.has(metadata.name));
    const chosen = local && holding.length > 0 ? holding : eligible;
    const families = service.spec.ipFamilies ?? ["IPv4"];
    return families.flatMap((family) => chosen.flatMap((node) => addressOf(node, family === "IPv6") ?? []));
  }

  #ownAddress(service: Service, ipv6: boolean): string | undefined {
    const key = keyOf(service);
    const ranges = this.#pool ?? this.#fallback;
    const isFree = (ip: string) => (this.#owners.get(ip) ?? key) === key;
    const asked = service.spec.loadBalancerIP;
    const current = ingressOf(service).find(
      ({ ip }) => ip && isIPv6(ip) === ipv6 && this.#owners.get(ip) === key,
    );
    const wanted = asked && isIPv6(asked) === ipv6 && this.#pool ? asked : current?.ip;
    const ip =
      wanted && poolHas(ranges, wanted)
        ? isFree(wanted)
          ? wanted
          : undefined
        : freeAddress(ranges, ipv6, (each) => this.#owners.has(each));
    if (ip) this.#owners.set(ip, key);
    return ip;
  }
}

function byAge(a: Service, b: Service): number {
  const [x, y] = [a, b].map(({ metadata }) => `${metadata.creationTimestamp ?? ""}/${keyOf({ metadata })}`);
  return x! < y! ? -1 : 1;
}

/** Addresses that change within the nodes' are news of another kind than the first ones. */
function changeOf(service: Service, ingress: Ingress[]): Change | undefined {
  const before = ingressOf(service);
  if (sameJson(before, ingress)) return undefined;
  return { service, ingress, kind: before.length === 0 ? "ensure" : "update" };
}

export function decideLoadBalancers(state: Readonly<LoadBalancerState>): LoadBalancerPlan | undefined {
  const { config } = state;
  if (config?.data?.enabled === "false") return undefined;
  const pool = parsePool(config?.data?.addresses ?? "");
  const troubles: LoadBalancerPlan["troubles"][number][] = pool.errors.map((message) => ({
    subject: config!,
    reason: "InvalidAddresses",
    message,
  }));
  const allocation = new Allocation(state, pool.ranges.length > 0 ? pool.ranges : undefined);
  const ours = state.services.filter(isOurs).sort(byAge);
  for (const service of ours) allocation.keep(service);
  const changes: Change[] = [];
  for (const service of ours) {
    const ingress = allocation.give(service);
    if (!ingress) {
      const message = "Error syncing load balancer: failed to ensure load balancer: no address is free";
      troubles.push({ subject: service, reason: "SyncLoadBalancerFailed", message });
    }
    // While no node is there, the last address known stays.
    if (ingress?.length === 0) continue;
    const stolen = allocation.ingressPortsOf(service);
    if (stolen.length > 0) {
      const ports = stolen.join(" and ");
      const message = `The Service had port ${ports} of the nodes before the first Ingress: Ingresses are not reached there. Made anew it gets an address of its own`;
      troubles.push({ subject: service, reason: "IngressPortTaken", message });
    }
    const change = changeOf(service, ingress ?? []);
    if (change && (ingress || ingressOf(service).length > 0)) changes.push(change);
  }
  for (const service of state.services) {
    const isFormer = service.spec.type !== "LoadBalancer" && ingressOf(service).length > 0;
    if (isFormer && !service.metadata.deletionTimestamp)
      changes.push({ service, ingress: [], kind: "delete" });
  }
  return changes.length > 0 || troubles.length > 0 ? { changes, troubles } : undefined;
}

const words: Record<Change["kind"], readonly [reason: string, message: string][]> = {
  ensure: [
    ["EnsuringLoadBalancer", "Ensuring load balancer"],
    ["EnsuredLoadBalancer", "Ensured load balancer"],
  ],
  update: [["UpdatedLoadBalancer", "Updated load balancer with new hosts"]],
  delete: [
    ["DeletingLoadBalancer", "Deleting load balancer"],
    ["DeletedLoadBalancer", "Deleted load balancer"],
  ],
};

async function act({ changes, troubles }: LoadBalancerPlan, context: ControllerContext): Promise<Outcome> {
  const { client, events, memory } = context;
  for (const { subject, reason, message } of troubles) {
    // The same trouble is told once, not at every look.
    const said = `${subject.metadata.uid}/${message}`;
    if (memory.get(keyOf(subject)) === said) continue;
    memory.set(keyOf(subject), said);
    events.record(subject as corev1.Service, "Warning", reason, message);
  }
  for (const { service, ingress, kind } of changes) {
    const { uid, resourceVersion } = service.metadata;
    const loadBalancer = { ingress: ingress.length > 0 ? ingress : null };
    const patch = { metadata: { uid, resourceVersion }, status: { loadBalancer } };
    await client.patch(services, service.metadata, "merge", patch, { subresource: "status" });
    for (const [reason, message] of words[kind])
      events.record(service as corev1.Service, "Normal", reason, message);
  }
  return done;
}

export const loadBalancerController = defineController<LoadBalancerState, LoadBalancerPlan>({
  name: "service-controller",
  secondaries: [
    source(services, (service) => (isBalanced(service) ? [onlyKey] : [])),
    source(nodes, () => [onlyKey]),
    source(endpointSlices, (slice, { informers }) => {
      const service = informers.of(services).byKey(serviceOf(slice) ?? "");
      return service && keepsLocal(service) ? [onlyKey] : [];
    }),
    source(ingresses, () => [onlyKey]),
    source(configMaps, ({ metadata }) =>
      metadata.namespace === configNamespace && metadata.name === configName ? [onlyKey] : [],
    ),
  ],
  concurrency: 1,
  rules: [
    rule("", ["services", "nodes", "configmaps"], readVerbs),
    rule("", ["services/status"], ["patch", "update"]),
    rule("discovery.k8s.io", ["endpointslices"], readVerbs),
    rule("networking.k8s.io", ["ingresses"], readVerbs),
    ...eventRules,
  ],
  prepare({ informers }) {
    informers.of(services).addIndex(balancedIndex, (service) => (isBalanced(service) ? [onlyKey] : []));
    indexByService(informers.of(endpointSlices));
  },
  observe({ informers, options }) {
    const balanced = informers.of(services).byIndex(balancedIndex, onlyKey);
    if (balanced.length === 0) return undefined;
    const localNodes = new Map<string, ReadonlySet<string>>();
    for (const service of balanced.filter(keepsLocal)) {
      const slices = slicesOfService(informers.of(endpointSlices), keyOf(service));
      const names = slices.flatMap(({ endpoints }) =>
        (endpoints ?? []).flatMap(({ nodeName, conditions }) =>
          nodeName && (conditions?.ready ?? true) ? [nodeName] : [],
        ),
      );
      localNodes.set(keyOf(service), new Set(names));
    }
    return {
      services: balanced,
      nodes: informers.of(nodes).list(),
      localNodes,
      config: informers.of(configMaps).get(configNamespace, configName),
      hasIngresses: informers.of(ingresses).list().some(isServed),
      options: options.loadBalancer ?? defaultOptions,
    };
  },
  decide: decideLoadBalancers,
  act,
});

function isServed({ status }: Readonly<networkingv1.Ingress>): boolean {
  return (status?.loadBalancer?.ingress ?? []).length > 0;
}

/** Has, wants or had addresses. */
function isBalanced(service: Service): boolean {
  return service.spec.type === "LoadBalancer" || ingressOf(service).length > 0;
}

function keepsLocal({ spec }: Service): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}
