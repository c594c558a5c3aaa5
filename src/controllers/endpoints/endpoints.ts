/**
 * Endpoints: the older form of EndpointSlices, one object to a Service, kept for those who still read it.
 * https://kubernetes.io/docs/concepts/services-networking/service/#endpoints
 */
import { type corev1, endpoints, isStatus, pods, sameJson, services } from "#api";
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
import { isNamespaceTerminating } from "../kit/pods.ts";
import {
  type Backend,
  type BackendPort,
  backendsOf,
  byPorts,
  familiesOf,
  hasOwnBackends,
  hostnameOf,
  isHeadless,
  type Pod,
  podReference,
  podsOfService,
  type Service,
  servicesOfPod,
} from "./service-pods.ts";

type Endpoints = Readonly<corev1.Endpoints>;

/** More addresses than this are cut off, and an annotation says so. */
const addressesMax = 1000;
const overCapacity = "endpoints.kubernetes.io/over-capacity";
const managedByLabel = "endpoints.kubernetes.io/managed-by";
const managedBy = "endpoint-controller";
const headlessLabel = "service.kubernetes.io/headless";

export interface EndpointsState {
  namespace: string;
  name: string;
  service: Service | undefined;
  pods: readonly Pod[];
  current: Endpoints | undefined;
}

export type EndpointsPlan = { write: corev1.Endpoints } | { remove: Endpoints };

export const endpointsController = defineController<EndpointsState, EndpointsPlan>({
  name: "endpoint-controller",
  primary: services,
  secondaries: [
    source(pods, (pod, { informers }) => servicesOfPod(pod, informers)),
    source(endpoints, (object) =>
      isOurs(object) ? [`${object.metadata.namespace}/${object.metadata.name}`] : [],
    ),
  ],
  concurrency: 5,
  rules: [
    rule("", ["services", "pods"], readVerbs),
    rule("", ["endpoints"], [...readVerbs, "create", "update", "delete"]),
    ...eventRules,
  ],
  observe({ informers }, key) {
    const [namespace = "", name = ""] = key.split("/");
    const service = informers.of(services).byKey(key);
    const current = informers.of(endpoints).byKey(key);
    if (service && !hasOwnBackends(service)) return undefined;
    const backing = service ? podsOfService(service, informers) : [];
    return { namespace, name, service, pods: backing, current };
  },
  decide: decideEndpoints,
  act,
});

function isOurs(object: Endpoints): boolean {
  return object.metadata.labels?.[managedByLabel] === managedBy;
}

export function decideEndpoints(state: Readonly<EndpointsState>): EndpointsPlan | undefined {
  const { service, current, namespace, name } = state;
  if (!service) return current && isOurs(current) ? { remove: current } : undefined;
  const publishing = service.spec.publishNotReadyAddresses === true;
  const all = backendsOf(service, state.pods, familiesOf(service)[0]).filter(
    (backend) => publishing || !backend.terminating,
  );
  const cut = all.length > addressesMax;
  const subsets = subsetsOf(service, keepReadyFirst(all));
  const labels = {
    ...service.metadata.labels,
    [managedByLabel]: managedBy,
    ...(isHeadless(service) ? { [headlessLabel]: "" } : {}),
  };
  const annotations = { ...current?.metadata.annotations };
  if (cut) annotations[overCapacity] = "truncated";
  else delete annotations[overCapacity];
  const same =
    current &&
    sameJson(current.subsets ?? [], subsets) &&
    sameJson(current.metadata.labels ?? {}, labels) &&
    sameJson(current.metadata.annotations ?? {}, annotations);
  if (same) return undefined;
  const metadata = {
    ...current?.metadata,
    namespace,
    name,
    labels,
    annotations,
  } as corev1.Endpoints["metadata"];
  return { write: { apiVersion: "v1", kind: "Endpoints", metadata, subsets } };
}

function keepReadyFirst(all: readonly Backend[]): readonly Backend[] {
  if (all.length <= addressesMax) return all;
  return [...all].sort((a, b) => Number(b.ready) - Number(a.ready)).slice(0, addressesMax);
}

function subsetsOf(service: Service, backends: readonly Backend[]): corev1.EndpointSubset[] {
  // A headless Service without ports still has addresses; any other pod without ports has nothing to offer.
  const noPorts = isHeadless(service) && (service.spec.ports ?? []).length === 0;
  const offering = noPorts ? backends : backends.filter((backend) => backend.ports.length > 0);
  return [...byPorts(offering).entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, group]) => {
      const ready = addressesOf(
        service,
        group.filter((backend) => backend.ready),
      );
      const notReady = addressesOf(
        service,
        group.filter((backend) => !backend.ready),
      );
      const ports = portsOf(group[0]?.ports ?? []);
      return {
        ...(ready.length ? { addresses: ready } : {}),
        ...(notReady.length ? { notReadyAddresses: notReady } : {}),
        ...(ports.length ? { ports } : {}),
      };
    });
}

function portsOf(ports: readonly BackendPort[]): corev1.EndpointPort[] {
  return ports.map(({ name, ...rest }) => ({ ...(name ? { name } : {}), ...rest }));
}

function addressesOf(service: Service, group: readonly Backend[]): corev1.EndpointAddress[] {
  const addresses = group.map(({ pod, ip }) => {
    const hostname = hostnameOf(service, pod);
    return {
      ip,
      ...(hostname ? { hostname } : {}),
      ...(pod.spec.nodeName ? { nodeName: pod.spec.nodeName } : {}),
      targetRef: podReference(pod),
    };
  });
  return addresses.sort((a, b) => (a.ip < b.ip ? -1 : 1));
}

async function act(
  plan: EndpointsPlan,
  { client }: ControllerContext,
  { current }: EndpointsState,
): Promise<Outcome> {
  try {
    if ("remove" in plan) await client.delete(endpoints, plan.remove.metadata);
    else if (current) await client.update(endpoints, plan.write);
    else await client.create(endpoints, plan.write);
  } catch (error) {
    if (!isNamespaceTerminating(error) && !isStatus(error, "NotFound")) throw error;
  }
  return done;
}
