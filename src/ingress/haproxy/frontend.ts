/**
 * One listener: which backend a request goes to. Sites whose routes only look at paths are found through maps, in a time
 * that does not grow with them and changeable while HAProxy runs; the others are rules, in their order of precedence.
 * https://docs.haproxy.org/2.6/configuration.html#7.3.1-map
 */
import type { Condition, Frontend, PathMatch, Route, Site } from "../model.ts";
import { literal, quote } from "./quote.ts";

/** Entries in the order in which HAProxy shall look at them. */
export type MapEntries = [key: string, value: string][];

/** The maps of a frontend, by their purpose. */
export interface FrontendMaps {
  /** Host to site, exact. */
  hosts: MapEntries;
  /** `.example.com` to site: one label more, or any number. */
  one: MapEntries;
  many: MapEntries;
  /** Site and path to backend. */
  exact: MapEntries;
  prefix: MapEntries;
  regex: MapEntries;
}

export const mapNames = ["hosts", "one", "many", "exact", "prefix", "regex"] as const;

/** The site of requests whose host nobody else has. */
const everyHost = "_";

/** Weights are shares of this. */
const whole = 10_000;

const siteName = (site: Site) => site.host || everyHost;

/** Only its path decides, and only one backend is asked. */
function isPlain(route: Route): boolean {
  return route.conditions.length === 0 && route.targets.length === 1;
}

function isMapped(site: Site): boolean {
  return site.routes.every(isPlain);
}

/** `/a/b/` for `/a/b` and `/a/b/`: prefixes match whole elements. */
function asFolder(path: string): string {
  return path.endsWith("/") ? path : `${path}/`;
}

export function frontendMaps(frontend: Frontend): FrontendMaps {
  const maps: FrontendMaps = { hosts: [], one: [], many: [], exact: [], prefix: [], regex: [] };
  for (const site of frontend.sites) {
    const name = siteName(site);
    if (site.host.startsWith("**.")) maps.many.push([site.host.slice(2), name]);
    else if (site.host.startsWith("*.")) maps.one.push([site.host.slice(1), name]);
    else if (site.host) maps.hosts.push([site.host, name]);
    if (!isMapped(site)) continue;
    for (const { path, targets } of site.routes) {
      const backend = targets[0]!.backend;
      if (path.type === "Exact") maps.exact.push([name + path.value, backend]);
      else if (path.type === "Prefix") maps.prefix.push([name + asFolder(path.value), backend]);
      else maps.regex.push([`^${literal(name)}(?i)${path.value}`, backend]);
    }
  }
  // The end of a name is compared one after the other: the longest comes first.
  maps.many.sort((a, b) => b[0].length - a[0].length);
  return maps;
}

export interface FrontendFiles {
  /** Path of the map of that purpose. */
  map(name: (typeof mapNames)[number]): string;
  certificateList: string;
}

/** Maps without entries are not asked: whoever needs one for the first time gets a new worker. */
export function frontendLines(frontend: Frontend, maps: FrontendMaps, files: FrontendFiles): string[] {
  const tls = frontend.tls ? ` ssl crt-list ${quote(files.certificateList)} alpn h2,http/1.1` : "";
  const scheme = frontend.tls ? "https" : "http";
  return [
    `frontend ${scheme}-${frontend.port}`,
    `bind :${frontend.port}${tls}`,
    ...(frontend.ipv6 ? [`bind :::${frontend.port} v6only${tls}`] : []),
    ...forwardedHeaders(scheme, frontend.port),
    // Dots in paths are resolved before routes are chosen: nobody walks around a rule by them.
    // HAProxy 2.6 decodes nothing where a condition stands behind it.
    "http-request normalize-uri percent-decode-unreserved",
    "http-request normalize-uri path-strip-dot if { path_sub /. }",
    "http-request normalize-uri path-strip-dotdot full if { path_sub /. }",
    "http-request set-var(txn.path) path",
    "http-request set-var(txn.path) path,regsub(//+,/,g) if { path_sub // }",
    // Whoever asks twice for the others may do it twice.
    "http-request disable-l7-retry if { method POST PATCH LOCK }",
    ...chooseSite(maps, files),
    ...chooseBackend(frontend, maps, files),
  ];
}

