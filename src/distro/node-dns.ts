/**
 * Cluster DNS on every node: each node that answers says so in an annotation, and has an EndpointSlice of the `kube-dns`
 * Service that is meant for itself. Pods ask the node they are on; where that does not answer, another one.
 * https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
 */
import { type corev1, type Draft, type discoveryv1, endpointSlices, nodes, sameJson } from "#api";
import { forComponent, messageOf, type World } from "#base";
import type { Client, Informers } from "#client";
import { createOrPatch } from "./addons.ts";
import type { Running } from "./components.ts";

/** On a Node: the port where cluster DNS answers on it. */
const portAnnotation = "knarr.dev/dns-port";

/** The node's side. */
export async function announceDns(client: Client, nodeName: string, port: number): Promise<void> {
  const annotations = { [portAnnotation]: String(port) };
  await client.patch(nodes, { name: nodeName }, "merge", { metadata: { annotations } });
}

/** One node's slice; undefined where DNS does not answer. */
export function dnsSliceOf(node: Readonly<corev1.Node>): Draft<discoveryv1.EndpointSlice> | undefined {
  const { metadata, status } = node;
  const port = Number(metadata.annotations?.[portAnnotation]);
  const address = status.addresses?.find(({ type }) => type === "InternalIP")?.address;
  if (!Number.isInteger(port) || port < 1 || port > 65_535 || !address) return undefined;
  const ready = status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;
  const { name, uid } = metadata;
  return {
    metadata: {
      name: `kube-dns-${name}`,
      namespace: "kube-system",
      labels: {
        "kubernetes.io/service-name": "kube-dns",
        "endpointslice.kubernetes.io/managed-by": "knarr.dev",
      },
      // It goes with its node.
      ownerReferences: [{ apiVersion: "v1", kind: "Node", name, uid: uid ?? "" }],
    },
    addressType: "IPv4",
    ports: [
      { name: "dns", port, protocol: "UDP" },
      { name: "dns-tcp", port, protocol: "TCP" },
    ],
    endpoints: [
      { addresses: [address], conditions: { ready }, nodeName: name, hints: { forNodes: [{ name }] } },
    ],
  };
}

/** The server's side: keeps the slices as the nodes say. */
export async function followNodeDns(world: World, client: Client, informers: Informers): Promise<Running> {
  const { log } = forComponent(world, "node-dns");
  const written = new Map<string, Draft<discoveryv1.EndpointSlice>>();
  let work = Promise.resolve();
  const look = (node: Readonly<corev1.Node>) => {
    work = work.then(async () => {
      const slice = dnsSliceOf(node);
      if (!slice || sameJson(slice, written.get(node.metadata.name))) return;
      try {
        await createOrPatch(client, endpointSlices, slice);
        written.set(node.metadata.name, slice);
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
