/**
 * What goes to an extender and what comes back. Upstream's structures have no names of their own for JSON, so that
 * answers are read whatever the case of their fields, as Go does.
 * https://github.com/kubernetes/kube-scheduler/blob/master/extender/v1/types.go
 */
import type { Node } from "../node-info.ts";
import type { PodInfo } from "../pod-info.ts";

export interface FilterAnswer {
  /** Undefined: it says of nodes by name only what failed. */
  names: readonly string[] | undefined;
  failed: ReadonlyMap<string, string>;
  failedForGood: ReadonlyMap<string, string>;
}

export interface VictimsOf {
  readonly uids: readonly string[];
  readonly violations: number;
}

type Json = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The field of this name in any case; the exact one wins. */
function field(value: unknown, name: string): unknown {
  if (!isRecord(value)) return undefined;
  if (Object.hasOwn(value, name)) return value[name];
  const found = Object.keys(value).find((key) => key.toLowerCase() === name.toLowerCase());
  return found === undefined ? undefined : value[found];
}

function texts(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : undefined;
}

function textMap(value: unknown): Map<string, string> {
  const entries = isRecord(value) ? Object.entries(value) : [];
  return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}

function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

/** What the answer says went wrong; "": nothing. */
export function errorIn(answer: unknown): string {
  const error = field(answer, "Error");
  return typeof error === "string" ? error : "";
}

/** `byName`: it knows the nodes, so that names suffice. */
export function nodesArgs(info: PodInfo, nodes: readonly Node[], byName: boolean): Json {
  if (byName) return { Pod: info.pod, Nodes: null, NodeNames: nodes.map(({ metadata }) => metadata.name) };
  return { Pod: info.pod, Nodes: { metadata: {}, items: nodes }, NodeNames: null };
}

export function filterAnswer(answer: unknown, byName: boolean): FilterAnswer {
  const nodes = field(field(answer, "Nodes"), "items");
  const listed = Array.isArray(nodes)
    ? nodes.flatMap((node) => texts([field(field(node, "metadata"), "name")]) ?? [])
    : undefined;
  return {
    names: (byName ? texts(field(answer, "NodeNames")) : undefined) ?? listed,
    failed: textMap(field(answer, "FailedNodes")),
    failedForGood: textMap(field(answer, "FailedAndUnresolvableNodes")),
  };
}

/** Scores by node. */
export function prioritiesIn(answer: unknown): ReadonlyMap<string, number> {
  const scores = new Map<string, number>();
  for (const each of Array.isArray(answer) ? answer : []) {
    const host = field(each, "Host");
    if (typeof host === "string") scores.set(host, numberOf(field(each, "Score")));
  }
  return scores;
}

export function preemptionArgs(
  info: PodInfo,
  victims: ReadonlyMap<string, { victims: readonly PodInfo[]; violations: number }>,
  byName: boolean,
): Json {
  const described = [...victims].map(([name, { victims: going, violations }]) => {
    const pods = going.map(({ pod }) => (byName ? { UID: pod.metadata.uid } : pod));
    return [name, { Pods: pods, NumPDBViolations: violations }];
  });
  const field = byName ? "NodeNameToMetaVictims" : "NodeNameToVictims";
  return { Pod: info.pod, [field]: Object.fromEntries(described) };
}

export function preemptionAnswer(answer: unknown): Map<string, VictimsOf> {
  const nodes = field(answer, "NodeNameToMetaVictims");
  const entries = isRecord(nodes) ? Object.entries(nodes) : [];
  return new Map(
    entries.map(([name, victims]) => {
      const pods = field(victims, "Pods");
      const uids = Array.isArray(pods) ? pods.flatMap((pod) => texts([field(pod, "UID")]) ?? []) : [];
      return [name, { uids, violations: numberOf(field(victims, "NumPDBViolations")) }];
    }),
  );
}
