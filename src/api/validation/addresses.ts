/**
 * IP addresses and CIDRs in fields, read as strictly as Kubernetes does since StrictIPCIDRValidation.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/4858-ip-cidr-validation
 */
import { isIP } from "node:net";

const ipMessage = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const cidrMessage = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
const mappedHead = 0xffffn << 32n;

interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
  /** As it should be written. */
  readonly canonical: string;
  /** An octet of an IPv4 address begins with a zero that says nothing. */
  readonly hasLeadingZeros: boolean;
  /** `::ffff:10.0.0.1`. */
  readonly isMapped: boolean;
}

interface Cidr {
  readonly address: Address;
  readonly length: number;
  readonly hasLeadingZeros: boolean;
}

/** Undefined when it is no address at all, however leniently it is read. */
export function parseAddress(text: string): Address | undefined {
  if (/^\d{1,10}(\.\d{1,10}){3}$/.test(text)) return parseV4(text);
  if (text.length > 45 || text.includes("%") || isIP(text) !== 6) return undefined;
  const canonical = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const value = valueOfV6(canonical);
  const isMapped = value >> 32n === mappedHead >> 32n;
  const written = isMapped ? formatAddress(value & 0xffff_ffffn, 32) : canonical;
  return { bits: 128, value, canonical: written, hasLeadingZeros: false, isMapped };
}

function parseV4(text: string): Address | undefined {
  const octets = text.split(".");
  if (octets.some((octet) => Number(octet) > 255)) return undefined;
  const value = octets.reduce((sum, octet) => sum * 256n + BigInt(octet), 0n);
  const hasLeadingZeros = octets.some((octet) => octet.length > 1 && octet.startsWith("0"));
  return { bits: 32, value, canonical: formatAddress(value, 32), hasLeadingZeros, isMapped: false };
}

/** Of the form a URL writes: groups of hexadecimal digits, one `::` at most. */
function valueOfV6(canonical: string): bigint {
  const [head = "", tail] = canonical.split("::");
  const groupsOf = (part: string) => (part === "" ? [] : part.split(":"));
  const before = groupsOf(head);
  const after = tail === undefined ? [] : groupsOf(tail);
  const zeros = Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after].reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
}

export function formatAddress(value: bigint, bits: 32 | 128): string {
  const width = bits === 32 ? 8n : 16n;
  const parts: bigint[] = [];
  for (let shift = BigInt(bits) - width; shift >= 0n; shift -= width)
    parts.push((value >> shift) & ((1n << width) - 1n));
  if (bits === 32) return parts.join(".");
  return new URL(`http://[${parts.map((part) => part.toString(16)).join(":")}]`).hostname.slice(1, -1);
}

function parseCidr(text: string): Cidr | undefined {
  const slash = text.lastIndexOf("/");
  const lengthText = text.slice(slash + 1);
  if (slash < 0 || !/^\d{1,10}$/.test(lengthText)) return undefined;
  const address = parseAddress(text.slice(0, slash));
  const length = Number(lengthText);
  if (!address || length > address.bits) return undefined;
  const hasLeadingZeros = address.hasLeadingZeros || (lengthText.length > 1 && lengthText.startsWith("0"));
  return { address, length, hasLeadingZeros };
}

function networkOf({ address, length }: Cidr): bigint {
  const free = BigInt(address.bits - length);
  return (address.value >> free) << free;
}

/** The addresses of a block as numbers; undefined when it is none. */
export function cidrRange(text: string): { bits: 32 | 128; first: bigint; last: bigint } | undefined {
  const cidr = parseCidr(text);
  if (!cidr) return undefined;
  const { bits } = cidr.address;
  const first = networkOf(cidr);
  return { bits, first, last: first + (1n << BigInt(bits - cidr.length)) - 1n };
}

function formatNetwork(cidr: Cidr): string {
  return `${formatAddress(networkOf(cidr), cidr.address.bits)}/${cidr.length}`;
}

/** Fields that were there before the rules became strict keep what they hold; and any form of IPv6 will do. */
export function legacyIpErrors(text: string, existing: readonly string[] = []): string[] {
  if (existing.includes(text)) return [];
  const address = parseAddress(text);
  if (!address) return [ipMessage];
  if (address.hasLeadingZeros) return ["must not have leading 0s"];
  return address.isMapped ? ["must not be an IPv4-mapped IPv6 address"] : [];
}

/**
 * Addresses that no Service may lead to: they mean another place on every machine. Loopback ones are told apart because
 * a cluster that is simulated on one machine has nothing else.
 */
