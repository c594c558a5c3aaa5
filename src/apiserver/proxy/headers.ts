/** What changes in the head of a request and of its answer on their way through. */
import type { IncomingHttpHeaders } from "node:http";

/** They are between two neighbours only. https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** Who the client is, is this server's affair: what is behind it never sees how it was proven. */
const withheld: ReadonlySet<string> = new Set(["authorization", "expect"]);

function namedByConnection(connection: string | undefined): Set<string> {
  return new Set((connection ?? "").split(",").map((name) => name.trim().toLowerCase()));
}

type Headers = Readonly<Record<string, string | undefined>>;

/** `path` is the whole one that the client asked for, for backends that make links of it. */
export function requestHeaders(headers: Headers, path: string): Record<string, string> {
  const named = namedByConnection(headers.connection);
  const passed: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || hopByHop.has(name) || named.has(name)) continue;
    if (!withheld.has(name) && !name.startsWith("impersonate-")) passed[name] = value;
  }
  passed["x-forwarded-uri"] = path;
  passed["x-forwarded-proto"] = "https";
  if (headers.host) passed["x-forwarded-host"] = headers.host;
  return passed;
}

/** As `requestHeaders`, with those that ask to leave HTTP. */
export function upgradeHeaders(headers: Headers, path: string): Record<string, string> {
  return { ...requestHeaders(headers, path), connection: "Upgrade", upgrade: headers.upgrade ?? "" };
}

/** The answer's, without cookies: they are several headers. Node reads bytes; here they are text again. */
export function responseHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const named = namedByConnection(headers.connection);
  const passed: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || hopByHop.has(name) || named.has(name) || name === "set-cookie") continue;
    passed[name] = Buffer.from([value].flat().join(", "), "latin1").toString("utf8");
  }
  return passed;
}

/**
 * Where a redirection leads for the client: a path of the backend stands behind the prefix; another host stays what it
 * is. `hosts` are the names under which the backend may know itself.
 */
export function rewriteRedirect(location: string, prefix: string, hosts: readonly string[]): string {
  const isAbsolute = /^[a-z][a-z0-9+.-]*:\/\/|^\/\//i.test(location);
  if (!isAbsolute && !location.startsWith("/")) return location;
  const base = "http://backend.invalid";
  if (!URL.canParse(location, base)) return location;
  const url = new URL(location, base);
  if (isAbsolute && !hosts.includes(url.host)) return location;
  const path = url.pathname + url.search + url.hash;
  return path.startsWith(`${prefix}/`) ? path : prefix + path;
}
