/**
 * The names of a cluster, as data: what the DNS specification says each Service, endpoint and pod is called.
 * https://github.com/kubernetes/dns/blob/master/docs/specification.md
 */
import { isIPv4, isIPv6 } from "node:net";
import { type corev1, type discoveryv1, parseAddress } from "#api";

export interface SrvData {
  target: string;
  port: number;
  priority: 0;
  weight: number;
}

/** Everything known of one name. A name with no records of the type asked for exists all the same. */
export interface NameRecords {
  a: string[];
  aaaa: string[];
  srv: SrvData[];
  txt?: string;
  cname?: string;
  ptr?: string;
}

/** What the zone is made of. */
export interface ZoneSource {
  /** Another one after every change of what the zone says. */
  revision(): number;
  service(namespace: string, name: string): Readonly<corev1.Service> | undefined;
  /** EndpointSlices of a Service. */
  slices(namespace: string, service: string): readonly Readonly<discoveryv1.EndpointSlice>[];
  hasNamespace(namespace: string): boolean;
  /** The Service that owns a cluster address. */
  serviceByAddress(address: string): Readonly<corev1.Service> | undefined;
  /** Slices with an endpoint at an address. */
  slicesByAddress(address: string): readonly Readonly<discoveryv1.EndpointSlice>[];
}

/** Which the names follow. */
const specificationVersion = "1.1.0";

export function noRecords(): NameRecords {
  return { a: [], aaaa: [], srv: [] };
}

/** The records of `name` (lower case, no trailing dot) inside `domain`; undefined when there is no such name. */
export function lookup(source: ZoneSource, domain: string, name: string): NameRecords | undefined {
  if (name === domain) return noRecords();
  if (name === `dns-version.${domain}`) return { ...noRecords(), txt: specificationVersion };
  const labels = name.slice(0, -domain.length - 1).split(".");
  const kind = labels.pop();
  if (kind === "pod") return lookupPod(source, labels);
  if (kind !== "svc") return undefined;
  if (labels.length === 0) return noRecords();
  const namespace = labels.pop()!;
  const serviceName = labels.pop();
  if (serviceName === undefined) return source.hasNamespace(namespace) ? noRecords() : undefined;
  const service = source.service(namespace, serviceName);
  if (!service) return undefined;
  const base = `${serviceName}.${namespace}.svc.${domain}`;
  if (service.spec.type === "ExternalName") {
    return labels.length === 0 ? { ...noRecords(), cname: service.spec.externalName ?? "" } : undefined;
  }
  const slices = source.slices(namespace, serviceName);
  if (labels.length === 0) return addressesOf(service, slices, base);
  if (labels.length === 1) return headlessHost(service, slices, labels[0]!);
  if (labels.length === 2) return portRecords(service, slices, base, labels[0]!, labels[1]!);
  return undefined;
}

/** `10-244-0-7.default.pod` and `fd00-10-244--7.default.pod` name an address, whether or not a pod has it, as CoreDNS' `pods insecure` does. */
function lookupPod(source: ZoneSource, labels: readonly string[]): NameRecords | undefined {
  const [dashed, namespace] = labels;
  if (labels.length === 0) return noRecords();
  if (labels.length === 1) return source.hasNamespace(dashed!) ? noRecords() : undefined;
  if (labels.length > 2 || !source.hasNamespace(namespace!)) return undefined;
  const short = dashed!.replaceAll("-", ".");
  if (isIPv4(short)) return { ...noRecords(), a: [short] };
  const long = dashed!.replaceAll("-", ":");
  return isIPv6(long) ? { ...noRecords(), aaaa: [long] } : undefined;
}

function isHeadless(service: Readonly<corev1.Service>): boolean {
  return service.spec.clusterIP === "None";
}

interface Host {
  address: string;
  label: string;
  ipv6: boolean;
}

/** The endpoints a headless Service publishes, each with the label of its own name. */
function hostsOf(
  service: Readonly<corev1.Service>,
  slices: readonly Readonly<discoveryv1.EndpointSlice>[],
): Host[] {
  const hosts = new Map<string, Host>();
  for (const slice of slices) {
    for (const endpoint of slice.endpoints ?? []) {
      const ready = endpoint.conditions?.ready ?? true;
      if (!ready && !service.spec.publishNotReadyAddresses) continue;
      for (const address of endpoint.addresses) {
        const label = endpoint.hostname || address.replace(/[.:]/g, "-");
        hosts.set(address, { address, label, ipv6: slice.addressType === "IPv6" });
      }
    }
  }
  return [...hosts.values()];
}

function withHosts(hosts: readonly Host[]): NameRecords {
  const records = noRecords();
  for (const host of hosts) (host.ipv6 ? records.aaaa : records.a).push(host.address);
  return records;
}

