/**
 * One backend section: what is done to a request before it reaches a server, in the order in which ingress-nginx does
 * it (redirects, then access, then limits, then changes). https://docs.haproxy.org/2.6/configuration.html#4.2
 */
import type { Backend, BackendOptions, Cors, HeaderChange, RateLimit, Redirect, Rewrite } from "../model.ts";
import { literal, quote, quoteFormat } from "./quote.ts";

/** The lines of a backend without its servers. `httpsPort` is where plain requests are sent to. */
export function backendLines({ id, options }: Backend, httpsPort: number): string[] {
  return [
    `backend ${id}`,
    ...balancing(options),
    ...redirects(options, httpsPort),
    ...access(id, options),
    ...(options.rateLimit ? limits(options.rateLimit) : []),
    ...(options.bodyMaxBytes === undefined
      ? []
      : [`http-request deny deny_status 413 if { req.body_size gt ${options.bodyMaxBytes} }`]),
    ...(options.cors ? cors(options.cors) : []),
    ...(options.answer ? [answer(options.answer)] : []),
    ...(options.rewrite ? [rewrite(options.rewrite)] : []),
    ...(options.host ? [`http-request set-header Host ${quoteFormat(options.host)}`] : []),
    ...headers("http-request", options.requestHeaders),
    ...headers("http-response", options.responseHeaders),
  ];
}

/** What stands before all backends: who may log in. */
export function userLists(backends: Iterable<Backend>): string[] {
  return [...backends].flatMap(({ id, options }) =>
    options.basicAuth
      ? [
          `userlist ${id}`,
          ...options.basicAuth.users.map(([name, hash]) => `user ${quote(name)} password ${quote(hash)}`),
        ]
      : [],
  );
}

function balancing({
  balance = "roundrobin",
  affinity,
  connectTimeout,
  serverTimeout,
}: BackendOptions): string[] {
  const lines = [typeof balance === "object" ? `balance hdr(${balance.header})` : `balance ${balance}`];
  // Consistent hashing: one server more or less moves few clients.
  if (typeof balance === "object" || balance === "uri" || balance === "source")
    lines.push("hash-type consistent");
  if (affinity) {
    const attributes = affinity.attributes.map((each) => ` attr ${quote(each)}`).join("");
    const secure = affinity.secure ? " secure" : "";
    lines.push(`cookie ${affinity.cookie} insert indirect nocache httponly dynamic${secure}${attributes}`);
    lines.push("dynamic-cookie-key knarr");
  }
  if (connectTimeout !== undefined) lines.push(`timeout connect ${milliseconds(connectTimeout)}`);
  if (serverTimeout !== undefined)
    lines.push(...["server", "tunnel"].map((of) => `timeout ${of} ${milliseconds(serverTimeout)}`));
  return lines;
}

function milliseconds(seconds: number): string {
  return `${Math.max(1, Math.round(seconds * 1000))}ms`;
}

function redirects({ tlsRedirect, appRoot, redirect }: BackendOptions, httpsPort: number): string[] {
  const lines: string[] = [];
  if (tlsRedirect !== undefined) {
    const port = httpsPort === 443 ? "" : `:${httpsPort}`;
    const to = `https://%[req.hdr(host),host_only]${port}%[pathq]`;
    lines.push(`http-request redirect location ${quote(to)} code ${tlsRedirect} unless { ssl_fc }`);
  }
  if (appRoot) lines.push(`http-request redirect location ${quoteFormat(appRoot)} code 302 if { path / }`);
  if (redirect) lines.push(...redirectTo(redirect));
  return lines;
}

function redirectTo({ code, location, scheme, host, port, path }: Redirect): string[] {
  if (location !== undefined) return [`http-request redirect location ${quoteFormat(location)} code ${code}`];
  const facts = [
    "http-request set-var(txn.scheme) str(http)",
    "http-request set-var(txn.scheme) str(https) if { ssl_fc }",
    "http-request set-var(txn.port) req.hdr(host),regsub(^[^:]*,)",
  ];
  const name = host ? host.replaceAll("%", "%%") : "%[req.hdr(host),host_only]";
  const to = (at: string) => quote(`${scheme ?? "%[var(txn.scheme)]"}://${name}${at}%[pathq]`);
  const lines = [...facts, ...(path ? [rewrite(path)] : [])];
  // Without a port of its own a new scheme means its well-known one; else the port asked for stays.
  if (!port)
    return [...lines, `http-request redirect location ${to(scheme ? "" : "%[var(txn.port)]")} code ${code}`];
  const wellKnown = port === 443 ? "https" : port === 80 ? "http" : undefined;
  if (wellKnown && (scheme ?? wellKnown) === wellKnown) {
    const when = scheme ? "" : ` if { var(txn.scheme) -m str ${wellKnown} }`;
    lines.push(`http-request redirect location ${to("")} code ${code}${when}`);
  }
  return [...lines, `http-request redirect location ${to(`:${port}`)} code ${code}`];
}

