/** What must be said to a running HAProxy, so that it does the new configuration instead of the former. */

import type { Server } from "../model.ts";
import type { HaproxyConfig, Slots } from "./config.ts";
import type { MapEntries } from "./frontend.ts";

export interface RuntimeChanges {
  /** Orders about servers, in their order. */
  commands: string[];
  maps: [file: string, entries: MapEntries][];
  certificates: [file: string, pem: string][];
}

/** Undefined where only a new worker can do it. */
export function changesBetween(before: HaproxyConfig, after: HaproxyConfig): RuntimeChanges | undefined {
  if (before.structure !== after.structure) return undefined;
  if (!sameEntries(before.certificateLists, after.certificateLists)) return undefined;
  const commands = [...after.slots].flatMap(([backend, slots]) =>
    slotCommands(backend, before.slots.get(backend) ?? [], slots),
  );
  const maps = [...after.maps].filter(([file, entries]) => !sameMap(before.maps.get(file), entries));
  const certificates = [...after.certificates].filter(([file, pem]) => before.certificates.get(file) !== pem);
  return { commands, maps, certificates };
}

/** A server that goes gets no new requests and ends those it has; one that comes is told its address first. */
function slotCommands(backend: string, before: Slots, after: Slots): string[] {
  return after.flatMap((server, i) => {
    if (sameSlot(before[i], server)) return [];
    const name = `${backend}/s${i}`;
    if (!server) return [`set server ${name} state maint`];
    return [
      `set server ${name} addr ${server.address} port ${server.port}`,
      `set server ${name} state ready`,
    ];
  });
}

function sameSlot(a: Server | undefined, b: Server | undefined): boolean {
  return a?.address === b?.address && a?.port === b?.port;
}

function sameMap(a: MapEntries | undefined, b: MapEntries): boolean {
  return a?.length === b.length && a.every(([key, value], i) => key === b[i]![0] && value === b[i]![1]);
}

function sameEntries(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}
