/**
 * What shall be served, whoever asked for it: Ingresses and Gateways are translated to this, and HAProxy is made to do
 * it. Everything here is plain data, checked by those who make it.
 */

export interface Routing {
  frontends: Frontend[];
  /** By `Backend.id`. */
  backends: Map<string, Backend>;
  /** The backend of requests that no route wants. */
  defaultBackend?: string;
}

/** One port that is listened on. */
export interface Frontend {
  port: number;
  tls: boolean;
  /** Over IPv6 too. */
  ipv6?: boolean;
  sites: Site[];
  /** Of a TLS frontend; the first one without hosts serves names nobody else has. */
  certificates: Certificate[];
}

export interface Certificate {
  /** A file name: `namespace_secret`. */
  name: string;
  /** Chain and key, PEM. */
  pem: string;
  /** Server names it is for; none: those in the certificate. */
  hosts: string[];
}

/** A host, and its routes in order of precedence. */
export interface Site {
  /** Lower case; "" is every host; `*.example.com` is one further label, `**.example.com` one or more. */
  host: string;
  routes: Route[];
}

export interface Route {
  path: PathMatch;
  /** All must hold. */
  conditions: Condition[];
  targets: Target[];
}

/** `Prefix` matches whole path elements; `Regex` from the start of the path, ignoring case as ingress-nginx does. */
export interface PathMatch {
  type: "Exact" | "Prefix" | "Regex";
  value: string;
}

export interface Condition {
  of: "header" | "query" | "cookie" | "method";
  /** Of the header, parameter or cookie. */
  name: string;
  match: "Exact" | "Regex" | "Not";
  value: string;
}

/** A share of the requests of a route: `weight` of the sum of its targets. */
export interface Target {
  backend: string;
  weight: number;
}

export interface Backend {
  id: string;
  servers: Server[];
  options: BackendOptions;
}

export interface Server {
  /** An IP address; a name for Services of type ExternalName. */
  address: string;
  port: number;
}

/** How servers are spoken to: plain, over TLS (not verified, as ingress-nginx does), HTTP/2 plain or over TLS. */
export type ServerProtocol = "HTTP" | "HTTPS" | "GRPC" | "GRPCS";

export interface HeaderChange {
  change: "set" | "add" | "remove";
  name: string;
  value: string;
}

/** What is done to requests on their way to a backend. Durations are in seconds. */
export interface BackendOptions {
  protocol?: ServerProtocol;
  balance?: "roundrobin" | "leastconn" | "source" | "uri" | { header: string };
  affinity?: CookieAffinity;
  connectTimeout?: number;
  serverTimeout?: number;
  bodyMaxBytes?: number;
  /** Networks that may ask, and those that may not. */
  allow?: string[];
  deny?: string[];
  basicAuth?: { realm: string; users: readonly (readonly [name: string, hash: string])[] };
  cors?: Cors;
  rateLimit?: RateLimit;
  /** Plain requests are sent to HTTPS with this code. */
  tlsRedirect?: number;
  /** Requests for `/` are sent here. */
  appRoot?: string;
  redirect?: Redirect;
  /** A complete answer. */
  answer?: { code: number; text: string };
  rewrite?: Rewrite;
  /** The `Host` the servers see. */
  host?: string;
  requestHeaders?: HeaderChange[];
  responseHeaders?: HeaderChange[];
}

export interface CookieAffinity {
  cookie: string;
  /** Attributes as they stand in the cookie: `Path=/x`. */
  attributes: string[];
  secure: boolean;
}

export interface Cors {
  /** Origins; `*` alone is every origin, and `https://*.example.com` every name below. */
  origins: string[];
  methods: string;
  headers: string;
  exposeHeaders?: string;
  credentials: boolean;
  maxAge: number;
}

export interface RateLimit {
  /** Requests of one address in a second or a minute, and how many times as many in a burst. */
  perSecond?: number;
  perMinute?: number;
  burst: number;
  connections?: number;
  exempt: string[];
}

export interface Redirect {
  code: number;
  /** The whole target; or the parts that change. */
  location?: string;
  scheme?: string;
  host?: string;
  port?: number;
  path?: Rewrite;
}

/** What becomes of the path: `regex` replaces all of it, with `\1`; `prefix` its first elements; `full` everything. */
export type Rewrite =
  | { type: "regex"; pattern: string; to: string }
  | { type: "prefix"; from: string; to: string }
  | { type: "full"; to: string };
