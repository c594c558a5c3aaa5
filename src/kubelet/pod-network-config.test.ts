import { expect, test } from "vitest";
import {
  dnsConfigOf,
  dnsOmissions,
  domainNameOf,
  hostnameOf,
  hostsFile,
  parseResolvConf,
} from "./pod-network-config.ts";
import { makePod } from "./testing/pods.ts";

const settings = {
  clusterDns: ["10.96.0.10"],
  clusterDomain: "cluster.local",
  node: { servers: ["1.1.1.1"], searches: ["lan"], options: ["edns0"] },
};

test("a resolv.conf is read leniently", () => {
  const text =
    "# comment\nnameserver 1.1.1.1\nsearch a b\nsearch c .\noptions ndots:2 edns0\nnonsense\nnameserver\n";
  expect(parseResolvConf(text)).toEqual({
    servers: ["1.1.1.1"],
    searches: ["c"],
    options: ["ndots:2", "edns0"],
  });
});

test.each([
  [
    {},
    ["10.96.0.10"],
    ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"],
    ["ndots:5"],
  ],
  [{ hostNetwork: true }, ["1.1.1.1"], ["lan"], ["edns0"]],
  [
    { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" },
    ["10.96.0.10"],
    ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"],
    ["ndots:5"],
  ],
  [{ dnsPolicy: "Default" }, ["1.1.1.1"], ["lan"], ["edns0"]],
  [
    {
      dnsPolicy: "None",
      dnsConfig: { nameservers: ["9.9.9.9"], searches: ["x"], options: [{ name: "ndots", value: "1" }] },
    },
    ["9.9.9.9"],
    ["x"],
    ["ndots:1"],
  ],
] as const)("the policy %o is followed", (spec, servers, searches, options) => {
  expect(dnsConfigOf(makePod(spec as object), settings)).toEqual({ servers, searches, options });
});

test("a pod's own options replace those of the same name", () => {
  const pod = makePod({ dnsConfig: { options: [{ name: "ndots", value: "2" }, { name: "rotate" }] } });
  expect(dnsConfigOf(pod, settings).options).toEqual(["ndots:2", "rotate"]);
});

test("host names are cut to what Linux takes", () => {
  expect(hostnameOf({ ...makePod(), metadata: { ...makePod().metadata, name: `${"a".repeat(62)}-b` } })).toBe(
    "a".repeat(62),
  );
  const pod = makePod({ hostname: "db-0", subdomain: "db" });
  expect(hostnameOf(pod)).toBe("db-0");
  expect(domainNameOf(pod, "cluster.local")).toBe("db-0.db.default.svc.cluster.local");
});

test("the hosts file names the pod, and takes aliases", () => {
  const pod = makePod({
    hostname: "db-0",
    subdomain: "db",
    hostAliases: [{ ip: "1.2.3.4", hostnames: ["a", "b"] }],
  });
  const text = hostsFile(pod, ["10.0.0.1"], "cluster.local", "");
  expect(text).toContain("10.0.0.1\tdb-0.db.default.svc.cluster.local\tdb-0\n");
  expect(text).toContain("1.2.3.4\ta\tb\n");
  expect(hostsFile(makePod({ hostNetwork: true }), [], "cluster.local", "1.1.1.1 node\n")).toContain(
    "1.1.1.1 node\n",
  );
});

test("what a resolver does not take is left out, and told in upstream's words", () => {
  const searches = Array.from({ length: 40 }, (_, i) => `${"x".repeat(90)}${i}.example`);
  const pod = makePod({ dnsConfig: { nameservers: ["1.1.1.1", "1.1.1.2", "1.1.1.3"], searches } });
  const config = dnsConfigOf(pod, settings);
  expect(config.servers).toEqual(["10.96.0.10", "1.1.1.1", "1.1.1.2"]);
  expect(config.searches.join(" ").length).toBeLessThanOrEqual(2048);
  expect(config.searches.length).toBeGreaterThan(15);
  expect(dnsOmissions(pod, settings)).toEqual([
    `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${config.searches.join(" ")}`,
    "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 10.96.0.10 1.1.1.1 1.1.1.2",
  ]);
  expect(dnsOmissions(makePod(), settings)).toEqual([]);
});
