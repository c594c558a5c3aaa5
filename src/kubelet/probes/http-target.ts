/**
 * Where the request of a probe or a hook goes, and its head: the URL as Go reads it, who writes the paths and headers of
 * pods for Go's client. A browser's URL would drop `..`, the default port, and what it does not like of a path.
 * https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#http-probes
 */
import type { corev1 } from "#api";

export interface HttpTarget {
  scheme: string;
  /** Without the brackets of an IPv6 address. */
  hostname: string;
  port: number;
  /** For the Host header. */
  host: string;
  /** Path and query, as they are sent. */
  uri: string;
  /** For messages. */
  text: string;
}

/** A scheme and a host in front of the path: others than the pod's are not asked. */
const foreignHost = /^(?:[a-z][a-z0-9+.-]*:)?\/\/(?!\/)[^/]*/i;
const controlCharacters = /[^\P{Cc}\x80-\x9f]/u;
const badEscape = /%(?![0-9a-f]{2})/i;
const validPath = /^[\w\-.~!$&'()*+,;=:@[\]%/]*$/;
const unescapedInPath = /[\w\-.~$&+,/:;=@]/;

/** Every byte that does not stand for itself in a path, as `%XX`. */
function escapePath(bytes: Buffer): string {
  let text = "";
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    const isPlain = byte < 0x80 && unescapedInPath.test(character);
    text += isPlain ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}

function unescapePath(path: string): Buffer {
  const bytes = path.replace(/[^\0-\x7f]/gu, (character) => Buffer.from(character).toString("latin1"));
  const plain = bytes.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(plain, "latin1");
}

/** A pod's path, as Go's `url.Parse` and `RequestURI` make it. */
function splitPath(raw: string): { path: string; query: string; fragment: string } {
  const [beforeFragment = "", fragment = ""] = cut(raw, "#");
  const [beforeQuery = "", query = ""] = cut(beforeFragment, "?");
  const own = beforeQuery.replace(foreignHost, "");
  // What is no URL is a path as it stands, its question marks too.
  if (controlCharacters.test(raw) || badEscape.test(own))
    return { path: rooted(escapePath(Buffer.from(raw))), query: "", fragment: "" };
  const path = validPath.test(own) ? own : escapePath(unescapePath(own));
  return { path: rooted(path), query, fragment };
}

/** In two, the second with its separator. */
function cut(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at)];
}

const rooted = (path: string) => (path === "" || path.startsWith("/") ? path : `/${path}`);

export function targetOf(action: Readonly<corev1.HTTPGetAction>, hostname: string, port: number): HttpTarget {
  const scheme = (action.scheme ?? "HTTP").toLowerCase();
  const host = `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  const { path, query, fragment } = splitPath(action.path ?? "");
  const text = `${scheme}://${host}${path}${query}${fragment}`;
  return { scheme, hostname, port, host, uri: `${path || "/"}${query}`, text };
}

/** Where an answer sends to; throws what is wrong with its Location. */
export function redirectOf(target: Readonly<HttpTarget>, location: string): HttpTarget {
  const url = URL.parse(location, target.text);
  const quoted = JSON.stringify(location);
  if (!url) throw new Error(`failed to parse Location header ${quoted}: parse ${quoted}: invalid URL`);
  const scheme = url.protocol.slice(0, -1);
  const port = Number(url.port) || (scheme === "https" ? 443 : 80);
  const isHere = scheme === target.scheme && url.hostname === hostInUrl(target) && port === target.port;
  return {
    scheme,
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port,
    host: isHere ? target.host : url.host,
    uri: `${url.pathname}${url.search}`,
    text: url.href,
  };
}

/** As a parsed URL has it: some ways to write an address are one. */
const hostInUrl = (target: Readonly<HttpTarget>) => URL.parse(target.text)?.hostname ?? target.hostname;

/** Whether both are the same host; the port does not matter. */
export const isSameHost = (a: Readonly<HttpTarget>, b: Readonly<HttpTarget>) =>
  a.hostname === b.hostname || hostInUrl(a) === hostInUrl(b);

/** Those that the client itself writes, or never sends. */
const ownHeaders = new Set(["Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer"]);
const tokenCharacters = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Control characters but the tab. */
const badValue = /[^\P{Cc}\t\x80-\x9f]/u;

/** `x-probe` as Go writes it: `X-Probe`. */
function canonicalName(name: string): string {
  if (!tokenCharacters.test(name)) return name;
  return name.toLowerCase().replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}

/** The headers of a pod, several of a name one after the other; Go sends them sorted. */
export function headersOf(given: readonly Readonly<corev1.HTTPHeader>[] = []): Map<string, string[]> {
  const headers = new Map<string, string[]>();
  for (const { name, value } of given) {
    const canonical = canonicalName(name);
    headers.set(canonical, [...(headers.get(canonical) ?? []), value ?? ""]);
  }
  return headers;
}

/** The request, as Go's client writes it for a kubelet. Throws what is wrong with a header. */
export function requestHead(
  target: Readonly<HttpTarget>,
  headers: ReadonlyMap<string, readonly string[]>,
  agent: string,
): string {
  const own = headers.get("Host")?.[0] || target.host;
  const userAgent = headers.get("User-Agent")?.[0] ?? agent;
  let head = `GET ${target.uri} HTTP/1.1\r\nHost: ${own}\r\n`;
  if (userAgent) head += `User-Agent: ${userAgent}\r\n`;
  const accept = headers.get("Accept")?.[0] ?? "*/*";
  if (headers.size === 0) return `${head}Accept: ${accept}\r\nConnection: close\r\n\r\n`;
  const sent = new Map(headers);
  if (!headers.has("Accept")) sent.set("Accept", [accept]);
  else if (accept === "") sent.delete("Accept");
  for (const [name, values] of [...sent].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!tokenCharacters.test(name))
      throw new Error(`net/http: invalid header field name ${JSON.stringify(name)}`);
    if (values.some((value) => badValue.test(value)))
      throw new Error(`net/http: invalid header field value for ${JSON.stringify(name)}`);
    if (!ownHeaders.has(name)) for (const value of values) head += `${name}: ${value.trim()}\r\n`;
  }
  const closes = headers.get("Connection")?.some((value) => /(?:^|,)\s*close\s*(?:,|$)/i.test(value));
  return `${head}${closes ? "" : "Connection: close\r\n"}\r\n`;
}
