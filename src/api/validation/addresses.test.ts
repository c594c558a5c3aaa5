import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  cidrErrors,
  cidrWarnings,
  familyOfCidr,
  interfaceAddressErrors,
  ipErrors,
  ipWarnings,
  isStrictSubnet,
  legacyCidrErrors,
  legacyIpErrors,
} from "./addresses.ts";

const noIp = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const noCidr = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

describe("addresses", () => {
  test.each([
    ["10.1.2.3", []],
    ["FE80:0abc:0:0:0:0:0:1", []],
    ["010.1.2.3", ["must not have leading 0s"]],
    ["::ffff:1.2.3.4", ["must not be an IPv4-mapped IPv6 address"]],
    ["300.1.2.3", [noIp]],
    ["fe80::1%eth0", [noIp]],
    ["", [noIp]],
  ])("%s", (text, errors) => {
    expect(legacyIpErrors(text)).toEqual(errors);
    expect(legacyIpErrors(text, [text])).toEqual([]);
  });

  test("new fields hold the canonical form alone", () => {
    expect(ipErrors("fe80:abc::1")).toEqual([]);
    expect(ipErrors("fe80:0abc::1")).toEqual(['must be in canonical form ("fe80:abc::1")']);
  });

  test("what is told of forms that are taken", () => {
    expect(ipWarnings("f", "1.2.3.4")).toEqual([]);
    expect(ipWarnings("f", "1.2.3.004")).toEqual([
      'f: non-standard IP address "1.2.3.004" will be considered invalid in a future Kubernetes release: use "1.2.3.4"',
    ]);
    expect(ipWarnings("f", "::ffff:1.2.3.4")[0]).toContain('use "1.2.3.4"');
    expect(ipWarnings("f", "2001:DB8::")).toEqual([
      'f: IPv6 address "2001:DB8::" should be in RFC 5952 canonical format ("2001:db8::")',
    ]);
  });
});

describe("networks", () => {
  test.each([
    ["10.0.0.0/8", []],
    ["2001:db8::/64", []],
    ["10.0.0.1/8", ["must not have bits set beyond the prefix length"]],
    ["10.0.0.0/08", ["must not have leading 0s in IP or prefix length"]],
    ["::ffff:10.0.0.0/104", ["must not have an IPv4-mapped IPv6 address"]],
    ["10.0.0.0", [noCidr]],
    ["10.0.0.0/33", [noCidr]],
  ])("%s", (text, errors) => expect(legacyCidrErrors(text)).toEqual(errors));

  test("what is told of forms that are taken", () => {
    expect(cidrWarnings("f", "10.0.0.1/8")).toEqual([
      'f: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.0.0.1/32"?)',
    ]);
    expect(cidrWarnings("f", "FD00::/8")).toEqual([
      'f: IPv6 CIDR value "FD00::/8" should be in RFC 5952 canonical format ("fd00::/8")',
    ]);
  });

  test("families and addresses of interfaces", () => {
    expect([familyOfCidr("10.0.0.0/8"), familyOfCidr("fd00::/8"), familyOfCidr("x")]).toEqual([
      4,
      6,
      undefined,
    ]);
    expect(interfaceAddressErrors("192.168.1.5/24")).toEqual([]);
    expect(interfaceAddressErrors("::ffff:192.168.1.5/120")).toEqual([
      'must be in canonical form ("192.168.1.5/24")',
    ]);
  });

  test("a network holds exactly the smaller ones that begin like it", () => {
    const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));
    fc.assert(
      fc.property(
        octets,
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 32 }),
        (o, length, inner) => {
          const bits = o.map((octet) => octet.toString(2).padStart(8, "0")).join("");
          const network = (size: number) => {
            const padded = bits.slice(0, size).padEnd(32, "0");
            return `${[0, 8, 16, 24].map((i) => Number.parseInt(padded.slice(i, i + 8), 2)).join(".")}/${size}`;
          };
          expect(cidrErrors(network(length))).toEqual([]);
          expect(isStrictSubnet(network(inner), network(length))).toBe(inner > length);
        },
      ),
    );
  });

  test("any text is answered", () => {
    const text = fc.oneof(
      fc.string(),
      fc.ipV6(),
      fc.ipV4(),
      fc.tuple(fc.ipV6(), fc.nat(140)).map((p) => p.join("/")),
    );
    fc.assert(
      fc.property(text, (value) => {
        for (const check of [ipErrors, cidrErrors, interfaceAddressErrors])
          expect(Array.isArray(check(value))).toBe(true);
        expect(ipWarnings("f", value).length + cidrWarnings("f", value).length).toBeLessThan(4);
      }),
    );
  });
});
