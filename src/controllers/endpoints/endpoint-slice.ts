/**
 * EndpointSlice: the addresses behind a Service, at most a hundred to a slice, each slice changed as little as possible.
 * https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
 */
import {
  type corev1,
  type Draft,
  type discoveryv1,
  endpointSlices,
  isStatus,
  nodes,
  pods,
  sameJson,
  services,
} from "#api";
import { controllerOf, keyOf } from "#client";
import { inSlowStartBatches } from "../kit/batches.ts";
import {
  type ControllerContext,
  defineController,
  done,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import { controllerRef, isNamespaceTerminating } from "../kit/pods.ts";
import {
  type Backend,
  backendsOf,
  byPorts,
  type Family,
  familiesOf,
  hasOwnBackends,
  hostnameOf,
  isHeadless,
  type Pod,
  podReference,
  podsOfService,
  portsKey,
  type Service,
  servicesOfPod,
} from "./service-pods.ts";
import { shareOut, sharesByZone, type ZoneShares, zoneSharesOf } from "./zone-shares.ts";

type Slice = Readonly<discoveryv1.EndpointSlice>;
type Endpoint = discoveryv1.Endpoint;

const endpointsMax = 100;
const managedBy = "endpointslice-controller.k8s.io";
const managedByLabel = "endpointslice.kubernetes.io/managed-by";
const serviceLabel = "kubernetes.io/service-name";
const headlessLabel = "service.kubernetes.io/headless";
/** Values of `trafficDistribution` that keep traffic in its zone where that can be. */
const nearby = new Set(["PreferClose", "PreferSameZone", "PreferSameNode"]);
const zoneLabel = "topology.kubernetes.io/zone";

export interface SliceState {
  service: Service;
  pods: readonly Pod[];
  slices: readonly Slice[];
  zoneOfNode: ReadonlyMap<string, string>;
  /** How much of the cluster each zone is, where the Service asks for that. */
  shares?: ZoneShares;
}

export interface SlicePlan {
  create: readonly Draft<discoveryv1.EndpointSlice>[];
  update: readonly Slice[];
  remove: readonly Slice[];
  /** What is to be told about hints. */
  notes: readonly HintNote[];
}

interface HintNote {
  kind: "Normal" | "Warning";
  message: string;
}

interface Changes extends SlicePlan {
  create: Draft<discoveryv1.EndpointSlice>[];
  update: Slice[];
  remove: Slice[];
  notes: HintNote[];
}

const sliceIndex = "managedService";
const shareIndex = "sharesByZone";

export const endpointSliceController = defineController<SliceState, SlicePlan>({
  name: "endpointslice-controller",
  primary: services,
  secondaries: [
    source(pods, (pod, { informers }) => servicesOfPod(pod, informers)),
    source(endpointSlices, (slice) => managedKey(slice)),
    source(nodes, (_node, { informers }) => informers.of(services).byIndex(shareIndex, "yes").map(keyOf)),
  ],
  concurrency: 5,
  rules: [
    rule("", ["services", "pods", "nodes"], readVerbs),
    rule("discovery.k8s.io", ["endpointslices"], [...readVerbs, "create", "update", "delete"]),
    ...eventRules,
  ],
  prepare({ informers }) {
    informers.of(endpointSlices).addIndex(sliceIndex, managedKey);
    informers.of(services).addIndex(shareIndex, (service) => (sharesByZone(service) ? ["yes"] : []));
  },
  observe({ informers }, key) {
    const service = informers.of(services).byKey(key);
    if (!service || !hasOwnBackends(service) || service.metadata.deletionTimestamp) return undefined;
    const backing = podsOfService(service, informers);
    const zoneOfNode = new Map<string, string>();
    for (const name of new Set(backing.map((pod) => pod.spec.nodeName ?? ""))) {
      const zone = informers.of(nodes).get(undefined, name)?.metadata.labels?.[zoneLabel];
      if (zone) zoneOfNode.set(name, zone);
    }
    const slices = informers.of(endpointSlices).byIndex(sliceIndex, key);
    return {
      service,
      pods: backing,
      slices: slices.filter((s) => !s.metadata.deletionTimestamp),
      zoneOfNode,
      ...(sharesByZone(service) ? { shares: zoneSharesOf(informers.of(nodes).list()) } : {}),
    };
  },
  decide: decideSlices,
  act,
});

function managedKey(slice: Slice): string[] {
  const { labels = {}, namespace } = slice.metadata;
  const service = labels[serviceLabel];
  return service && labels[managedByLabel] === managedBy ? [`${namespace}/${service}`] : [];
}

export function decideSlices(state: Readonly<SliceState>): SlicePlan {
  const { service, slices } = state;
  const families = familiesOf(service);
  const isOwn = (slice: Slice) =>
    families.some((family) => family === slice.addressType) &&
    controllerOf(slice)?.uid === service.metadata.uid;
  const plan: Changes = {
    create: [],
    update: [],
    remove: slices.filter((slice) => !isOwn(slice)),
    notes: [],
  };
  for (const family of families) {
    const own = slices.filter((slice) => isOwn(slice) && slice.addressType === family);
    decideFamily(state, family, own, plan);
  }
  return plan;
}

/** A slice has addresses of one family only. */
function decideFamily(
  state: Readonly<SliceState>,
  family: Family,
  slices: readonly Slice[],
  plan: Changes,
): void {
  const { service, pods: backing, zoneOfNode } = state;
  const backends = backendsOf(service, backing, family);
  const wanted = byPorts(backends);
  const sharedOut = hintsByShares(state, family, backends, slices, plan.notes);
  // Without any pod there is still one slice: "nothing yet" is not "unknown".
  if (wanted.size === 0) wanted.set("", []);
  const labels = sliceLabels(service);
  plan.remove.push(...slices.filter((slice) => !wanted.has(portsKey(slice.ports))));
  for (const [key, here] of wanted) {
    const existing = slices.filter((slice) => portsKey(slice.ports) === key);
    const endpoints = here.map((backend) => endpointOf(service, backend, zoneOfNode, sharedOut));
    const { kept, rest } = keepInPlace(existing, endpoints);
    arrange(existing, kept, rest, endpoints.length === 0, labels, plan);
    const ports = (here[0]?.ports ?? []).map((port) => ({ ...port }));
    const add = (some: Endpoint[]) =>
      plan.create.push({ ...newSlice(service, labels, ports, some), addressType: family });
    while (rest.length > 0) add(rest.splice(0, endpointsMax));
    if (endpoints.length === 0 && existing.length === 0) add([]);
  }
}

/** For which zone each pod is, where the Service shares its endpoints out; undefined: it does not, or it cannot. */
function hintsByShares(
  { service, zoneOfNode, shares }: Readonly<SliceState>,
  family: Family,
  backends: readonly Backend[],
  slices: readonly Slice[],
  notes: HintNote[],
): ReadonlyMap<Pod, string> | undefined {
  const hadHints = slices.some(({ endpoints }) => endpoints?.some(({ hints }) => hints !== undefined));
  const note = (kind: HintNote["kind"], text: string) =>
    notes.push({ kind, message: `${text}, addressType: ${family}` });
  if (!sharesByZone(service)) {
    if (hadHints && !service.spec.trafficDistribution)
      note("Warning", "Topology Aware Hints has been disabled");
    return undefined;
  }
  const ready = backends.filter((backend) => backend.ready);
  const shared = shareOut(
    ready.map(({ pod }) => zoneOfNode.get(pod.spec.nodeName ?? "")),
    shares,
  );
  if (typeof shared === "string") {
    note("Warning", shared);
    return undefined;
  }
  if (!hadHints) note("Normal", "Topology Aware Hints has been enabled");
  return new Map(ready.map(({ pod }, i) => [pod, shared[i]!]));
}

/** Every endpoint that stands in a slice already stays there. */
function keepInPlace(existing: readonly Slice[], endpoints: readonly Endpoint[]) {
  const open = new Map(endpoints.map((endpoint) => [identityOf(endpoint), endpoint]));
  const kept = existing.map((slice) => {
    const here: Endpoint[] = [];
    for (const endpoint of slice.endpoints ?? []) {
      const next = open.get(identityOf(endpoint));
      if (next) here.push(next);
      open.delete(identityOf(endpoint));
    }
    return here;
  });
  return { kept, rest: [...open.values()] };
}

/** Fills the slices with room, changes those that differ, removes those that are empty (but one, if all are). */
function arrange(
  existing: readonly Slice[],
  kept: Endpoint[][],
  rest: Endpoint[],
  keepOne: boolean,
  labels: Record<string, string>,
  plan: Changes,
): void {
  existing.forEach((slice, i) => {
    const here = kept[i]!;
    const room = Math.max(0, endpointsMax - here.length);
    here.push(...rest.splice(0, room));
    if (here.length === 0 && !(keepOne && i === 0)) {
      plan.remove.push(slice);
      return;
    }
    const same = sameJson(slice.endpoints ?? [], here) && sameJson(slice.metadata.labels, labels);
    if (!same) plan.update.push({ ...slice, metadata: { ...slice.metadata, labels }, endpoints: here });
  });
}

function identityOf(endpoint: Readonly<Endpoint>): string {
  return `${endpoint.targetRef?.uid ?? ""}/${endpoint.addresses[0] ?? ""}`;
}

function sliceLabels(service: Service): Record<string, string> {
  return {
    ...service.metadata.labels,
    ...(isHeadless(service) ? { [headlessLabel]: "" } : {}),
    [serviceLabel]: service.metadata.name,
    [managedByLabel]: managedBy,
  };
}

function endpointOf(
  service: Service,
  backend: Backend,
  zoneOfNode: ReadonlyMap<string, string>,
  sharedOut: ReadonlyMap<Pod, string> | undefined,
): Endpoint {
  const { pod, ip, ready, serving, terminating } = backend;
  const hostname = hostnameOf(service, pod);
  const { nodeName } = pod.spec;
  const zone = zoneOfNode.get(nodeName ?? "");
  const shared = sharedOut?.get(pod);
  const hints = shared
    ? { forZones: [{ name: shared }] }
    : ready
      ? hintsFor(service, nodeName, zone)
      : undefined;
  return {
    addresses: [ip],
    conditions: { ready, serving, terminating },
    ...(hostname ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    targetRef: podReference(pod),
    ...(zone ? { zone } : {}),
    ...(hints ? { hints } : {}),
  };
}

/** Whose clients should rather use it. https://kubernetes.io/docs/concepts/services-networking/service/#traffic-distribution */
function hintsFor(
  service: Service,
  nodeName: string | undefined,
  zone: string | undefined,
): discoveryv1.EndpointHints | undefined {
  const { trafficDistribution = "" } = service.spec;
  if (sharesByZone(service)) return undefined;
  const byNode = trafficDistribution === "PreferSameNode" && nodeName;
  const byZone = nearby.has(trafficDistribution) && zone;
  if (!byNode && !byZone) return undefined;
  return {
    ...(byZone ? { forZones: [{ name: zone }] } : {}),
    ...(byNode ? { forNodes: [{ name: nodeName }] } : {}),
  };
}

function newSlice(
  service: Service,
  labels: Record<string, string>,
  ports: discoveryv1.EndpointPort[],
  endpoints: Endpoint[],
): Omit<Draft<discoveryv1.EndpointSlice>, "addressType"> {
  return {
    metadata: {
      generateName: `${service.metadata.name}-`,
      namespace: service.metadata.namespace ?? "default",
      labels,
      ownerReferences: [controllerRef(service)],
    },
    endpoints,
    ports,
  };
}

async function act(
  plan: SlicePlan,
  { client, events }: ControllerContext,
  { service }: SliceState,
): Promise<Outcome> {
  for (const { kind, message } of plan.notes) {
    const reason = kind === "Normal" ? "TopologyAwareHintsEnabled" : "TopologyAwareHintsDisabled";
    events.record(service as corev1.Service, kind, reason, message);
  }
  for (const slice of plan.update) await client.update(endpointSlices, slice as discoveryv1.EndpointSlice);
  const { error } = await inSlowStartBatches(plan.create.length, async (i) => {
    await client.create(endpointSlices, plan.create[i]!);
  });
  if (error && !isNamespaceTerminating(error)) {
    const message = `Error creating Endpoint Slices for Service ${keyOf(service)}: ${(error as Error).message}`;
    events.record(service as corev1.Service, "Warning", "FailedToUpdateEndpointSlices", message);
    throw error;
  }
  for (const slice of plan.remove) {
    try {
      await client.delete(endpointSlices, slice.metadata, { preconditions: { uid: slice.metadata.uid } });
    } catch (failure) {
      if (!isStatus(failure, "NotFound")) throw failure;
    }
  }
  return done;
}
