/**
 * Discovery documents, built from the resource definitions and nothing else.
 * https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
 */
import { createHash } from "node:crypto";
import { groupPriorityOf, type ResourceDefinition, type SubresourceDefinition, storedOf } from "#api";
import { customOf } from "../customresources/custom-definition.ts";

type Definitions = readonly ResourceDefinition[];

/** One entry of `/api/v1` or `/apis/G/V`. */
interface ApiResource {
  name: string;
  singularName: string;
  namespaced: boolean;
  group?: string;
  version?: string;
  kind: string;
  verbs: readonly string[];
  shortNames?: readonly string[];
  categories?: readonly string[];
  storageVersionHash?: string;
}

export function groupVersionText(group: string, version: string): string {
  return group ? `${group}/${version}` : version;
}

/** Stable versions first, then betas, then alphas; higher before lower. */
function compareVersions(a: string, b: string): number {
  const rank = (v: string): [number, number, number] => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(v);
    if (!match) return [3, 0, 0];
    const stage = match[2] === undefined ? 0 : match[2] === "beta" ? 1 : 2;
    return [stage, -Number(match[1]), -Number(match[3] ?? 0)];
  };
  const [left, right] = [rank(a), rank(b)];
  return left[0] - right[0] || left[1] - right[1] || left[2] - right[2] || (a < b ? -1 : 1);
}

/** A group version that another server serves, and what its discovery says. */
export interface RemoteVersion {
  readonly group: string;
  readonly version: string;
  readonly isAvailable: boolean;
  readonly resources: readonly Readonly<Record<string, unknown>>[];
}

/** Named groups with their versions, in the order they are offered. */
export function groupsOf(
  definitions: Definitions,
  remotes: readonly RemoteVersion[] = [],
): { group: string; versions: string[] }[] {
  const groups = new Map<string, Set<string>>();
  for (const d of [...definitions, ...remotes]) {
    if (d.group === "") continue;
    const versions = groups.get(d.group) ?? new Set();
    groups.set(d.group, versions.add(d.version));
  }
  const offered = [...groups].sort(([a], [b]) => groupPriorityOf(b) - groupPriorityOf(a) || (a < b ? -1 : 1));
  return offered.map(([group, versions]) => ({ group, versions: [...versions].sort(compareVersions) }));
}

/** `GET /api` */
export function coreVersions(serverAddress: string): Record<string, unknown> {
  return {
    kind: "APIVersions",
    versions: ["v1"],
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }],
  };
}

function apiGroup(group: string, versions: readonly string[]): Record<string, unknown> {
  const entries = versions.map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: group, versions: entries, preferredVersion: entries[0] };
}

/** `GET /apis` */
export function groupList(
  definitions: Definitions,
  remotes: readonly RemoteVersion[] = [],
): Record<string, unknown> {
  const groups = groupsOf(definitions, remotes).map(({ group, versions }) => apiGroup(group, versions));
  return { kind: "APIGroupList", apiVersion: "v1", groups };
}

/** `GET /apis/G`; undefined when nothing of the group is served. */
export function groupDocument(
  definitions: Definitions,
  group: string,
  remotes: readonly RemoteVersion[] = [],
): Record<string, unknown> | undefined {
  const found = groupsOf(definitions, remotes).find((g) => g.group === group);
  return found && { kind: "APIGroup", apiVersion: "v1", ...apiGroup(found.group, found.versions) };
}

/** `GET /api/v1` and `/apis/G/V`; undefined when nothing of the version is served. */
export function resourceList(
  definitions: Definitions,
  group: string,
  version: string,
): Record<string, unknown> | undefined {
  const served = definitions.filter((d) => d.group === group && d.version === version);
  if (served.length === 0) return undefined;
  const resources = served
    .flatMap((d) => [resourceEntry(d), ...subresourcesOf(d).map(([name, s]) => subresourceEntry(d, name, s))])
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    kind: "APIResourceList",
    ...(group ? { apiVersion: "v1" } : {}),
    groupVersion: groupVersionText(group, version),
    resources,
  };
}

function subresourcesOf(definition: ResourceDefinition): [string, SubresourceDefinition][] {
  return Object.entries(definition.subresources).sort(([a], [b]) => (a < b ? -1 : 1));
}