function access(id: string, { allow, deny, basicAuth }: BackendOptions): string[] {
  const lines: string[] = [];
  if (deny?.length) lines.push(`http-request deny deny_status 403 if { src ${deny.join(" ")} }`);
  if (allow?.length) lines.push(`http-request deny deny_status 403 unless { src ${allow.join(" ")} }`);
  if (basicAuth) {
    lines.push(`http-request auth realm ${quote(basicAuth.realm)} unless { http_auth(${id}) }`);
  }
  return lines;
}

/** As ingress-nginx: 503 for what is over the limit, which the burst multiplies. */
function limits({ perSecond, perMinute, burst, connections, exempt }: RateLimit): string[] {
  const stored: string[] = [];
  const over: string[] = [];
  const add = (store: string, condition: string) => {
    stored.push(store);
    over.push(condition);
  };
  if (perSecond) add("http_req_rate(1s)", `{ sc_http_req_rate(0) gt ${perSecond * burst} }`);
  else if (perMinute) add("http_req_rate(60s)", `{ sc_http_req_rate(0) gt ${perMinute * burst} }`);
  if (connections) add("conn_cur", `{ sc_conn_cur(0) gt ${connections} }`);
  const counted = exempt.length > 0 ? ` unless { src ${exempt.join(" ")} }` : "";
  return [
    `stick-table type ipv6 size 100k expire 2m store ${stored.join(",")}`,
    `http-request track-sc0 src${counted}`,
    ...over.map((condition) => `http-request deny deny_status 503 if ${condition}`),
  ];
}

function originPattern(origin: string): string {
  return `^${literal(origin).replaceAll("\\*", "[^.]+")}$`;
}

/** https://fetch.spec.whatwg.org/#http-cors-protocol */
function cors(options: Cors): string[] {
  const any = options.origins.length === 1 && options.origins[0] === "*";
  const patterns = options.origins.map((origin) => quote(originPattern(origin))).join(" ");
  const lines = ["http-request set-var(txn.origin) req.hdr(origin)"];
  if (!any) lines.push(`http-request unset-var(txn.origin) unless { req.hdr(origin) -m reg -- ${patterns} }`);
  const allowed: [string, string][] = [
    ["Access-Control-Allow-Origin", any ? "'*'" : "%[var(txn.origin)]"],
    ...(options.credentials ? [["Access-Control-Allow-Credentials", "true"] as [string, string]] : []),
  ];
  const preflight: [string, string][] = [
    ...allowed,
    ["Access-Control-Allow-Methods", quoteFormat(options.methods)],
    ...(options.headers
      ? [["Access-Control-Allow-Headers", quoteFormat(options.headers)] as [string, string]]
      : []),
    ["Access-Control-Max-Age", String(options.maxAge)],
  ];
  const shown = preflight.map(([name, value]) => ` hdr ${name} ${value}`).join("");
  const known = "{ var(txn.origin) -m found }";
  lines.push(`http-request return status 204${shown} if METH_OPTIONS ${known}`);
  if (options.exposeHeaders) {
    allowed.push(["Access-Control-Expose-Headers", quoteFormat(options.exposeHeaders)]);
  }
  for (const [name, value] of allowed) lines.push(`http-response set-header ${name} ${value} if ${known}`);
  if (!any) lines.push("http-response add-header Vary Origin");
  return lines;
}

function answer({ code, text }: { code: number; text: string }): string {
  return `http-request return status ${code} content-type text/plain string ${quote(text)}`;
}

function rewrite(rule: Rewrite): string {
  if (rule.type === "full") return `http-request set-path ${quoteFormat(rule.to)}`;
  if (rule.type === "regex") {
    return `http-request replace-path ${quote(`(?i)^${rule.pattern}.*$`)} ${quoteFormat(rule.to)}`;
  }
  const from = literal(rule.from.replace(/\/+$/, ""));
  const to = rule.to.replace(/\/+$/, "").replaceAll("\\", "\\\\");
  // `/old/x` becomes `/new/x`; `/old` itself becomes `/new`, or `/` where nothing would be left.
  return to
    ? `http-request replace-path ${quote(`^${from}(/.*)?$`)} ${quoteFormat(`${to}\\1`)}`
    : `http-request replace-path ${quote(`^${from}/?(.*)$`)} ${quoteFormat("/\\1")}`;
}

function headers(when: "http-request" | "http-response", changes: readonly HeaderChange[] = []): string[] {
  return changes.map(({ change, name, value }) =>
    change === "remove"
      ? `${when} del-header ${name}`
      : `${when} ${change}-header ${name} ${quoteFormat(value)}`,
  );
}
