/**
 * Topology aware routing: endpoints are shared out to zones by how many CPUs their nodes have, most of them to their
 * own; no endpoint may come to more than a fifth above its share of the traffic.
 * https://kubernetes.io/docs/concepts/services-networking/topology-aware-routing/
 */
import { type corev1, quantityMilliValue } from "#api";

type Node = Readonly<corev1.Node>;

/** What part of all CPUs is in each zone; undefined: not enough is known. */
export type ZoneShares = ReadonlyMap<string, number> | undefined;

const zoneLabel = "topology.kubernetes.io/zone";
const overloadMax = 0.2;
const controlPlaneLabels = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/** Asked for by annotation; the older name wins. */
export function sharesByZone({ metadata }: Readonly<corev1.Service>): boolean {
  const { annotations = {} } = metadata;
  const mode =
    annotations["service.kubernetes.io/topology-aware-hints"] ??
    annotations["service.kubernetes.io/topology-mode"];
  return mode === "Auto" || mode === "auto";
}

export function zoneSharesOf(nodes: Iterable<Node>): ZoneShares {
  const cpus = new Map<string, number>();
  let total = 0;
  for (const { metadata, status } of nodes) {
    const { labels = {} } = metadata;
    const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
    if (!ready || controlPlaneLabels.some((label) => label in labels)) continue;
    const cpu = quantityMilliValue(status?.allocatable?.cpu ?? 0);
    const zone = labels[zoneLabel];
    if (!zone || cpu === 0) return undefined;
    cpus.set(zone, (cpus.get(zone) ?? 0) + cpu);
    total += cpu;
  }
  if (cpus.size < 2) return undefined;
  return new Map([...cpus].map(([zone, cpu]) => [zone, cpu / total]));
}

/** For which zone each endpoint is, in their order; or why they cannot be shared out. */
export function shareOut(zones: readonly (string | undefined)[], shares: ZoneShares): string[] | string {
  if (!shares)
    return "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes";
  const counts = `(${zones.length} endpoints, ${shares.size} zones)`;
  if (shares.size > zones.length) return `Insufficient number of endpoints ${counts}`;
  const wanted = new Map<string, number>();
  let least = 0;
  for (const [zone, share] of shares) {
    const exact = share * zones.length;
    const minimum = Math.ceil(exact / (1 + overloadMax));
    least += minimum;
    wanted.set(zone, Math.max(exact, minimum));
  }
  if (least > zones.length)
    return `Unable to allocate minimum required endpoints to each zone without exceeding overload threshold ${counts}`;
  const own = zones.filter((zone) => zone !== undefined);
  if (own.length < zones.length) return "One or more endpoints do not have a zone specified";
  return redistribute(own, wanted);
}

/** Zones with more endpoints than they should have give to those with fewer, one at a time. */
function redistribute(zones: readonly string[], wanted: ReadonlyMap<string, number>): string[] {
  const [gives, takes] = [new Map<string, number>(), new Map<string, number>()];
  for (const [zone, target] of wanted) {
    const surplus = zones.filter((each) => each === zone).length - target;
    if (surplus > 0) gives.set(zone, surplus);
    else if (surplus < 0) takes.set(zone, -surplus);
  }
  const result = [...zones];
  for (;;) {
    const [giver, left] = most(gives);
    const [taker, missing] = most(takes);
    if (giver === "" || taker === "" || (left < 1 && missing < 1) || left < 0.5 || missing < 0.5)
      return result;
    const given = result.findIndex((zone, i) => zone === giver && zones[i] === giver);
    if (given < 0) return result;
    result[given] = taker;
    gives.set(giver, left - 1);
    takes.set(taker, missing - 1);
  }
}

function most(zones: ReadonlyMap<string, number>): [string, number] {
  let best: [string, number] = ["", 0];
  for (const entry of zones) if (entry[1] > best[1]) best = entry;
  return best;
}
