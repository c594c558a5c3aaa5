/** Puts a routing together out of what several objects ask for: sites, backends and certificates, each once. */
import { createHash } from "node:crypto";
import type {
  Backend,
  BackendOptions,
  Certificate,
  Frontend,
  Route,
  Routing,
  Server,
  Site,
} from "./model.ts";

/** Hosts with their routes, and the certificates for them. */
export class Sites {
  readonly #routes = new Map<string, Route[]>();
  readonly #certificates = new Map<string, Certificate>();

  /** The routes of a host, to be added to. */
  routes(host: string): Route[] {
    let routes = this.#routes.get(host);
    if (!routes) {
      routes = [];
      this.#routes.set(host, routes);
    }
    return routes;
  }

  /** A certificate for further hosts where it is there already; one for no host is for the names in it. */
  certificate(name: string, pem: string, hosts: readonly string[]): void {
    const known = this.#certificates.get(name);
    const all = new Set([...(known?.hosts ?? []), ...hosts]);
    this.#certificates.set(name, { name, pem, hosts: [...all].sort() });
  }

  /** Adds all of the other's behind its own. */
  include(other: Sites): void {
    for (const [host, routes] of other.#routes) this.routes(host).push(...routes);
    for (const { name, pem, hosts } of other.#certificates.values()) this.certificate(name, pem, hosts);
  }

  /** With their routes in order of precedence: exact paths, patterns, prefixes, the longest first. */
  list(): Site[] {
    return [...this.#routes].map(([host, routes]) => ({ host, routes: reachable(routes.toSorted(byPath)) }));
  }

  certificates(): Certificate[] {
    return [...this.#certificates.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

export class RoutingBuilder {
  readonly backends = new Map<string, Backend>();
  readonly #frontends = new Map<number, { tls: boolean; sites: Sites }>();

  /** What is served at a port; undefined where it speaks the other protocol already. */
  frontend(port: number, tls: boolean): Sites | undefined {
    let frontend = this.#frontends.get(port);
    if (!frontend) {
      frontend = { tls, sites: new Sites() };
      this.#frontends.set(port, frontend);
    }
    return frontend.tls === tls ? frontend.sites : undefined;
  }

  /** The same servers with the same options are one backend. `name` is of letters, digits, `-`, `.` and `_`. */
  backend(name: string, servers: Server[], options: BackendOptions): string {
    const text = JSON.stringify(options);
    const hash = createHash("sha256").update(text).digest("hex").slice(0, 10);
    const id = text === "{}" ? name : `${name}_${hash}`;
    if (!this.backends.has(id)) this.backends.set(id, { id, servers, options });
    return id;
  }

  /** A backend that answers by itself. */
  answer(code: number, text: string): string {
    return this.backend("answer", [], { answer: { code, text } });
  }

  /** `own` is shown for names that nobody has a certificate for. */
  build(own: Certificate, defaultBackend: string | undefined): Routing {
    const frontends = [...this.#frontends].map(([port, { tls, sites }]): Frontend => {
      const certificates = tls ? [own, ...sites.certificates()] : [];
      return { port, tls, sites: sites.list(), certificates };
    });
    return { frontends, backends: this.backends, ...(defaultBackend ? { defaultBackend } : {}) };
  }
}

const typeOrder = { Exact: 0, Regex: 1, Prefix: 2 } as const;

/** Routes of the same path keep their order. */
function byPath({ path: a }: Route, { path: b }: Route): number {
  const aType = typeOrder[a.type];
  const bType = typeOrder[b.type];
  return (
    aType - bType || b.value.length - a.value.length || (a.value < b.value ? -1 : a.value > b.value ? 1 : 0)
  );
}

/** Without those behind one that takes every request of the path. */
function reachable(routes: Route[]): Route[] {
  const taken = new Set<string>();
  return routes.filter(({ path, conditions }) => {
    const key = `${path.type} ${path.value}`;
    if (taken.has(key)) return false;
    if (conditions.length === 0) taken.add(key);
    return true;
  });
}
