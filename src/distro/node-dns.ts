/**
 * Cluster DNS on every node: each node that answers says so in an annotation, and has an EndpointSlice of the `kube-dns`
 * Service that is meant for itself. Pods ask the node they are on; where that does not answer, another one.
 * https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
 */
import { isIPv4, isIPv6 } from "node:net";
import {
  type corev1,
  type Draft,
  type discoveryv1,
  endpointSlices,
  isStatus,
  nodes,
  sameJson,
  services,
} from "#api";
import { forComponent, messageOf, type World } from "#base";
import { type Client, type Informers, indexByService, keyOf, slicesOfService } from "#client";
import { dnsServiceKey, dnsSlice, isOwnDnsSlice, isReplaced } from "./cluster-dns.ts";
import type { Running } from "./components.ts";
import { createOrPatch } from "./create-or-patch.ts";

/** On a Node: the port where cluster DNS answers on it. */
const portAnnotation = "knarr.dev/dns-port";

/** The node's side. */
export async function announceDns(client: Client, nodeName: string, port: number): Promise<void> {
  const annotations = { [portAnnotation]: String(port) };
  await client.patch(nodes, { name: nodeName }, "merge", { metadata: { annotations } });
}

/** One node's slices, one of each family; none where DNS does not answer. */
export function dnsSlicesOf(node: Readonly<corev1.Node>): Draft<discoveryv1.EndpointSlice>[] {
  const { metadata, status } = node;
  const port = Number(metadata.annotations?.[portAnnotation]);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return [];
  const ready = status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;
  const { name, uid } = metadata;
  const internal = (status.addresses ?? []).filter(({ type }) => type === "InternalIP");
  const families = [isIPv4, isIPv6].flatMap(
    (isOfFamily) => internal.find(({ address }) => isOfFamily(address))?.address ?? [],
  );
  return families.map((address) => {
    const slice = dnsSlice({ name: `kube-dns-${name}`, nodeName: name, address, port, ready });
    // It goes with its node.
    const ownerReferences = [{ apiVersion: "v1", kind: "Node", name, uid: uid ?? "" }];
    return { ...slice, metadata: { ...slice.metadata, ownerReferences } };
  });
}

/** The server's side: keeps the slices as the nodes say, while nobody has put something else in their place. */
export async function followNodeDns(
  world: World,
  client: Client,
  informers: Informers,
  install: () => Promise<void>,
): Promise<Running> {
  const { log } = forComponent(world, "node-dns");
  const written = new Map<string, Draft<discoveryv1.EndpointSlice>[]>();
  const cache = informers.of(nodes);
  const serviceCache = informers.of(services);
  const sliceCache = indexByService(informers.of(endpointSlices));
  let work = Promise.resolve();
  const replaced = () => isReplaced(serviceCache.byKey(dnsServiceKey));
  const look = (node: Readonly<corev1.Node>) => {
    work = work.then(async () => {
      const slices = dnsSlicesOf(node);
      if (replaced() || sameJson(slices, written.get(node.metadata.name) ?? [])) return;
      try {
        for (const slice of slices) await createOrPatch(client, endpointSlices, slice);
        written.set(node.metadata.name, slices);
      } catch (error) {
        // The node's next heartbeat tries again.
        log.warn({ node: node.metadata.name, error: messageOf(error) }, "cluster DNS of a node is not known");
      }
    });
  };
  const giveWay = async () => {
    const own = slicesOfService(sliceCache, dnsServiceKey).filter(isOwnDnsSlice);
    for (const { metadata } of own) await client.delete(endpointSlices, metadata).catch(ignoreMissing);
  };
  let was = false;
  const serviceChanged = ({ metadata }: Readonly<corev1.Service>) => {
    const isThere = serviceCache.byKey(dnsServiceKey) !== undefined;
    if (keyOf({ metadata }) !== dnsServiceKey || (isThere && replaced() === was)) return;
    was = replaced();
    written.clear();
    work = work.then(was ? giveWay : install).catch((error: unknown) => {
      log.warn({ error: messageOf(error) }, "where cluster DNS leads could not be changed");
    });
    if (!was) cache.list().forEach(look);
  };
  await Promise.all([cache, serviceCache, sliceCache].map((each) => each.waitForSync()));
  const offs = [
    cache.on({
      add: look,
      update: look,
      delete: ({ metadata }) => {
        written.delete(metadata.name);
      },
    }),
    serviceCache.on({ add: serviceChanged, update: serviceChanged, delete: serviceChanged }),
  ];
  return {
    async stop() {
      for (const off of offs) off();
      await work;
    },
  };
}

function ignoreMissing(error: unknown): void {
  if (!isStatus(error, "NotFound")) throw error;
}
