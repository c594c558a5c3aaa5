/**
 * Ingresses as a routing. Where two want the same host and path, the older one has it, as at ingress-nginx.
 * https://kubernetes.io/docs/concepts/services-networking/ingress/
 */
import type { corev1, networkingv1 } from "#api";
import { byAge } from "../by-age.ts";
import { readCertificate } from "../certificate.ts";
import { isMappable } from "../haproxy/config.ts";
import { literal } from "../haproxy/quote.ts";
import type { BackendOptions, Condition, PathMatch, Route } from "../model.ts";
import type { RoutingBuilder, Sites } from "../routing-builder.ts";
import { type ServiceSource, serversOf } from "../services.ts";
import { type Canary, readAnnotations, type Wishes } from "./annotations.ts";
import { isPattern } from "./patterns.ts";
import { readUsers } from "./users.ts";

export type Ingress = Readonly<networkingv1.Ingress>;

export interface IngressSource extends ServiceSource {
  secret(namespace: string, name: string): Readonly<corev1.Secret> | undefined;
}

/** What of an object cannot be done: for an event. */
export interface Problem {
  about: Ingress;
  message: string;
}

/** Adds the routes of all `ingresses` to `sites`; answers the backend of unmatched requests, if one of them has it. */
export function addIngresses(
  builder: RoutingBuilder,
  sites: Sites,
  source: IngressSource,
  ingresses: readonly Ingress[],
): { problems: Problem[]; defaultBackend?: string } {
  const problems: Problem[] = [];
  let defaultBackend: string | undefined;
  const wishes = ingresses
    .toSorted(byAge)
    .map((ingress) => ({ ingress, wishes: readAnnotations(ingress.metadata.annotations) }));
  for (const { ingress, wishes: wish } of wishes) {
    const translation = new IngressTranslation(builder, sites, source, ingress, wish);
    if (!wish.canary) translation.addRules();
    defaultBackend ??= translation.defaultBackend();
    translation.addCertificates();
    problems.push(...translation.problems.map((message) => ({ about: ingress, message })));
  }
  // Canaries change routes that must be there.
  for (const { ingress, wishes: wish } of wishes) {
    if (!wish.canary) continue;
    const translation = new IngressTranslation(builder, sites, source, ingress, { ...wish, problems: [] });
    translation.addCanaries(wish.canary);
    problems.push(...translation.problems.map((message) => ({ about: ingress, message })));
  }
  return { problems, ...(defaultBackend ? { defaultBackend } : {}) };
}

class IngressTranslation {
  readonly problems: string[];
  readonly #builder: RoutingBuilder;
  readonly #sites: Sites;
  readonly #source: IngressSource;
  readonly #ingress: Ingress;
  readonly #wishes: Wishes & { closed: boolean };
  readonly #tlsHosts: ReadonlySet<string>;
  readonly #namespace: string;

  constructor(
    builder: RoutingBuilder,
    sites: Sites,
    source: IngressSource,
    ingress: Ingress,
    wishes: Wishes & { closed: boolean },
  ) {
    this.#builder = builder;
    this.#sites = sites;
    this.#source = source;
    this.#ingress = ingress;
    this.#wishes = wishes;
    this.problems = wishes.problems;
    this.#namespace = ingress.metadata.namespace ?? "";
    this.#tlsHosts = new Set((ingress.spec.tls ?? []).flatMap(({ hosts }) => hosts ?? []));
  }

  addRules(): void {
    for (const { host, path, backend } of this.#paths()) {
      const to = this.#backend(backend, this.#optionsFor(host, path));
      const routes = this.#sites.routes(host);
      if (routes.some((route) => samePath(route.path, path))) {
        this.problems.push(`${host || "*"}${path.value} is served for an older Ingress already`);
        continue;
      }
      routes.push({ path, conditions: [], targets: [{ backend: to, weight: 1 }] });
    }
  }