function addressesOf(
  service: Readonly<corev1.Service>,
  slices: readonly Readonly<discoveryv1.EndpointSlice>[],
  base: string,
): NameRecords | undefined {
  if (isHeadless(service)) {
    const hosts = hostsOf(service, slices);
    if (hosts.length === 0) return undefined;
    return { ...withHosts(hosts), srv: headlessSrv(hosts, portsOf(slices), base) };
  }
  const records = noRecords();
  for (const address of service.spec.clusterIPs ?? [service.spec.clusterIP ?? ""]) {
    if (address.includes(":")) records.aaaa.push(address);
    else if (address) records.a.push(address);
  }
  const ports = (service.spec.ports ?? []).map((p) => p.port);
  records.srv = ports.map((port) => ({
    target: base,
    port,
    priority: 0,
    weight: Math.floor(100 / ports.length),
  }));
  return records;
}

function headlessHost(
  service: Readonly<corev1.Service>,
  slices: readonly Readonly<discoveryv1.EndpointSlice>[],
  label: string,
): NameRecords | undefined {
  if (!isHeadless(service)) return undefined;
  const hosts = hostsOf(service, slices).filter((h) => h.label === label);
  return hosts.length > 0 ? withHosts(hosts) : undefined;
}

interface NamedPort {
  name: string;
  protocol: string;
  port: number;
}

function portsOf(slices: readonly Readonly<discoveryv1.EndpointSlice>[]): NamedPort[] {
  const ports = new Map<string, NamedPort>();
  for (const slice of slices) {
    for (const port of slice.ports ?? []) {
      if (port.port === undefined) continue;
      const named = {
        name: port.name ?? "",
        protocol: (port.protocol ?? "TCP").toLowerCase(),
        port: port.port,
      };
      ports.set(`${named.name}/${named.protocol}/${named.port}`, named);
    }
  }
  return [...ports.values()];
}

function headlessSrv(hosts: readonly Host[], ports: readonly NamedPort[], base: string): SrvData[] {
  const weight = Math.max(1, Math.floor(100 / Math.max(1, hosts.length * ports.length)));
  return hosts.flatMap((host) =>
    ports.map((port): SrvData => ({ target: `${host.label}.${base}`, port: port.port, priority: 0, weight })),
  );
}

/** `_http._tcp.web.default.svc`: the Service's port of that name. */
function portRecords(
  service: Readonly<corev1.Service>,
  slices: readonly Readonly<discoveryv1.EndpointSlice>[],
  base: string,
  portLabel: string,
  protocolLabel: string,
): NameRecords | undefined {
  if (!portLabel.startsWith("_") || !protocolLabel.startsWith("_")) return undefined;
  const matches = (name: string, protocol: string) =>
    `_${name}` === portLabel && `_${protocol}` === protocolLabel;
  if (isHeadless(service)) {
    const ports = portsOf(slices).filter((p) => matches(p.name, p.protocol));
    const srv = headlessSrv(hostsOf(service, slices), ports, base);
    return srv.length > 0 ? { ...noRecords(), srv } : undefined;
  }
  const port = (service.spec.ports ?? []).find((p) =>
    matches(p.name ?? "", (p.protocol ?? "TCP").toLowerCase()),
  );
  if (!port) return undefined;
  return { ...noRecords(), srv: [{ target: base, port: port.port, priority: 0, weight: 100 }] };
}

const reverse4 = ".in-addr.arpa";
const reverse6 = ".ip6.arpa";

/** Names that stand for addresses. */
export function isReverse(name: string): boolean {
  return name.endsWith(reverse4) || name.endsWith(reverse6);
}

/** The address that a reverse name stands for, as it is written everywhere; undefined for a part of one. */
export function addressOfReverse(name: string): string | undefined {
  if (name.endsWith(reverse4)) {
    const address = name.slice(0, -reverse4.length).split(".").reverse().join(".");
    return isIPv4(address) ? address : undefined;
  }
  const digits = name.slice(0, -reverse6.length).split(".").reverse();
  if (digits.length !== 32 || !digits.every((digit) => /^[\da-f]$/.test(digit))) return undefined;
  return parseAddress(digits.join("").replace(/(.{4})(?!$)/g, "$1:"))?.canonical;
}

/** `7.0.96.10.in-addr.arpa` → the name of that Service or headless endpoint; undefined when it is not ours. */
export function lookupReverse(source: ZoneSource, domain: string, name: string): NameRecords | undefined {
  const address = addressOfReverse(name);
  if (address === undefined) return undefined;
  const service = source.serviceByAddress(address);
  if (service) {
    return { ...noRecords(), ptr: `${service.metadata.name}.${service.metadata.namespace}.svc.${domain}` };
  }
  for (const slice of source.slicesByAddress(address)) {
    const owner = slice.metadata.labels?.["kubernetes.io/service-name"];
    const headless = owner ? source.service(slice.metadata.namespace ?? "", owner) : undefined;
    if (!headless || !isHeadless(headless)) continue;
    const host = hostsOf(headless, [slice]).find((h) => h.address === address);
    if (host)
      return { ...noRecords(), ptr: `${host.label}.${owner}.${slice.metadata.namespace}.svc.${domain}` };
  }
  return undefined;
}
