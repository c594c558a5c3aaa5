/** What a rule's filters do, as options of its backends. https://gateway-api.sigs.k8s.io/api-types/httproute/#filters-optional */
import { isPrintable } from "../haproxy/quote.ts";
import type { BackendOptions, HeaderChange, PathMatch, Rewrite } from "../model.ts";
import type { CorsFilter, HeaderFilter, PathModifier, RouteFilter } from "./types.ts";

/** Something that is not served here: the rule is dropped and the route says so. */
export class UnsupportedValue extends Error {}

/** Names that can stand in HAProxy's rules as they are. */
export const plainName = /^[A-Za-z0-9_.-]{1,256}$/;

/** `match` is the path that the rule is for: a prefix is replaced in it. Throws `UnsupportedValue`. */
export function filterOptions(filters: readonly RouteFilter[] | undefined, match: PathMatch): BackendOptions {
  const options: BackendOptions = {};
  for (const filter of filters ?? []) addFilter(options, filter, match);
  return options;
}

/** The rule's own filters come first. */
export function joinOptions(rule: BackendOptions, backend: BackendOptions): BackendOptions {
  const joined = { ...rule, ...backend };
  for (const key of ["requestHeaders", "responseHeaders"] as const) {
    const all = [...(rule[key] ?? []), ...(backend[key] ?? [])];
    if (all.length > 0) joined[key] = all;
  }
  return joined;
}

function addFilter(options: BackendOptions, filter: RouteFilter, match: PathMatch): void {
  switch (filter.type) {
    case "RequestHeaderModifier":
      options.requestHeaders = changes(options.requestHeaders, filter.requestHeaderModifier);
      return;
    case "ResponseHeaderModifier":
      options.responseHeaders = changes(options.responseHeaders, filter.responseHeaderModifier);
      return;
    case "RequestRedirect":
      options.redirect = redirect(filter.requestRedirect ?? {}, match);
      return;
    case "URLRewrite": {
      const { hostname, path } = filter.urlRewrite ?? {};
      if (hostname) options.host = hostname;
      if (path) options.rewrite = rewrite(path, match);
      return;
    }
    case "CORS":
      options.cors = cors(filter.cors ?? {});
      return;
    default:
      throw new UnsupportedValue(`filters of type ${filter.type} are not served`);
  }
}

function changes(before: HeaderChange[] | undefined, filter: HeaderFilter = {}): HeaderChange[] {
  const all: HeaderChange[] = [...(before ?? [])];
  for (const change of ["set", "add"] as const) {
    for (const { name, value } of filter[change] ?? []) all.push({ change, name, value });
  }
  for (const name of filter.remove ?? []) all.push({ change: "remove", name, value: "" });
  for (const { change, name, value } of all) {
    if (!plainName.test(name) || !isPrintable(value) || (change !== "remove" && !value))
      throw new UnsupportedValue(`the header ${name} cannot be changed here`);
  }
  return all;
}

type RedirectFilter = NonNullable<RouteFilter["requestRedirect"]>;

function redirect({ scheme, hostname, port, path, statusCode = 302 }: RedirectFilter, match: PathMatch) {
  return {
    code: statusCode,
    ...(scheme ? { scheme } : {}),
    ...(hostname ? { host: hostname } : {}),
    ...(port ? { port } : {}),
    ...(path ? { path: rewrite(path, match) } : {}),
  };
}

function rewrite({ type, replaceFullPath, replacePrefixMatch }: PathModifier, match: PathMatch): Rewrite {
  const to = (type === "ReplaceFullPath" ? replaceFullPath : replacePrefixMatch) ?? "";
  if (!isPrintable(to)) throw new UnsupportedValue("paths with control characters are not served");
  if (type === "ReplaceFullPath") return { type: "full", to: to || "/" };
  if (match.type !== "Prefix")
    throw new UnsupportedValue("ReplacePrefixMatch needs a match of type PathPrefix");
  return { type: "prefix", from: match.value, to };
}

function cors(filter: CorsFilter): NonNullable<BackendOptions["cors"]> {
  const join = (all: string[] | undefined, otherwise: string) => all?.join(", ") || otherwise;
  const texts = [filter.allowOrigins, filter.allowMethods, filter.allowHeaders, filter.exposeHeaders];
  if (!texts.flatMap((all) => all ?? []).every(isPrintable))
    throw new UnsupportedValue("CORS values with control characters are not served");
  return {
    origins: filter.allowOrigins ?? [],
    methods: join(filter.allowMethods, "GET, HEAD, POST"),
    headers: join(filter.allowHeaders, ""),
    ...(filter.exposeHeaders?.length ? { exposeHeaders: filter.exposeHeaders.join(", ") } : {}),
    credentials: filter.allowCredentials ?? false,
    maxAge: filter.maxAge ?? 5,
  };
}