function resourceEntry(d: ResourceDefinition): ApiResource {
  return {
    name: d.resource,
    singularName: d.singular,
    namespaced: d.namespaced,
    kind: d.kind,
    verbs: d.verbs,
    ...(d.shortNames.length > 0 ? { shortNames: d.shortNames } : {}),
    ...(d.categories.length > 0 ? { categories: d.categories } : {}),
    ...(d.verbs.includes("list") ? { storageVersionHash: storageVersionHash(d) } : {}),
  };
}

/** Changes with the version that objects are stored in: whoever migrates them looks at it. */
function storageVersionHash(definition: ResourceDefinition): string {
  const { group, version, kind } = customOf(definition)?.storage ?? storedOf(definition);
  return createHash("sha256")
    .update(`${group}/${version}/${kind}`)
    .digest()
    .subarray(0, 8)
    .toString("base64");
}

function subresourceEntry(d: ResourceDefinition, name: string, s: SubresourceDefinition): ApiResource {
  return {
    name: `${d.resource}/${name}`,
    singularName: "",
    namespaced: d.namespaced,
    ...(s.group ? { group: s.group } : {}),
    ...(s.version ? { version: s.version } : {}),
    kind: s.kind,
    verbs: s.verbs,
  };
}

/** Media types of aggregated discovery, as a client asks for them. */
export function aggregatedDiscoveryType(version: "v2" | "v2beta1"): string {
  return `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
}

/**
 * `GET /api` (`core`) and `GET /apis` (all others) in the aggregated form: everything at once.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/3352-aggregated-discovery
 */
export function aggregatedDiscovery(
  definitions: Definitions,
  which: "core" | "named",
  version: "v2" | "v2beta1",
  remotes: readonly RemoteVersion[] = [],
): Record<string, unknown> {
  const groups = which === "core" ? [{ group: "", versions: ["v1"] }] : groupsOf(definitions, remotes);
  const items = groups.map(({ group, versions }) => ({
    metadata: { ...(group ? { name: group } : {}), creationTimestamp: null },
    versions: versions.map((v) => {
      const remote = remotes.find((each) => each.group === group && each.version === v);
      const own = definitions.filter((d) => d.group === group && d.version === v).map(aggregatedResource);
      return {
        version: v,
        resources: remote && own.length === 0 ? aggregatedRemote(remote) : own,
        freshness: remote && !remote.isAvailable ? "Stale" : "Current",
      };
    }),
  }));
  return { kind: "APIGroupDiscoveryList", apiVersion: `apidiscovery.k8s.io/${version}`, metadata: {}, items };
}

/** The plain list of another server in the aggregated form. */
function aggregatedRemote({ group, version, resources }: RemoteVersion): Record<string, unknown>[] {
  const kindOf = (entry: Readonly<Record<string, unknown>>) => ({
    group: entry.group ?? group,
    version: entry.version ?? version,
    kind: entry.kind,
  });
  const nameOf = (entry: Readonly<Record<string, unknown>>) => String(entry.name ?? "");
  return resources
    .filter((entry) => !nameOf(entry).includes("/"))
    .map((entry) => {
      const prefix = `${nameOf(entry)}/`;
      const parts = resources.filter((each) => nameOf(each).startsWith(prefix));
      const { shortNames, categories } = entry;
      return {
        resource: nameOf(entry),
        responseKind: kindOf(entry),
        scope: entry.namespaced ? "Namespaced" : "Cluster",
        singularResource: entry.singularName ?? "",
        verbs: entry.verbs ?? [],
        ...(shortNames ? { shortNames } : {}),
        ...(categories ? { categories } : {}),
        ...(parts.length > 0
          ? {
              subresources: parts.map((part) => ({
                subresource: nameOf(part).slice(prefix.length),
                responseKind: kindOf(part),
                verbs: part.verbs ?? [],
              })),
            }
          : {}),
      };
    });
}

function aggregatedResource(d: ResourceDefinition): Record<string, unknown> {
  const subresources = subresourcesOf(d).map(([name, s]) => ({
    subresource: name,
    responseKind: { group: s.group ?? d.group, version: s.version ?? d.version, kind: s.kind },
    verbs: s.verbs,
  }));
  return {
    resource: d.resource,
    responseKind: { group: d.group, version: d.version, kind: d.kind },
    scope: d.namespaced ? "Namespaced" : "Cluster",
    singularResource: d.singular,
    verbs: d.verbs,
    ...(d.shortNames.length > 0 ? { shortNames: d.shortNames } : {}),
    ...(d.categories.length > 0 ? { categories: d.categories } : {}),
    ...(subresources.length > 0 ? { subresources } : {}),
  };
}
