/**
 * The whole of HAProxy's configuration as files. What can change while it runs (servers of a backend, maps, the bytes of
 * a certificate) is kept apart from the structure, whose change needs a new worker.
 */
import { join } from "node:path";
import type { Backend, Frontend, Routing, Server } from "../model.ts";
import { backendLines, userLists } from "./backend.ts";
import { frontendLines, frontendMaps, type MapEntries, mapNames } from "./frontend.ts";
import { isPrintable, quote } from "./quote.ts";

/** The slots of a backend: a server, or nothing yet. */
export type Slots = (Server | undefined)[];

export interface HaproxyConfig {
  /** Without the servers in their slots. Two of the same structure differ only in what can change while running. */
  structure: string;
  /** The text for HAProxy. */
  text: string;
  /** Of each backend, by id. */
  slots: Map<string, Slots>;
  /** By path. */
  maps: Map<string, MapEntries>;
  certificates: Map<string, string>;
  /** Lists of certificates with their names, by path. */
  certificateLists: Map<string, string>;
}

export interface ConfigPaths {
  dir: string;
  adminSocket: string;
}

/** Room for more servers than there are: a Service may grow without a new worker. */
export function slotCountFor(servers: number): number {
  return Math.max(8, 2 ** Math.ceil(Math.log2(Math.max(1, servers * 1.25))));
}

const sameServer = (a: Server | undefined, b: Server) => a?.address === b.address && a.port === b.port;

/** Servers stay in the slot they have; new ones take free slots. Never fewer slots than before. */
export function assignSlots(servers: readonly Server[], before: Slots = []): Slots {
  const length = servers.length <= before.length ? before.length : slotCountFor(servers.length);
  const slots: Slots = Array.from({ length: length || slotCountFor(0) }, () => undefined);
  const homeless: Server[] = [];
  for (const server of servers) {
    const at = before.findIndex((each) => sameServer(each, server));
    if (at >= 0) slots[at] = server;
    else homeless.push(server);
  }
  let free = 0;
  for (const server of homeless) {
    while (slots[free]) free++;
    slots[free] = server;
  }
  return slots;
}

export function haproxyConfig(routing: Routing, paths: ConfigPaths, before?: HaproxyConfig): HaproxyConfig {
  const config: HaproxyConfig = {
    structure: "",
    text: "",
    slots: new Map(),
    maps: new Map(),
    certificates: new Map(),
    certificateLists: new Map(),
  };
  const httpsPort = routing.frontends.find(({ tls }) => tls)?.port ?? 443;
  const head = [...globalLines(paths), ...userLists(routing.backends.values())];
  for (const frontend of routing.frontends) head.push(...addFrontend(config, routing, frontend, paths.dir));
  const structure = [...head];
  const text = [...head];
  for (const backend of sorted(routing.backends)) {
    const lines = backendLines(backend, httpsPort);
    const slots = assignSlots(backend.servers, before?.slots.get(backend.id));
    config.slots.set(backend.id, slots);
    const servers = serverLines(backend, slots);
    structure.push(...lines, ...(isDynamic(backend) ? [`${slots.length} slots`] : servers));
    text.push(...lines, ...servers);
  }
  config.structure = structure.join("\n");
  config.text = `${[...text, ...noRoute].join("\n")}\n`;
  return config;
}

/** Where requests go that nobody wants. */
const noRoute = [
  "backend no-route",
  "http-request return status 404 content-type text/plain string 'no route for this host and path'",
];

function sorted(backends: ReadonlyMap<string, Backend>): Backend[] {
  return [...backends.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** A server that ends meanwhile: the next one is asked, as ingress-nginx does. */
export const askAgain = ["option redispatch 1", "retries 2", "retry-on conn-failure empty-response"];

function globalLines({ adminSocket }: ConfigPaths): string[] {
  return [
    "global",
    "user haproxy",
    "group haproxy",
    `stats socket ${quote(adminSocket)} mode 600 level admin expose-fd listeners`,
    "stats timeout 30s",
    "hard-stop-after 10m",
    // For normalize-uri.
    "expose-experimental-directives",
    "ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets",
    "tune.ssl.default-dh-param 2048",
    "defaults",
    "mode http",
    ...askAgain,
    "timeout connect 5s",
    "timeout client 60s",
    "timeout server 60s",
    "timeout tunnel 1h",
    "timeout queue 10s",
    "timeout http-request 10s",
    "timeout http-keep-alive 75s",
    "resolvers machine",
    "parse-resolv-conf",
    "hold valid 10s",
  ];
}

function addFrontend(config: HaproxyConfig, routing: Routing, frontend: Frontend, dir: string): string[] {
  const name = `${frontend.tls ? "https" : "http"}-${frontend.port}`;
  const mapFile = (map: string) => join(dir, `${name}-${map}.map`);
  const maps = frontendMaps(frontend);
  for (const map of mapNames) config.maps.set(mapFile(map), maps[map]);
  const certificateList = join(dir, `${name}-certificates`);
  if (frontend.tls) {
    const lines = frontend.certificates.map((certificate) => {
      const file = join(dir, `${certificate.name}.pem`);
      config.certificates.set(file, certificate.pem);
      return [file, ...certificate.hosts].join(" ");
    });
    config.certificateLists.set(certificateList, `${lines.join("\n")}\n`);
  }
  return [
    ...frontendLines(frontend, maps, { map: mapFile, certificateList }),
    `default_backend ${routing.defaultBackend ?? "no-route"}`,
  ];
}

/** Names are resolved by HAProxy itself; addresses are put into slots. */
function isDynamic(backend: Backend): boolean {
  return backend.servers.every(({ address }) => isAddress(address));
}

function isAddress(text: string): boolean {
  return /^[\d.]+$/.test(text) || text.includes(":");
}

const protocolWords: Record<string, string> = {
  HTTP: "",
  HTTPS: " ssl verify none",
  GRPC: " proto h2",
  GRPCS: " ssl verify none alpn h2",
};

function serverLines(backend: Backend, slots: Slots): string[] {
  const { answer, redirect } = backend.options;
  if (backend.servers.length === 0 && (answer || redirect)) return [];
  const words = protocolWords[backend.options.protocol ?? "HTTP"];
  return slots.map((server, i) => {
    // An address that nobody listens on; the slot is in maintenance until it gets a real one.
    if (!server) return `server s${i} 127.0.0.1:1${words} disabled`;
    const named = isAddress(server.address) ? "" : " resolvers machine init-addr last,none";
    return `server s${i} ${server.address}:${server.port}${words}${named}`;
  });
}

/** A map's file. Keys with white space cannot stand in it: they never match a path either. */
export function mapText(entries: MapEntries): string {
  return entries.map(([key, value]) => `${key} ${value}\n`).join("");
}

/** Whether a path or pattern can stand in a map. */
export function isMappable(text: string): boolean {
  return isPrintable(text) && !/\s/.test(text);
}
