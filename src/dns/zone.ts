/** The zone's source: informers with the indexes that lookups need, so that no question scans anything. */
import { endpointSlices, namespaces, services } from "#api";
import { type Informers, indexByService, slicesOfService } from "#client";
import type { ZoneSource } from "./records.ts";

/** Resolves when the caches have their first content. */
export async function openZone(informers: Informers): Promise<ZoneSource> {
  const serviceCache = informers.of(services);
  const sliceCache = indexByService(informers.of(endpointSlices));
  const namespaceCache = informers.of(namespaces);
  serviceCache.addIndex("cluster-ip", ({ spec }) =>
    (spec.clusterIPs ?? [spec.clusterIP ?? ""]).filter((address) => address && address !== "None"),
  );
  sliceCache.addIndex("address", (s) => (s.endpoints ?? []).flatMap((e) => e.addresses));
  await Promise.all([serviceCache, sliceCache, namespaceCache].map((cache) => cache.waitForSync()));
  return {
    // Each only grows.
    revision: () => serviceCache.revision + sliceCache.revision + namespaceCache.revision,
    service: (namespace, name) => serviceCache.get(namespace, name),
    slices: (namespace, service) => slicesOfService(sliceCache, `${namespace}/${service}`),
    hasNamespace: (namespace) => namespaceCache.get(undefined, namespace) !== undefined,
    serviceByAddress: (address) => serviceCache.byIndex("cluster-ip", address)[0],
    slicesByAddress: (address) => sliceCache.byIndex("address", address),
  };
}
