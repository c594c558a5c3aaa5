import { expect, test } from "vitest";
import { endpoints } from "../core/endpoints.ts";
import { cellsOf, changeErrorsOf, errorsOf } from "../testing/examples.ts";
import { endpointSlices } from "./endpoint-slice.ts";

const addresses = ["10.0.0.1"];
const at = "endpoints[0]";

test.each([
  [{ addressType: "IPv4", endpoints: [{ addresses }] }, []],
  [{ endpoints: [] }, ["addressType: Required value"]],
  [
    { addressType: "IPv4", endpoints: [{}] },
    [`${at}.addresses: Required value: must contain at least 1 address`],
  ],
  [
    { addressType: "IPv4", endpoints: [{ addresses: ["::1", "169.254.169.254", "010.0.0.1", "x"] }] },
    [
      `${at}.addresses[0]: Invalid value: "::1": must be an IPv4 address`,
      `${at}.addresses[1]: Invalid value: "169.254.169.254": may not be in the link-local range (169.254.0.0/16, fe80::/10)`,
      `${at}.addresses[2]: Invalid value: "010.0.0.1": must not have leading 0s`,
      `${at}.addresses[3]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
    ],
  ],
  [
    { addressType: "IPv6", endpoints: [{ addresses: ["fe80::1", "ff02::1", "::", "2001:db8::1"] }] },
    [
      `${at}.addresses[0]: Invalid value: "fe80::1": may not be in the link-local range (169.254.0.0/16, fe80::/10)`,
      `${at}.addresses[1]: Invalid value: "ff02::1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)`,
      `${at}.addresses[2]: Invalid value: "::": may not be unspecified (::)`,
    ],
  ],
  [
    { addressType: "FQDN", endpoints: [{ addresses: ["example.com.", "localhost"] }] },
    [
      `${at}.addresses[1]: Invalid value: "localhost": should be a domain with at least two segments separated by dots`,
    ],
  ],
  [
    {
      addressType: "IPv4",
      endpoints: [{ addresses, hints: { forZones: [{ name: "a" }, { name: "a" }] }, nodeName: "n_1" }],
    },
    [
      expect.stringContaining(`${at}.nodeName: Invalid value: "n_1": a lowercase RFC 1123 subdomain`),
      `${at}.hints.forZones[1].name: Duplicate value: "a"`,
    ],
  ],
  [
    {
      addressType: "IPv4",
      endpoints: [],
      ports: [{ port: 1 }, { port: 2, protocol: "X", appProtocol: "a/" }],
    },
    [
      'ports[1].name: Duplicate value: ""',
      'ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
      'ports[1].appProtocol: Invalid value: "a/": name part must be non-empty',
      expect.stringContaining('ports[1].appProtocol: Invalid value: "a/": name part must consist of'),
    ],
  ],
])("slice %j", (body, errors) => {
  expect(errorsOf(endpointSlices, body)).toEqual(errors);
});

test("addresses that are stored stay as they are written", () => {
  const old = { addressType: "IPv4", endpoints: [{ addresses: ["010.0.0.1"] }] };
  expect(
    changeErrorsOf(endpointSlices, old, { ...old, endpoints: [{ addresses }, ...old.endpoints] }),
  ).toEqual([]);
  const subsets = [{ addresses: [{ ip: "010.0.0.1" }], ports: [{ port: 1 }] }];
  expect(changeErrorsOf(endpoints, { subsets }, { subsets: [...subsets, ...subsets] })).toEqual([]);
});

test("the table names ports without a number", () => {
  const cells = cellsOf(endpointSlices, {
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.0.0.1", "10.0.0.2"] }, { addresses: ["10.0.0.3", "10.0.0.4"] }],
    ports: [{ name: "a" }, { name: "b", port: 80 }],
  });
  expect(cells.Ports).toBe("a,80");
  expect(cells.Endpoints).toBe("10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...");
  expect(cellsOf(endpointSlices, { addressType: "IPv4", endpoints: [] }).Ports).toBe("<unset>");
});

test("endpoints", () => {
  const subsets = [
    { ports: [{ port: 1 }, { port: 0, name: "a", protocol: "X" }] },
    { addresses: [{ ip: "0.0.0.0", hostname: "A", nodeName: "n" }], ports: [{ port: 1 }] },
  ];
  expect(errorsOf(endpoints, { subsets })).toEqual([
    "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
    "subsets[0].ports[0].name: Required value",
    "subsets[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
    'subsets[0].ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
    'subsets[1].addresses[0].ip: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)',
    expect.stringContaining(
      'subsets[1].addresses[0].hostname: Invalid value: "A": a lowercase RFC 1123 label',
    ),
  ]);
});