  defaultBackend(): string | undefined {
    const { defaultBackend, rules } = this.#ingress.spec;
    if (!defaultBackend || this.#wishes.canary) return undefined;
    // Without rules it is all there is, and the annotations are about it.
    const options = rules?.length ? {} : this.#optionsFor("", { type: "Prefix", value: "/" });
    return this.#backend(defaultBackend, options);
  }

  addCertificates(): void {
    for (const { secretName, hosts } of this.#ingress.spec.tls ?? []) {
      if (!secretName) continue;
      const secret = this.#source.secret(this.#namespace, secretName);
      if (!secret) {
        this.problems.push(
          `there is no Secret ${this.#namespace}/${secretName}: a certificate of Knarr's own is shown`,
        );
        continue;
      }
      const read = readCertificate(secret);
      if ("problem" in read) this.problems.push(read.problem);
      else this.#sites.certificate(`${this.#namespace}_${secretName}`, read.pem, hosts ?? []);
    }
  }

  addCanaries(canary: Canary): void {
    for (const { host, path, backend } of this.#paths()) {
      const routes = this.#sites.routes(host);
      const at = routes.findIndex((route) => samePath(route.path, path) && route.conditions.length === 0);
      const main = routes[at]?.targets[0];
      if (!main || routes[at]!.targets.length > 1) {
        this.problems.push(`${host || "*"}${path.value} has no Ingress of its own, or a canary already`);
        continue;
      }
      const to = this.#backend(backend, this.#optionsFor(host, path));
      routes.splice(at, 1, ...canaryRoutes(path, canary, to, main.backend));
    }
  }

  /** Every host with every path, aliases too. */
  *#paths(): Generator<{ host: string; path: PathMatch; backend: networkingv1.IngressBackend }> {
    for (const { host = "", http } of this.#ingress.spec.rules ?? []) {
      for (const { path = "/", pathType, backend } of http?.paths ?? []) {
        const match = this.#pathMatch(path, pathType);
        if (!match) continue;
        for (const name of [host.toLowerCase(), ...this.#wishes.aliases])
          yield { host: name, path: match, backend };
      }
    }
  }

  #pathMatch(path: string, pathType: string): PathMatch | undefined {
    if (!isMappable(path)) {
      this.problems.push("a path has white space or control characters and is not served");
      return undefined;
    }
    if (pathType === "Exact") return { type: "Exact", value: path };
    const { useRegex, rewriteTarget } = this.#wishes;
    const looksSo = /[()*?|[\]^$+\\{}]/.test(path);
    if (!useRegex && !(rewriteTarget !== undefined && looksSo)) return { type: "Prefix", value: path || "/" };
    if (isPattern(path)) return { type: "Regex", value: path };
    this.problems.push(`the path ${path} is no regular expression and is not served`);
    return undefined;
  }

  #optionsFor(host: string, path: PathMatch): BackendOptions {
    const { tlsRedirect, rewriteTarget, closed } = this.#wishes;
    if (closed)
      return {
        answer: { code: 503, text: "what guards this route cannot be done: see the events of its Ingress" },
      };
    const options: BackendOptions = { ...this.#wishes.options };
    if (tlsRedirect ?? this.#hasTls(host)) options.tlsRedirect = 308;
    if (rewriteTarget !== undefined) {
      const pattern = path.type === "Regex" ? path.value : literal(path.value);
      options.rewrite = { type: "regex", pattern, to: rewriteTarget };
    }
    return this.#guarded(options);
  }

  #hasTls(host: string): boolean {
    if (!this.#ingress.spec.tls?.length) return false;
    if (this.#tlsHosts.size === 0 || this.#tlsHosts.has(host)) return true;
    return this.#tlsHosts.has(host.replace(/^[^.]*/, "*"));
  }

  /** With basic authentication, where it is wished for: nobody passes where the Secret is not good. */
  #guarded(options: BackendOptions): BackendOptions {
    const { auth } = this.#wishes;
    if (!auth) return options;
    const [name, namespace = this.#namespace] = auth.secret.split("/").reverse();
    const secret = namespace === this.#namespace ? this.#source.secret(namespace, name!) : undefined;
    const { users, problem } = secret
      ? readUsers(secret, auth.asMap)
      : { users: [], problem: `there is no Secret ${auth.secret} in this namespace` };
    if (problem && !this.problems.includes(problem)) this.problems.push(problem);
    return { ...options, basicAuth: { realm: auth.realm, users } };
  }

  #backend(backend: networkingv1.IngressBackend, options: BackendOptions): string {
    const { service } = backend;
    if (!service) {
      this.problems.push("backends that are no Services are not served");
      return this.#builder.answer(503, "backends that are no Services are not served");
    }
    const found = serversOf(
      this.#source,
      this.#namespace,
      service.name,
      service.port ?? {},
      this.#wishes.serviceUpstream,
    );
    if ("problem" in found && !this.problems.includes(found.problem)) this.problems.push(found.problem);
    const name = `${this.#namespace}_${service.name}_${service.port?.name ?? service.port?.number}`;
    return this.#builder.backend(name, "servers" in found ? found.servers : [], options);
  }
}

function samePath(a: PathMatch, b: PathMatch): boolean {
  return a.type === b.type && a.value === b.value;
}

/** The header decides, then the cookie, then the weight. */
function canaryRoutes(path: PathMatch, canary: Canary, to: string, main: string): Route[] {
  const when = (condition: Condition, backend: string): Route => ({
    path,
    conditions: [condition],
    targets: [{ backend, weight: 1 }],
  });
  const routes: Route[] = [];
  const { header, headerValue, headerPattern, cookie } = canary;
  if (header && headerValue !== undefined) {
    routes.push(when({ of: "header", name: header, match: "Exact", value: headerValue }, to));
  } else if (header && headerPattern !== undefined && isPattern(headerPattern)) {
    routes.push(when({ of: "header", name: header, match: "Regex", value: headerPattern }, to));
  } else if (header) {
    routes.push(when({ of: "header", name: header, match: "Exact", value: "always" }, to));
    routes.push(when({ of: "header", name: header, match: "Exact", value: "never" }, main));
  }
  if (cookie) {
    routes.push(when({ of: "cookie", name: cookie, match: "Exact", value: "always" }, to));
    routes.push(when({ of: "cookie", name: cookie, match: "Exact", value: "never" }, main));
  }
  const weight = Math.min(canary.weight, canary.total);
  const targets = [
    { backend: to, weight },
    { backend: main, weight: canary.total - weight },
  ].filter((target) => target.weight > 0);
  return [...routes, { path, conditions: [], targets }];
}
