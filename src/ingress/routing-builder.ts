/** Puts a routing together out of what several objects ask for: sites, backends and certificates, each once. */
import { createHash } from "node:crypto";
import type { Backend, BackendOptions, Certificate, Route, Server, Site } from "./model.ts";

export class RoutingBuilder {
  readonly backends = new Map<string, Backend>();
  readonly #sites = new Map<string, Route[]>();
  readonly #certificates = new Map<string, Certificate>();

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

  /** The routes of a host, to be added to. */
  routes(host: string): Route[] {
    let routes = this.#sites.get(host);
    if (!routes) {
      routes = [];
      this.#sites.set(host, routes);
    }
    return routes;
  }

  hasSite(host: string): boolean {
    return this.#sites.has(host);
  }

  /** A certificate for further hosts where it is there already. */
  certificate(name: string, pem: string, hosts: readonly string[]): void {
    const known = this.#certificates.get(name);
    const all = new Set([...(known?.hosts ?? []), ...hosts]);
    this.#certificates.set(name, { name, pem, hosts: [...all].sort() });
  }

  /** In their order of precedence: exact paths, patterns, prefixes, the longest first. */
  sites(): Site[] {
    return [...this.#sites].map(([host, routes]) => ({ host, routes: routes.toSorted(byPath) }));
  }

  certificates(): Certificate[] {
    return [...this.#certificates.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
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