/** What a server is told of the client: as ingress-nginx does it. */
export function forwardedHeaders(scheme: string, port: number): string[] {
  return [
    "http-request set-header X-Request-ID %[uuid()] unless { req.hdr(x-request-id) -m found }",
    "http-request set-header X-Real-IP %[src]",
    "http-request set-header X-Forwarded-For %[src]",
    "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
    `http-request set-header X-Forwarded-Port ${port}`,
    `http-request set-header X-Forwarded-Proto ${scheme}`,
    `http-request set-header X-Forwarded-Scheme ${scheme}`,
    `http-request set-header X-Scheme ${scheme}`,
  ];
}

function chooseSite(maps: FrontendMaps, files: FrontendFiles): string[] {
  const name = "req.hdr(host),host_only,lower";
  const lookups = [
    `${name},map_str(${files.map("hosts")}`,
    ...(maps.one.length > 0 ? [`${name},regsub(^[^.]*,),map_str(${files.map("one")}`] : []),
    ...(maps.many.length > 0 ? [`${name},map_end(${files.map("many")}`] : []),
  ];
  // The last of them has the answer for names that nobody has.
  return lookups.map((lookup, i) => {
    const end = i === lookups.length - 1 ? `,${everyHost})` : ")";
    const when = i === 0 ? "" : " unless { var(txn.site) -m found }";
    return `http-request set-var(txn.site) ${lookup}${end}${when}`;
  });
}

function chooseBackend(frontend: Frontend, maps: FrontendMaps, files: FrontendFiles): string[] {
  const found = "var(txn.backend) -m found";
  const key = "var(txn.site),concat(,txn.path)";
  const lookups = [
    ...(maps.exact.length > 0 ? [`${key},map_str(${files.map("exact")})`] : []),
    ...(maps.regex.length > 0 ? [`${key},map_reg(${files.map("regex")})`] : []),
    ...(maps.prefix.length > 0 ? [`${key},concat(/),map_beg(${files.map("prefix")})`] : []),
  ];
  // A name that is not there is as good as none: the default backend is asked.
  const direct = lookups.length === 1 ? lookups[0] : undefined;
  const lines = direct
    ? []
    : lookups.map(
        (lookup, i) => `http-request set-var(txn.backend) ${lookup}${i === 0 ? "" : ` unless { ${found} }`}`,
      );
  const rules = frontend.sites.filter((site) => !isMapped(site)).flatMap(siteRules);
  if (rules.length > 0) lines.push(`http-request set-var(txn.draw) rand(${whole})`);
  const chosen = lookups.length > 0 ? [`use_backend %[${direct ?? "var(txn.backend)"}]`] : [];
  return [...lines, ...rules, ...chosen];
}

function siteRules(site: Site): string[] {
  const here = `{ var(txn.site) -m str -- ${quote(siteName(site))} }`;
  return site.routes.flatMap((route) => {
    const when = [here, pathCondition(route.path), ...route.conditions.map(condition)]
      .filter(Boolean)
      .join(" ");
    return shares(route).map(([backend, below]) =>
      below >= whole
        ? `use_backend ${backend} if ${when}`
        : `use_backend ${backend} if ${when} { var(txn.draw) -m int lt ${below} }`,
    );
  });
}

/** Each target with the upper end of its part of the draw; the last ends at the whole. */
function shares({ targets }: Route): [string, number][] {
  const total = targets.reduce((sum, { weight }) => sum + weight, 0);
  let below = 0;
  return targets
    .filter(({ weight }) => weight > 0)
    .map(({ backend, weight }, i, { length }) => {
      below += weight;
      return [backend, i === length - 1 ? whole : Math.round((below / total) * whole)];
    });
}

function pathCondition({ type, value }: PathMatch): string {
  if (type === "Exact") return `{ var(txn.path) -m str -- ${quote(value)} }`;
  if (type === "Regex") return `{ var(txn.path) -m reg -i -- ${quote(`^${value}`)} }`;
  return value === "/" ? "" : `{ var(txn.path),concat(/) -m beg -- ${quote(asFolder(value))} }`;
}

const fetches = {
  header: (name: string) => `req.fhdr(${name})`,
  query: (name: string) => `urlp(${name}),url_dec(1)`,
  cookie: (name: string) => `req.cook(${name})`,
  method: () => "method",
} as const;

function condition({ of, name, match, value }: Condition): string {
  const what = fetches[of](name);
  const not = match === "Not" ? "!" : "";
  // An empty word is none at all.
  if (value === "") return `${not}{ ${what} -m len 0 }`;
  // This word ends a condition, quoted or not.
  if (value === "}") return `${not}{ ${what} -m reg -- ${match === "Regex" ? "[}]" : "^[}]$"} }`;
  return `${not}{ ${what} -m ${match === "Regex" ? "reg" : "str"} -- ${quote(value)} }`;
}
