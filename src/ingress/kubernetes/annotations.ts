/**
 * The annotations of ingress-nginx that people use, as options of routes. What is not understood is told, never ignored
 * in silence; what would put text of its own into the configuration (snippets) is refused.
 * https://github.com/kubernetes/ingress-nginx/blob/main/docs/user-guide/nginx-configuration/annotations.md
 */
import { isPrintable } from "../haproxy/quote.ts";
import type { BackendOptions, CookieAffinity, Cors, RateLimit, ServerProtocol } from "../model.ts";

/** What an Ingress asks for beside its rules. */
export interface Wishes {
  options: BackendOptions;
  /** Undefined: only where the host has TLS. `false`: never. `true`: always. */
  tlsRedirect?: boolean;
  useRegex: boolean;
  rewriteTarget?: string;
  serviceUpstream: boolean;
  aliases: string[];
  canary?: Canary;
  /** The Secret with names and hashes, `namespace/name` or `name`. */
  auth?: { secret: string; asMap: boolean; realm: string };
  /** Sentences for events. */
  problems: string[];
}

/** https://github.com/kubernetes/ingress-nginx/blob/main/docs/user-guide/nginx-configuration/annotations.md#canary */
export interface Canary {
  header?: string;
  headerValue?: string;
  headerPattern?: string;
  cookie?: string;
  weight: number;
  total: number;
}

export const prefix = "nginx.ingress.kubernetes.io/";

type Values = ReadonlyMap<string, string>;
type Setter = (wishes: Wishes, value: string, all: Values) => void;

class Problem extends Error {}

function number(value: string, most = 1_000_000): number {
  if (!/^\d{1,9}$/.test(value) || Number(value) > most) throw new Problem("must be a number");
  return Number(value);
}

function boolean(value: string): boolean {
  if (value !== "true" && value !== "false") throw new Problem('must be "true" or "false"');
  return value === "true";
}

function matching(value: string, pattern: RegExp, what: string): string {
  if (!pattern.test(value)) throw new Problem(`must be ${what}`);
  return value;
}

const headerName = /^[A-Za-z0-9-_]{1,128}$/;
const hostName = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/i;
/** A path or URL: what can stand in a `Location`. */
const location = /^[\x21-\x7e]{1,2048}$/;

/** `10.0.0.0/8, 192.168.1.1`: networks as HAProxy takes them. */
function networks(value: string): string[] {
  const all = value.split(",").map((each) => each.trim());
  for (const each of all) matching(each, /^[\da-fA-F.:]{2,45}(\/\d{1,3})?$/, "a list of networks");
  return all;
}

/** nginx's sizes: `8m`, `512k`, `1g`, bytes. Zero is no limit. */
function size(value: string): number | undefined {
  const found = /^(\d{1,9})([kKmMgG]?)$/.exec(value);
  if (!found) throw new Problem("must be a size such as 8m");
  const unit = { "": 0, k: 10, m: 20, g: 30 }[found[2]!.toLowerCase()] ?? 0;
  return Number(found[1]) * 2 ** unit || undefined;
}

function seconds(value: string): number {
  return number(value.replace(/s$/, ""), 86_400);
}

const protocols: Record<string, ServerProtocol> = {
  HTTP: "HTTP",
  HTTPS: "HTTPS",
  GRPC: "GRPC",
  GRPCS: "GRPCS",
  AUTO_HTTP: "HTTP",
};

function redirectCode(value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  const code = number(value, 399);
  if (![301, 302, 303, 307, 308].includes(code))
    throw new Problem("must be a code of redirection that HAProxy knows");
  return code;
}

function balanceOf(value: string): BackendOptions["balance"] {
  if (value === "round_robin") return "roundrobin";
  // Least loaded by measured delay at nginx; by connections here.
  if (value === "ewma" || value === "least_conn") return "leastconn";
  if (value === "ip_hash") return "source";
  throw new Problem("must be round_robin, ewma, least_conn or ip_hash");
}

function hashOf(value: string): BackendOptions["balance"] {
  if (value === "$request_uri" || value === "$uri") return "uri";
  if (value === "$remote_addr" || value === "$binary_remote_addr") return "source";
  const header = /^\$http_([a-z0-9_]{1,64})$/.exec(value)?.[1];
  if (header) return { header: header.replaceAll("_", "-") };
  throw new Problem("must be $request_uri, $remote_addr or $http_NAME");
}

const canaryOf = (wishes: Wishes): Canary => {
  wishes.canary ??= { weight: 0, total: 100 };
  return wishes.canary;
};

const limitsOf = ({ options }: Wishes): RateLimit => {
  options.rateLimit ??= { burst: 5, exempt: [] };
  return options.rateLimit;
};

