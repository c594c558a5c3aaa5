/**
 * Cluster DNS on every node: each node that answers says so in an annotation, and has an EndpointSlice of the `kube-dns`
 * Service that is meant for itself. Pods ask the node they are on; where that does not answer, another one.
 * https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
 */
import { isIPv4, isIPv6 } from "node:net";
import { type corev1, type Draft, type discoveryv1, endpointSlices, nodes, sameJson } from "#api";
import { forComponent, messageOf, type World } from "#base";
import type { Client, Informers } from "#client";
import { createOrPatch, dnsSlice } from "./addons.ts";
import type { Running } from "./components.ts";

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

/** The server's side: keeps the slices as the nodes say. */
export async function followNodeDns(world: World, client: Client, informers: Informers): Promise<Running> {
  const { log } = forComponent(world, "node-dns");
  const written = new Map<string, Draft<discoveryv1.EndpointSlice>[]>();
  let work = Promise.resolve();
  const look = (node: Readonly<corev1.Node>) => {
    work = work.then(async () => {
      const slices = dnsSlicesOf(node);
      if (sameJson(slices, written.get(node.metadata.name) ?? [])) return;
      try {
        for (const slice of slices) await createOrPatch(client, endpointSlices, slice);
        written.set(node.metadata.name, slices);
      } catch (error) {
        // The node's next heartbeat tries again.
        log.warn({ node: node.metadata.name, error: messageOf(error) }, "cluster DNS of a node is not known");
      }
    });
  };
  const cache = informers.of(nodes);
  await cache.waitForSync();
  const off = cache.on({
    add: look,
    update: look,
    delete: ({ metadata }) => {
      written.delete(metadata.name);
    },
  });
  return {
    async stop() {
      off();
      await work;
    },
  };
}
