/**
 * Names a pod goes by and names it can look up: hostname, `/etc/hosts`, resolver settings. Pure.
 * https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
 */
import type { corev1 } from "#api";
import type { DNSConfig } from "#contracts";

/** Linux takes 63 characters of a host name; the rest is cut, and no dash or dot may end it. */
export function hostnameOf(pod: Readonly<corev1.Pod>): string {
  return (pod.spec.hostnameOverride ?? pod.spec.hostname ?? pod.metadata.name)
    .slice(0, 63)
    .replace(/[-.]+$/, "");
}

/** `web.sub.default.svc.cluster.local`; empty without a subdomain. */
export function domainNameOf(pod: Readonly<corev1.Pod>, clusterDomain: string): string {
  if (!pod.spec.subdomain || pod.spec.hostnameOverride) return "";
  return `${hostnameOf(pod)}.${pod.spec.subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}`;
}

const hostsHeader = "# Kubernetes-managed hosts file.\n";

export function hostsFile(
  pod: Readonly<corev1.Pod>,
  podIps: readonly string[],
  clusterDomain: string,
  nodeHosts: string,
): string {
  const lines: string[] = [];
  if (pod.spec.hostNetwork) {
    lines.push("# Kubernetes-managed hosts file (host network).\n", nodeHosts);
  } else {
    lines.push(hostsHeader);
    lines.push("127.0.0.1\tlocalhost\n", "::1\tlocalhost ip6-localhost ip6-loopback\n");
    lines.push(
      "fe00::0\tip6-localnet\n",
      "fe00::0\tip6-mcastprefix\n",
      "fe00::1\tip6-allnodes\n",
      "fe00::2\tip6-allrouters\n",
    );
    const names = [domainNameOf(pod, clusterDomain), hostnameOf(pod)].filter(Boolean);
    for (const ip of podIps) lines.push(`${ip}\t${names.join("\t")}\n`);
  }
  const aliases = pod.spec.hostAliases ?? [];
  if (aliases.length > 0) lines.push("\n# Entries added by HostAliases.\n");
  for (const { ip, hostnames } of aliases) lines.push(`${ip}\t${(hostnames ?? []).join("\t")}\n`);
  return lines.join("");
}

/** The three kinds of line of a `resolv.conf` that matter; of several `search` lines the last one holds. */
export function parseResolvConf(text: string): DNSConfig {
  const config: DNSConfig = { servers: [], searches: [], options: [] };
  for (const line of text.split("\n")) {
    const [word, ...values] = line.trim().split(/\s+/);
    if (word === "nameserver" && values[0]) config.servers.push(values[0]);
    if (word === "search") config.searches = values.filter((v) => v !== ".");
    if (word === "options") config.options = [...new Set([...config.options, ...values])];
  }
  return config;
}

/** What the resolvers of libc take. */
const serversMax = 3;
const searchesMax = 32;
const searchLineMax = 2048;

export interface DnsSettings {
  clusterDns: readonly string[];
  clusterDomain: string;
  /** The node's own `resolv.conf`. */
  node: DNSConfig;
}

const unique = (list: readonly string[]) => [...new Set(list)];

/** `name` or `name:value`: a pod's option replaces one of the same name. */
function mergeOptions(base: readonly string[], options: readonly corev1.PodDNSConfigOption[]): string[] {
  const merged = new Map(base.map((o) => [o.split(":")[0]!, o]));
  for (const { name = "", value } of options)
    merged.set(name, value === undefined || value === "" ? name : `${name}:${value}`);
  return [...merged.values()];
}

function baseConfig(pod: Readonly<corev1.Pod>, settings: DnsSettings): DNSConfig {
  const policy = pod.spec.dnsPolicy ?? "ClusterFirst";
  if (policy === "None") return { servers: [], searches: [], options: [] };
  const cluster =
    policy === "ClusterFirstWithHostNet" || (policy === "ClusterFirst" && !pod.spec.hostNetwork);
  if (!cluster || settings.clusterDns.length === 0) return settings.node;
  const { clusterDomain } = settings;
  const searches = [`${pod.metadata.namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  return {
    servers: [...settings.clusterDns],
    searches: unique([...searches, ...settings.node.searches]),
    options: ["ndots:5"],
  };
}

/** All that the pod asks for, more than resolvers may take. */
function wholeDnsConfig(pod: Readonly<corev1.Pod>, settings: DnsSettings): DNSConfig {
  const base = baseConfig(pod, settings);
  const extra = pod.spec.dnsConfig ?? {};
  return {
    servers: unique([...base.servers, ...(extra.nameservers ?? [])]),
    searches: unique([...base.searches, ...(extra.searches ?? [])]),
    options: mergeOptions(base.options, extra.options ?? []),
  };
}

/** https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-dns-policy */
export function dnsConfigOf(pod: Readonly<corev1.Pod>, settings: DnsSettings): DNSConfig {
  const { servers, searches, options } = wholeDnsConfig(pod, settings);
  return { servers: servers.slice(0, serversMax), searches: fittingSearches(searches), options };
}

function fittingSearches(searches: readonly string[]): string[] {
  const fitting: string[] = [];
  let length = 0;
  for (const each of searches.slice(0, searchesMax)) {
    length += each.length + (fitting.length > 0 ? 1 : 0);
    if (length > searchLineMax) break;
    fitting.push(each);
  }
  return fitting;
}

/** What is said of a pod whose resolver gets less than was asked for. */
export function dnsOmissions(pod: Readonly<corev1.Pod>, settings: DnsSettings): string[] {
  const whole = wholeDnsConfig(pod, settings);
  const { servers, searches } = dnsConfigOf(pod, settings);
  const words: string[] = [];
  if (searches.length < whole.searches.length)
    words.push(
      `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${searches.join(" ")}`,
    );
  if (servers.length < whole.servers.length)
    words.push(
      `Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${servers.join(" ")}`,
    );
  return words;
}