function affinity(all: Values): CookieAffinity {
  const of = (name: string) => all.get(`session-cookie-${name}`);
  const attributes: string[] = [];
  const age = of("max-age") ?? of("expires");
  if (age !== undefined) attributes.push(`Max-Age=${number(age, 10 ** 9)}`);
  attributes.push(`Path=${matching(of("path") ?? "/", /^\/[\w./-]*$/, "a path")}`);
  const domain = of("domain");
  if (domain !== undefined) attributes.push(`Domain=${matching(domain, /^[\w.-]+$/, "a domain")}`);
  const sameSite = of("samesite");
  if (sameSite !== undefined)
    attributes.push(`SameSite=${matching(sameSite, /^(Lax|Strict|None)$/, "Lax, Strict or None")}`);
  return {
    cookie: matching(of("name") ?? "INGRESSCOOKIE", headerName, "a cookie's name"),
    attributes,
    secure: of("secure") === "true",
  };
}

function cors(all: Values): Cors {
  const of = (name: string) => all.get(`cors-${name}`);
  const list = (value: string) => matching(value, /^[A-Za-z0-9*,._ -]{1,1024}$/, "a list of names");
  const origins = (of("allow-origin") ?? "*").split(",").map((each) => each.trim());
  for (const each of origins)
    matching(each, /^(\*|[a-z][a-z0-9+.-]*:\/\/[\w*.:-]+)$/i, "origins, as https://example.com");
  const exposeHeaders = of("expose-headers");
  return {
    origins,
    methods: list(of("allow-methods") ?? "GET, PUT, POST, DELETE, PATCH, OPTIONS"),
    headers: list(
      of("allow-headers") ??
        "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
    ),
    ...(exposeHeaders === undefined ? {} : { exposeHeaders: list(exposeHeaders) }),
    credentials: boolean(of("allow-credentials") ?? "true"),
    maxAge: number(of("max-age") ?? "1728000", 10 ** 8),
  };
}

/** Those that are read together with another one. */
const companions = new Set([
  ...["name", "max-age", "expires", "path", "domain", "samesite", "secure"].map(
    (each) => `session-cookie-${each}`,
  ),
  ...["allow-origin", "allow-methods", "allow-headers", "expose-headers", "allow-credentials", "max-age"].map(
    (each) => `cors-${each}`,
  ),
  "affinity-mode",
  "permanent-redirect-code",
  "temporal-redirect-code",
  "auth-secret",
  "auth-secret-type",
  "auth-realm",
  // HAProxy does these by itself, or has no such thing.
  "proxy-buffering",
  "proxy-buffer-size",
  "proxy-buffers-number",
  "proxy-http-version",
  "proxy-request-buffering",
  "preserve-trailing-slash",
  "enable-access-log",
]);