export function specialAddressErrors(text: string, { loopback = false } = {}): string[] {
  const address = parseAddress(text);
  if (!address) return [];
  const isShort = address.bits === 32 || address.isMapped;
  const value = address.isMapped ? address.value & 0xffff_ffffn : address.value;
  const startsWith = (prefix: bigint, length: bigint) =>
    value >> ((isShort ? 32n : 128n) - length) === prefix;
  if (value === 0n) return [`may not be unspecified (${text})`];
  if (!loopback && (isShort ? startsWith(127n, 8n) : value === 1n))
    return ["may not be in the loopback range (127.0.0.0/8, ::1/128)"];
  if (isShort ? startsWith(0xa9fen, 16n) : startsWith(0xfe80n >> 6n, 10n))
    return ["may not be in the link-local range (169.254.0.0/16, fe80::/10)"];
  if (isShort ? startsWith(0xe00000n, 24n) : startsWith(0xff02n, 16n))
    return ["may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"];
  return [];
}

/** 4 or 6; undefined when it is no address. */
export function familyOfAddress(text: string): 4 | 6 | undefined {
  const address = parseAddress(text);
  if (!address) return undefined;
  return address.bits === 32 || address.isMapped ? 4 : 6;
}

export function ipErrors(text: string): string[] {
  const errors = legacyIpErrors(text);
  const canonical = errors.length === 0 ? parseAddress(text)!.canonical : text;
  return canonical === text ? errors : [`must be in canonical form (${JSON.stringify(canonical)})`];
}

/** As `legacyIpErrors`, of a network. */
export function legacyCidrErrors(text: string, existing: readonly string[] = []): string[] {
  if (existing.includes(text)) return [];
  const cidr = parseCidr(text);
  if (!cidr) return [cidrMessage];
  if (cidr.hasLeadingZeros) return ["must not have leading 0s in IP or prefix length"];
  if (cidr.address.isMapped) return ["must not have an IPv4-mapped IPv6 address"];
  return networkOf(cidr) === cidr.address.value ? [] : ["must not have bits set beyond the prefix length"];
}

export function cidrErrors(text: string): string[] {
  const errors = legacyCidrErrors(text);
  const canonical = errors.length === 0 ? formatNetwork(parseCidr(text)!) : text;
  return canonical === text ? errors : [`must be in canonical form (${JSON.stringify(canonical)})`];
}

/** `192.168.1.5/24`: an address together with the length of its network. */
export function interfaceAddressErrors(text: string): string[] {
  const cidr = parseCidr(text);
  if (!cidr) return [cidrMessage];
  const { address, length } = cidr;
  const canonical = `${address.canonical}/${address.isMapped ? length - 96 : length}`;
  return canonical === text ? [] : [`must be in canonical form (${JSON.stringify(canonical)})`];
}

/** 4 or 6; undefined when it is no CIDR. */
export function familyOfCidr(text: string): 4 | 6 | undefined {
  const cidr = parseCidr(text);
  if (!cidr) return undefined;
  return cidr.address.bits === 32 || cidr.address.isMapped ? 4 : 6;
}

/** Whether the inner network lies in the outer one and is smaller; undefined when either is no CIDR. */
export function isStrictSubnet(inner: string, outer: string): boolean | undefined {
  const small = parseCidr(inner);
  const large = parseCidr(outer);
  if (!small || !large) return undefined;
  if (small.address.bits !== large.address.bits || small.length <= large.length) return false;
  return networkOf({ ...large, address: small.address }) === networkOf(large);
}

/** What a client is told of an address that is taken though it should be written differently. */
export function ipWarnings(field: string, text: string): string[] {
  const address = parseAddress(text);
  if (!address) return [];
  const [given, good] = [JSON.stringify(text), JSON.stringify(address.canonical)];
  if (address.hasLeadingZeros || address.isMapped) {
    return [
      `${field}: non-standard IP address ${given} will be considered invalid in a future Kubernetes release: use ${good}`,
    ];
  }
  if (address.canonical === text) return [];
  return [`${field}: IPv6 address ${given} should be in RFC 5952 canonical format (${good})`];
}

/** As `ipWarnings`, of a network. */
export function cidrWarnings(field: string, text: string): string[] {
  const cidr = parseCidr(text);
  if (!cidr) return [];
  const { address } = cidr;
  const [given, network] = [JSON.stringify(text), JSON.stringify(formatNetwork(cidr))];
  const warnings: string[] = [];
  if (networkOf(cidr) !== address.value) {
    const single = JSON.stringify(`${address.canonical}/${address.bits}`);
    warnings.push(
      `${field}: CIDR value ${given} is ambiguous in this context (should be ${network} or ${single}?)`,
    );
  }
  if (cidr.hasLeadingZeros || address.isMapped) {
    warnings.push(
      `${field}: non-standard CIDR value ${given} will be considered invalid in a future Kubernetes release: use ${network}`,
    );
  }
  if (warnings.length === 0 && network !== given)
    warnings.push(`${field}: IPv6 CIDR value ${given} should be in RFC 5952 canonical format (${network})`);
  return warnings;
}
