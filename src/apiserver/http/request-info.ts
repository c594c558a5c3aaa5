/** What a path means. https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris */
import { badRequest } from "#api";

export interface ResourceInfo {
  readonly group: string;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly resource: string;
  readonly name: string;
  readonly subresource: string;
  /** What follows a `proxy` subresource, its escapes undone. */
  readonly rest: string;
}

/** Undefined for paths that are not about resources (`/healthz`, `/apis/apps/v1`…). */
export function resourceInfoOf(path: string): ResourceInfo | undefined {
  const parts = path.split("/").slice(1);
  const isCore = parts[0] === "api";
  if (!isCore && parts[0] !== "apis") return undefined;
  const [group, version, ...segments] = isCore ? ["", ...parts.slice(1)] : parts.slice(1);
  if (!version || !segments[0]) return undefined;
  const decoded = segments.map(decodeSegment);
  const isInNamespace = decoded[0] === "namespaces" && Boolean(decoded[2]) && !isNamespacePart(decoded[2]!);
  const namespace = isInNamespace ? decoded[1] : undefined;
  const [resource = "", name = "", subresource = "", ...rest] = isInNamespace ? decoded.slice(2) : decoded;
  return { group: group!, version, namespace, resource, name, subresource, rest: rest.join("/") };
}

const proxiedPath = /^\/api\/v1\/(?:nodes|namespaces\/[^/]+\/(?:pods|services))\/[^/]+\/proxy(?=\/|$)/;

/** Requests whose body, path and answer are between the client and what stands behind the server. */
export function isProxied(path: string): boolean {
  return proxiedPath.test(path);
}

/** The path of such a request up to the subresource, and what follows it, both still escaped. */
export function splitProxied(path: string): { prefix: string; rest: string } {
  const prefix = proxiedPath.exec(path)?.[0] ?? path;
  return { prefix, rest: path.slice(prefix.length) };
}

/** `/api/v1/namespaces/x/status` is about the namespace itself. */
function isNamespacePart(segment: string): boolean {
  return segment === "status" || segment === "finalize";
}

function decodeSegment(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    throw badRequest(`invalid URL escape in ${JSON.stringify(segment.slice(0, 100))}`);
  }
}