const setters: Record<string, Setter> = {
  "rewrite-target": (wishes, value) => {
    wishes.rewriteTarget = matching(value, location, "a path").replace(/\$(\d)/g, "\\$1");
  },
  "use-regex": (wishes, value) => {
    wishes.useRegex = boolean(value);
  },
  "ssl-redirect": (wishes, value) => {
    if (wishes.tlsRedirect === undefined && !boolean(value)) wishes.tlsRedirect = false;
  },
  "force-ssl-redirect": (wishes, value) => {
    if (boolean(value)) wishes.tlsRedirect = true;
  },
  "app-root": ({ options }, value) => {
    options.appRoot = matching(value, location, "a path");
  },
  "permanent-redirect": ({ options }, value, all) => {
    const code = redirectCode(all.get("permanent-redirect-code"), 301);
    options.redirect = { code, location: matching(value, location, "a URL") };
  },
  "temporal-redirect": ({ options }, value, all) => {
    const code = redirectCode(all.get("temporal-redirect-code"), 302);
    options.redirect ??= { code, location: matching(value, location, "a URL") };
  },
  "proxy-body-size": ({ options }, value) => {
    const bytes = size(value);
    if (bytes !== undefined) options.bodyMaxBytes = bytes;
  },
  "client-max-body-size": ({ options }, value) => {
    const bytes = size(value);
    if (bytes !== undefined) options.bodyMaxBytes = bytes;
  },
  "proxy-connect-timeout": ({ options }, value) => {
    options.connectTimeout = seconds(value);
  },
  "proxy-read-timeout": ({ options }, value) => {
    options.serverTimeout = Math.max(options.serverTimeout ?? 0, seconds(value));
  },
  "proxy-send-timeout": ({ options }, value) => {
    options.serverTimeout = Math.max(options.serverTimeout ?? 0, seconds(value));
  },
  "backend-protocol": ({ options }, value) => {
    const protocol = protocols[value.toUpperCase()];
    if (!protocol) throw new Problem("must be HTTP, HTTPS, GRPC or GRPCS");
    options.protocol = protocol;
  },
  "load-balance": ({ options }, value) => {
    options.balance ??= balanceOf(value);
  },
  "upstream-hash-by": ({ options }, value) => {
    options.balance = hashOf(value);
  },
  "upstream-vhost": ({ options }, value) => {
    options.host = matching(value, /^[\w.:-]{1,255}$/, "a host name");
  },
  "x-forwarded-prefix": ({ options }, value) => {
    const change = {
      change: "set",
      name: "X-Forwarded-Prefix",
      value: matching(value, location, "a path"),
    } as const;
    options.requestHeaders = [...(options.requestHeaders ?? []), change];
  },
  "service-upstream": (wishes, value) => {
    wishes.serviceUpstream = boolean(value);
  },
  "server-alias": (wishes, value) => {
    wishes.aliases = value
      .split(",")
      .map((each) => matching(each.trim(), hostName, "host names").toLowerCase());
  },
  affinity: ({ options }, value, all) => {
    if (value !== "cookie") throw new Problem('must be "cookie"');
    options.affinity = affinity(all);
  },
  "enable-cors": ({ options }, value, all) => {
    if (boolean(value)) options.cors = cors(all);
  },
  "whitelist-source-range": ({ options }, value) => {
    options.allow = networks(value);
  },
  "allowlist-source-range": ({ options }, value) => {
    options.allow = networks(value);
  },
  "denylist-source-range": ({ options }, value) => {
    options.deny = networks(value);
  },
  "limit-rps": (wishes, value) => {
    limitsOf(wishes).perSecond = number(value);
  },
  "limit-rpm": (wishes, value) => {
    limitsOf(wishes).perMinute = number(value);
  },
  "limit-connections": (wishes, value) => {
    limitsOf(wishes).connections = number(value);
  },
  "limit-burst-multiplier": (wishes, value) => {
    limitsOf(wishes).burst = Math.max(1, number(value, 1000));
  },
  "limit-whitelist": (wishes, value) => {
    limitsOf(wishes).exempt = networks(value);
  },
  "auth-type": (wishes, value, all) => {
    if (value !== "basic") throw new Problem('must be "basic"');
    const realm = all.get("auth-realm") || "Authentication Required";
    if (!isPrintable(realm)) throw new Problem("wants a printable realm");
    const secret = all.get("auth-secret");
    if (!secret) throw new Problem(`needs ${prefix}auth-secret`);
    wishes.auth = { secret, realm, asMap: all.get("auth-secret-type") === "auth-map" };
  },
  canary: (wishes, value) => {
    if (boolean(value)) canaryOf(wishes);
  },
  "canary-by-header": (wishes, value) => {
    canaryOf(wishes).header = matching(value, headerName, "a header's name");
  },
  "canary-by-header-value": (wishes, value) => {
    if (!isPrintable(value)) throw new Problem("must be printable");
    canaryOf(wishes).headerValue = value;
  },
  "canary-by-header-pattern": (wishes, value) => {
    if (!isPrintable(value)) throw new Problem("must be printable");
    canaryOf(wishes).headerPattern = value;
  },
  "canary-by-cookie": (wishes, value) => {
    canaryOf(wishes).cookie = matching(value, headerName, "a cookie's name");
  },
  "canary-weight": (wishes, value) => {
    canaryOf(wishes).weight = number(value);
  },
  "canary-weight-total": (wishes, value) => {
    canaryOf(wishes).total = Math.max(1, number(value));
  },
};

/** Those whose absence opens what should be closed: without them the routes are not served at all. */
const guards = new Set([
  "auth-type",
  "auth-url",
  "auth-tls-secret",
  "whitelist-source-range",
  "allowlist-source-range",
  "denylist-source-range",
]);

/** `closed`: something that guards the routes cannot be done. */
export function readAnnotations(
  annotations: Readonly<Record<string, string>> = {},
): Wishes & { closed: boolean } {
  const values = new Map<string, string>();
  for (const [key, value] of Object.entries(annotations)) {
    if (key.startsWith(prefix)) values.set(key.slice(prefix.length), value);
  }
  const wishes: Wishes & { closed: boolean } = {
    options: {},
    useRegex: false,
    serviceUpstream: false,
    aliases: [],
    problems: [],
    closed: false,
  };
  for (const [name, value] of values) {
    if (companions.has(name)) continue;
    const problem = set(wishes, name, value, values);
    if (!problem) continue;
    wishes.problems.push(`${prefix}${name} ${problem}`);
    wishes.closed ||= guards.has(name);
  }
  // The annotation `canary-weight` alone, without `canary: "true"`, does nothing at ingress-nginx.
  if (values.get("canary") !== "true") delete wishes.canary;
  const { rateLimit } = wishes.options;
  if (rateLimit && !rateLimit.perSecond && !rateLimit.perMinute && !rateLimit.connections)
    delete wishes.options.rateLimit;
  return wishes;
}

function set(wishes: Wishes, name: string, value: string, all: Values): string | undefined {
  if (name.endsWith("-snippet")) return "is not taken: it would put text of its own into the configuration";
  const setter = Object.hasOwn(setters, name) ? setters[name] : undefined;
  if (!setter) return "is not understood by this ingress controller";
  try {
    setter(wishes, value, all);
    return undefined;
  } catch (error) {
    if (error instanceof Problem) return error.message;
    throw error;
  }
}
