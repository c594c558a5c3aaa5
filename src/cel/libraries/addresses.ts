/** IP addresses and CIDRs. https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-ip-address-library */
import { isIP, isIPv4 } from "node:net";
import type { Environment } from "@marcbachmann/cel-js";
import { CelError } from "../engine-error.ts";

class CelIp {
  readonly family: 4 | 6;
  readonly bits: bigint;
  readonly text: string;

  constructor(text: string) {
    const family = isIP(text);
    if (family === 0 || text.includes("%"))
      throw new CelError(
        `IP Address ${JSON.stringify(text.slice(0, 100))} parse error during conversion from string`,
      );
    this.family = family as 4 | 6;
    this.bits = family === 4 ? bitsOf4(text) : bitsOf6(text);
    this.text = family === 4 ? text : canonical6(text);
    if (family === 6 && this.bits >> 32n === 0xffffn)
      throw new CelError(`IPv4-mapped IPv6 address ${JSON.stringify(text)} is not allowed`);
  }

  get size(): bigint {
    return this.family === 4 ? 32n : 128n;
  }

  /** Whether the first bits are these. */
  startsWith(bits: bigint, length: bigint): boolean {
    return this.bits >> (this.size - length) === bits;
  }

  equals(other: unknown): boolean {
    return other instanceof CelIp && other.family === this.family && other.bits === this.bits;
  }

  toString(): string {
    return this.text;
  }
}

class CelCidr {
  readonly ip: CelIp;
  readonly length: bigint;

  constructor(text: string) {
    const [address = "", length = "", ...rest] = text.split("/");
    if (rest.length > 0 || !/^\d{1,3}$/.test(length))
      throw new CelError(`network address parse error during conversion from string: ${text.slice(0, 100)}`);
    this.ip = new CelIp(address);
    this.length = BigInt(length);
    if (this.length > this.ip.size)
      throw new CelError(`network address parse error during conversion from string: ${text.slice(0, 100)}`);
  }

  containsIp(ip: CelIp): boolean {
    const shift = this.ip.size - this.length;
    return ip.family === this.ip.family && ip.bits >> shift === this.ip.bits >> shift;
  }

  equals(other: unknown): boolean {
    return other instanceof CelCidr && other.length === this.length && this.ip.equals(other.ip);
  }

  toString(): string {
    return `${this.ip}/${this.length}`;
  }
}

function bitsOf4(text: string): bigint {
  return text.split(".").reduce((bits, part) => (bits << 8n) | BigInt(part), 0n);
}

function canonical6(text: string): string {
  return new URL(`http://[${text}]`).hostname.slice(1, -1);
}

function bitsOf6(text: string): bigint {
  const [head = "", tail] = canonical6(text).split("::");
  const left = head ? head.split(":") : [];
  const right = tail ? tail.split(":") : [];
  const middle = tail === undefined ? [] : new Array<string>(8 - left.length - right.length).fill("0");
  return [...left, ...middle, ...right].reduce((bits, part) => (bits << 16n) | BigInt(`0x${part}`), 0n);
}

function isA(make: (text: string) => unknown): (text: string) => boolean {
  return (text) => {
    try {
      return Boolean(make(text));
    } catch {
      return false;
    }
  };
}

export function registerAddresses(environment: Environment): void {
  const ip = "net.IP";
  const ipOf = (text: string) => new CelIp(text);
  environment
    .registerType(ip, CelIp)
    .registerOperator(`${ip} == ${ip}`, (a: CelIp, b: CelIp) => a.equals(b))
    .registerFunction(`ip(string): ${ip}`, ipOf)
    .registerFunction("isIP(string): bool", isA(ipOf))
    .registerFunction(`string(${ip}): string`, String)
    .registerFunction(`${ip}.family(): int`, ({ family }: CelIp) => BigInt(family))
    .registerFunction(`${ip}.isUnspecified(): bool`, ({ bits }: CelIp) => bits === 0n)
    .registerFunction(`${ip}.isLoopback(): bool`, (a: CelIp) =>
      a.family === 4 ? a.startsWith(127n, 8n) : a.bits === 1n,
    )
    .registerFunction(`${ip}.isLinkLocalMulticast(): bool`, (a: CelIp) =>
      a.family === 4 ? a.startsWith(0xe00000n, 24n) : a.startsWith(0xff02n, 16n),
    )
    .registerFunction(`${ip}.isLinkLocalUnicast(): bool`, (a: CelIp) =>
      a.family === 4 ? a.startsWith(0xa9fen, 16n) : a.startsWith(0x3fan, 10n),
    )
    .registerFunction(`${ip}.isGlobalUnicast(): bool`, isGlobalUnicast);
  registerIsCanonical(environment);
  registerCidr(environment, ip);
}

class IpNamespace {}

function registerIsCanonical(environment: Environment): void {
  environment
    .registerType("IpNamespace", IpNamespace)
    .registerConstant("ip", "IpNamespace", new IpNamespace())
    .registerFunction(
      "IpNamespace.isCanonical(string): bool",
      (_: unknown, text: string) => new CelIp(text).text === text,
    );
}

function isGlobalUnicast(a: CelIp): boolean {
  if (a.bits === 0n) return false;
  if (a.family === 4)
    return (
      a.text !== "255.255.255.255" &&
      !a.startsWith(127n, 8n) &&
      !a.startsWith(0xen, 4n) &&
      !a.startsWith(0xa9fen, 16n)
    );
  return a.bits !== 1n && !a.startsWith(0xffn, 8n) && !a.startsWith(0x3fan, 10n);
}

function registerCidr(environment: Environment, ip: string): void {
  const type = "net.CIDR";
  const cidrOf = (text: string) => new CelCidr(text);
  environment
    .registerType(type, CelCidr)
    .registerOperator(`${type} == ${type}`, (a: CelCidr, b: CelCidr) => a.equals(b))
    .registerFunction(`cidr(string): ${type}`, cidrOf)
    .registerFunction("isCIDR(string): bool", isA(cidrOf))
    .registerFunction(`string(${type}): string`, String)
    .registerFunction(`${type}.containsIP(${ip}): bool`, (a: CelCidr, b: CelIp) => a.containsIp(b))
    .registerFunction(`${type}.containsIP(string): bool`, (a: CelCidr, b: string) =>
      a.containsIp(new CelIp(b)),
    )
    .registerFunction(`${type}.containsCIDR(${type}): bool`, containsCidr)
    .registerFunction(`${type}.containsCIDR(string): bool`, (a: CelCidr, b: string) =>
      containsCidr(a, new CelCidr(b)),
    )
    .registerFunction(`${type}.ip(): ${ip}`, (a: CelCidr) => a.ip)
    .registerFunction(`${type}.masked(): ${type}`, masked)
    .registerFunction(`${type}.prefixLength(): int`, (a: CelCidr) => a.length);
}

function containsCidr(a: CelCidr, b: CelCidr): boolean {
  return a.length <= b.length && a.containsIp(b.ip);
}

function masked(cidr: CelCidr): CelCidr {
  const shift = cidr.ip.size - cidr.length;
  const bits = (cidr.ip.bits >> shift) << shift;
  const text = isIPv4(cidr.ip.text)
    ? [24n, 16n, 8n, 0n].map((at) => (bits >> at) & 0xffn).join(".")
    : Array.from({ length: 8 }, (_, i) => ((bits >> BigInt(112 - 16 * i)) & 0xffffn).toString(16)).join(":");
  return new CelCidr(`${text}/${cidr.length}`);
}
