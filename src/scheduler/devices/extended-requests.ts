/**
 * Extended resources that a node does not have as such, but as devices: what a pod's containers ask for becomes a claim.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#extended-resource
 */
import { type corev1, quantityValue, type resourcev1 } from "#api";
import type { NodeInfo } from "../node-info.ts";
import type { Pod, PodInfo } from "../pod-info.ts";
import type { Claim } from "./claims.ts";
import type { DeviceClass } from "./requests.ts";

type Container = Readonly<corev1.Container>;
type Mapping = corev1.ContainerExtendedResourceRequest;
type ClassOf = (resource: string) => DeviceClass | undefined;

export const extendedClaimAnnotation = "resource.kubernetes.io/extended-resource-claim";
/** A class is an extended resource by its own name, too. */
const classPrefix = "deviceclass.resource.kubernetes.io/";
/** No claim of the API has such a name. */
const unwrittenName = "<extended-resources>";

/** What may stand for devices: resources of somebody's own domain, and classes by name. */
function mayBeDevices(resource: string): boolean {
  if (resource.startsWith(classPrefix)) return true;
  return resource.includes("/") && !resource.includes("kubernetes.io/") && !resource.startsWith("requests.");
}

/** By resource, of several classes the newest one, and of those the first by name. */
export function classesByResource(classes: readonly DeviceClass[]): Map<string, DeviceClass> {
  const found = new Map<string, DeviceClass>();
  const inOrder = [...classes].sort((a, b) => {
    const [older, newer] = [a.metadata.creationTimestamp ?? "", b.metadata.creationTimestamp ?? ""];
    if (older !== newer) return older < newer ? -1 : 1;
    return a.metadata.name < b.metadata.name ? 1 : -1;
  });
  for (const each of inOrder) {
    found.set(classPrefix + each.metadata.name, each);
    if (each.spec.extendedResourceName) found.set(each.spec.extendedResourceName, each);
  }
  return found;
}

/** Resources that the pod asks for and that devices may stand for. */
export function deviceResources({ request }: Pick<PodInfo, "request">, classOf: ClassOf): readonly string[] {
  if (request.others.size === 0) return [];
  return [...request.others]
    .filter(([name, amount]) => amount > 0 && mayBeDevices(name) && classOf(name) !== undefined)
    .map(([name]) => name)
    .sort();
}

/** Those of them that the node has as devices alone. */
export function asDevices(resources: readonly string[], { allocatable }: NodeInfo): readonly string[] {
  return resources.filter((name) => !((allocatable.others.get(name) ?? 0) > 0));
}

export interface ExtendedRequests {
  readonly requests: readonly resourcev1.DeviceRequest[];
  /** Which container gets what answers which request. */
  readonly mappings: readonly Mapping[];
}

/** Init containers use what is there for those after them, and share what is more than that. */
export function extendedRequests(
  { spec }: Pod,
  resources: readonly string[],
  classOf: ClassOf,
): ExtendedRequests {
  const containers: Container[] = [...(spec.initContainers ?? []), ...spec.containers];
  const isShort = (i: number) =>
    i < (spec.initContainers?.length ?? 0) && containers[i]!.restartPolicy !== "Always";
  const requests: resourcev1.DeviceRequest[] = [];
  const mappings: Mapping[] = [];
  for (const resource of resources) {
    const className = classOf(resource)?.metadata.name;
    if (className === undefined) continue;
    const asked = (i: number, others: readonly (resourcev1.DeviceRequest | undefined)[]) =>
      requestOf(containers[i]!, i, resource, className, others);
    const long = containers.map((_, i) => (isShort(i) ? undefined : asked(i, [])));
    const kept = long.map((each) => each?.request);
    const short = containers.flatMap((_, i) => (isShort(i) ? asked(i, kept.slice(i)) : []));
    const own = short.flatMap(({ request }) => request ?? []);
    const largest = own.reduce<resourcev1.DeviceRequest | undefined>(
      (best, each) => (best && countOf(best) >= countOf(each) ? best : each),
      undefined,
    );
    const names = new Set(own.map(({ name }) => name));
    requests.push(...(largest ? [largest] : []), ...kept.filter((each) => each !== undefined));
    mappings.push(...long.flatMap((each) => each?.mappings ?? []));
    for (const each of short.flatMap((one) => one.mappings))
      mappings.push(largest && names.has(each.requestName) ? { ...each, requestName: largest.name } : each);
  }
  requests.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { requests, mappings };
}

function countOf({ exactly }: resourcev1.DeviceRequest): number {
  return exactly?.count ?? 1;
}

function requestOf(
  { name: containerName, resources }: Container,
  index: number,
  resourceName: string,
  deviceClassName: string,
  others: readonly (resourcev1.DeviceRequest | undefined)[],
): { request?: resourcev1.DeviceRequest; mappings: Mapping[] } {
  const all = resources?.requests ?? {};
  const wanted = quantityValue(all[resourceName] ?? "0");
  if (wanted === 0) return { mappings: [] };
  const mappings: Mapping[] = [];
  let found = 0;
  for (const other of others) {
    if (!other) continue;
    found += countOf(other);
    mappings.push({ containerName, resourceName, requestName: other.name });
    if (found >= wanted) return { mappings };
  }
  const place = Object.keys(all).sort().indexOf(resourceName);
  const requestName = `container-${index}-request-${place}`;
  mappings.push({ containerName, resourceName, requestName });
  const exactly = { deviceClassName, allocationMode: "ExactCount" as const, count: wanted - found };
  return { request: { name: requestName, exactly }, mappings };
}

/** The claim of a pod for these, before anybody has written it. */
export function unwrittenClaim({ metadata }: Pod, { requests }: ExtendedRequests): Claim {
  const { namespace = "", name, uid } = metadata;
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: {
      name: unwrittenName,
      namespace,
      uid: `${unwrittenName}${uid}`,
      resourceVersion: "0",
      creationTimestamp: "",
      generateName: `${name}-extended-resources-`,
      annotations: { [extendedClaimAnnotation]: "true" },
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name, uid, controller: true }],
    },
    spec: { devices: { requests: [...requests] } },
    status: {},
  } as unknown as Claim;
}

export function isExtendedClaimOf({ metadata: pod }: Pod, { metadata }: Claim): boolean {
  const owner = metadata.ownerReferences?.find((each) => each.controller);
  return metadata.annotations?.[extendedClaimAnnotation] === "true" && owner?.uid === pod.uid;
}
