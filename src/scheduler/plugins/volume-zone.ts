/** VolumeZone: a volume that says by its labels where it is can be reached from there only. */
import { defineSchedulerPlugin, unresolvable } from "../define-plugin.ts";
import { claimNames, podClaims } from "../pod-volumes.ts";

interface Place {
  key: string;
  values: ReadonlySet<string>;
}

/** Each with the name it had before. */
const placeLabels: Record<string, string> = {
  "topology.kubernetes.io/zone": "failure-domain.beta.kubernetes.io/zone",
  "topology.kubernetes.io/region": "failure-domain.beta.kubernetes.io/region",
};
const elsewhere = unresolvable("node(s) had no available volume zone");

export const volumeZone = defineSchedulerPlugin<readonly Place[]>({
  name: "VolumeZone",
  wakes: [{ on: "NodeAdded" }, { on: "NodeChanged" }, { on: "StorageChanged" }],
  prepare({ pod }, _snapshot, { storage }) {
    if (claimNames(pod).length === 0) return undefined;
    const places = podClaims(pod, storage).bound.flatMap(({ volume: { metadata } }) =>
      Object.entries(placeLabels).flatMap(([key, former]) => {
        const value = metadata.labels?.[key] ?? metadata.labels?.[former];
        return value === undefined ? [] : [{ key, values: new Set(value.split("__")) }];
      }),
    );
    return places.length > 0 ? places : undefined;
  },
  filter(_info, { labels }, places) {
    // A node that says nothing of its place is not divided from others.
    if (Object.entries(placeLabels).every(([key, former]) => (labels[key] ?? labels[former]) === undefined))
      return undefined;
    const isHere = ({ key, values }: Place) => values.has(labels[key] ?? labels[placeLabels[key]!] ?? "");
    return places.every(isHere) ? undefined : elsewhere;
  },
});
