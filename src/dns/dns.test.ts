import dnsPacket from "dns-packet";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type corev1, type discoveryv1, parseAddress } from "#api";
import { answer } from "./answer.ts";
import { ReplyCache } from "./cache.ts";
import { addressOfReverse, isReverse, type ZoneSource } from "./records.ts";
import { responder } from "./server.ts";
import { noSettings, parseSettings, resolversFor } from "./settings.ts";
import { ttlsOf } from "./ttls.ts";
import { nameserversOf } from "./upstream.ts";

const domain = "cluster.local";

function service(name: string, spec: object): corev1.Service {
  return { metadata: { name, namespace: "default" }, spec } as corev1.Service;
}

const all = [
  service("web", { clusterIP: "10.96.0.7", clusterIPs: ["10.96.0.7"], ports: [{ name: "http", port: 80 }] }),
  service("both", {
    clusterIP: "10.96.0.8",
    clusterIPs: ["10.96.0.8", "fd00:10:96::8"],
    ports: [{ port: 80 }],
  }),
  service("db", { clusterIP: "None", ports: [{ name: "sql", port: 5432 }] }),
  service("empty", { clusterIP: "None" }),
  service("ext", { type: "ExternalName", externalName: "example.org" }),
];
const dbSlice = {
  addressType: "IPv4",
  metadata: { name: "db-1", namespace: "default", labels: { "kubernetes.io/service-name": "db" } },
  ports: [{ name: "sql", port: 5432, protocol: "TCP" }],
  endpoints: [
    { addresses: ["10.244.0.5"], hostname: "db-0" },
    { addresses: ["10.244.0.6"] },
    { addresses: ["10.244.0.7"], conditions: { ready: false } },
  ],
} as unknown as discoveryv1.EndpointSlice;

const zone: ZoneSource = {
  revision: () => 1,
  service: (namespace, name) =>
    all.find((s) => s.metadata.namespace === namespace && s.metadata.name === name),
  slices: (_, name) => (name === "db" ? [dbSlice] : []),
  hasNamespace: (namespace) => namespace === "default",
  serviceByAddress: (address) => all.find((s) => s.spec.clusterIPs?.includes(address)),
  slicesByAddress: (address) =>
    dbSlice.endpoints?.some((e) => e.addresses.includes(address)) ? [dbSlice] : [],
};

function ask(name: string, type: "A" | "AAAA" | "SRV" | "PTR" = "A") {
  const verdict = answer(zone, domain, { name, type }, 0);
  return verdict.kind === "answer"
    ? verdict.answers.map((a) => ("data" in a ? a.data : undefined))
    : verdict.kind;
}

test("a Service answers with its cluster address, whatever the case of the question", () => {
  expect(ask("web.default.svc.cluster.local")).toEqual(["10.96.0.7"]);
  expect(ask("WEB.Default.svc.CLUSTER.local")).toEqual(["10.96.0.7"]);
  expect(ask("web.default.svc.cluster.local", "AAAA")).toEqual([]);
});

test("a Service with both families has addresses, names and reverse names of both", () => {
  expect(ask("both.default.svc.cluster.local")).toEqual(["10.96.0.8"]);
  expect(ask("both.default.svc.cluster.local", "AAAA")).toEqual(["fd00:10:96::8"]);
  const digits = "fd000010009600000000000000000008";
  const reverse = `${[...digits].reverse().join(".")}.ip6.arpa`;
  expect(ask(reverse, "PTR")).toEqual(["both.default.svc.cluster.local"]);
  expect(ask(reverse.slice(2), "PTR")).toBe("forward");
  expect(ask("fd00-10-244--7.default.pod.cluster.local", "AAAA")).toEqual(["fd00:10:244::7"]);
  expect(ask("10-244-0-7.default.pod.cluster.local")).toEqual(["10.244.0.7"]);
  expect(ask("fd00-10-244.default.pod.cluster.local", "AAAA")).toBe("nxdomain");
});

test("every address has one reverse name, and that leads back to it", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const address = parseAddress(text)!;
      const hex = address.value.toString(16).padStart(32, "0");
      const name =
        address.bits === 32
          ? `${address.canonical.split(".").reverse().join(".")}.in-addr.arpa`
          : `${[...hex].reverse().join(".")}.ip6.arpa`;
      expect(isReverse(name)).toBe(true);
      expect(addressOfReverse(name)).toBe(address.canonical);
    }),
  );
});

test("a headless Service answers with its ready endpoints and their own names", () => {
  expect(ask("db.default.svc.cluster.local")).toEqual(["10.244.0.5", "10.244.0.6"]);
  expect(ask("db-0.db.default.svc.cluster.local")).toEqual(["10.244.0.5"]);
  expect(ask("10-244-0-6.db.default.svc.cluster.local")).toEqual(["10.244.0.6"]);
  expect(ask("empty.default.svc.cluster.local")).toBe("nxdomain");
});

test("SRV names ports", () => {
  expect(ask("_http._tcp.web.default.svc.cluster.local", "SRV")).toEqual([
    { target: "web.default.svc.cluster.local", port: 80, priority: 0, weight: 100 },
  ]);
  expect(ask("_sql._tcp.db.default.svc.cluster.local", "SRV")).toHaveLength(2);
  expect(ask("_nope._tcp.web.default.svc.cluster.local", "SRV")).toBe("nxdomain");
});

test("PTR, ExternalName, pods, and names that are not ours", () => {
  expect(ask("7.0.96.10.in-addr.arpa", "PTR")).toEqual(["web.default.svc.cluster.local"]);
  expect(ask("5.0.244.10.in-addr.arpa", "PTR")).toEqual(["db-0.db.default.svc.cluster.local"]);
  expect(ask("1.1.1.1.in-addr.arpa", "PTR")).toBe("forward");
  expect(ask("ext.default.svc.cluster.local")).toEqual(["example.org"]);
  expect(ask("10-1-2-3.default.pod.cluster.local")).toEqual(["10.1.2.3"]);
  expect(ask("10-1-2-300.default.pod.cluster.local")).toBe("nxdomain");
  expect(ask("nope.default.svc.cluster.local")).toBe("nxdomain");
  expect(ask("nope.svc.cluster.local")).toBe("nxdomain");
  expect(ask("example.org")).toBe("forward");
});

const silent = { ask: () => Promise.resolve(undefined) };
const respond = responder(
  zone,
  silent,
  domain,
  () => 0,
  () => {},
);

test("an unreachable upstream is a server failure, not silence", async () => {
  const query = dnsPacket.encode({ type: "query", id: 7, questions: [{ name: "example.org", type: "A" }] });
  const reply = dnsPacket.decode((await respond(query, false))!);
  expect(reply).toMatchObject({ id: 7, rcode: "SERVFAIL" });
});

test("a question that comes again has the same answer under its own number, until the zone changes", async () => {
  let [revision, address] = [1, "10.96.0.7"];
  const changing: ZoneSource = {
    ...zone,
    revision: () => revision,
    service: (_, name) => service(name, { clusterIP: address, clusterIPs: [address], ports: [{ port: 80 }] }),
  };
  const verdicts: string[] = [];
  const [nowMs, count] = [() => 0, (verdict: string) => void verdicts.push(verdict)];
  const ours = responder(changing, silent, domain, nowMs, count);
  const name = "web.default.svc.cluster.local";
  const asked = async (id: number, overTcp = false) => {
    const questions = [{ name, type: "A" as const }];
    const reply = dnsPacket.decode(
      (await ours(dnsPacket.encode({ type: "query", id, questions }), overTcp))!,
    );
    return [reply.id, ...reply.answers!.map((each) => ("data" in each ? each.data : ""))];
  };
  expect(await asked(1)).toEqual([1, "10.96.0.7"]);
  address = "10.96.0.9";
  expect(await asked(2)).toEqual([2, "10.96.0.7"]);
  revision++;
  expect(await asked(3)).toEqual([3, "10.96.0.9"]);
  expect(await asked(4)).toEqual([4, "10.96.0.9"]);
  expect(await asked(5, true)).toEqual([5, "10.96.0.9"]);
  expect(verdicts).toEqual(Array.from({ length: 5 }, () => "answer"));
});

test("an alias comes with what it points to: in the cluster, outside it, and never round in a ring", async () => {
  const alias = (from: string, to: string) => service(from, { type: "ExternalName", externalName: to });
  const inside = "web.default.svc.cluster.local";
  const named = [alias("in", inside), alias("ring", "ring.default.svc.cluster.local")];
  const aliases: ZoneSource = {
    ...zone,
    service: (namespace, name) =>
      named.find((s) => s.metadata.name === name) ?? zone.service(namespace, name),
  };
  const outside = {
    ask: async (query: Buffer) => {
      const { id, questions = [] } = dnsPacket.decode(query);
      const answers = [{ type: "A" as const, name: questions[0]!.name, data: "192.0.2.80" }];
      return dnsPacket.encode({ type: "response", id: id!, questions, answers });
    },
  };
  const ours = responder(
    aliases,
    outside,
    domain,
    () => 0,
    () => {},
  );
  const datas = async (name: string, type: "A" | "CNAME" = "A") => {
    const questions = [{ name: `${name}.default.svc.cluster.local`, type }];
    const reply = await ours(dnsPacket.encode({ type: "query", id: 3, questions }), false);
    return dnsPacket.decode(reply!).answers!.map((a) => ("data" in a ? a.data : ""));
  };
  expect(await datas("in")).toEqual([inside, "10.96.0.7"]);
  expect(await datas("ext")).toEqual(["example.org", "192.0.2.80"]);
  expect(await datas("ext", "CNAME")).toEqual(["example.org"]);
  expect((await datas("ring")).length).toBeLessThan(12);
});

test("an answer too long for UDP is truncated, and whole over TCP", async () => {
  const endpoints = Array.from({ length: 100 }, (_, i) => ({ addresses: [`10.244.1.${i}`] }));
  const big: ZoneSource = { ...zone, slices: () => [{ ...dbSlice, endpoints }] };
  const answerBig = responder(
    big,
    silent,
    domain,
    () => 0,
    () => {},
  );
  const query = dnsPacket.encode({
    type: "query",
    id: 1,
    questions: [{ name: "db.default.svc.cluster.local", type: "A" }],
  });
  expect(dnsPacket.decode((await answerBig(query, false))!)).toMatchObject({ flag_tc: true, answers: [] });
  expect(dnsPacket.decode((await answerBig(query, true))!).answers).toHaveLength(100);
});

test("property: hostile bytes never crash the server", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      const reply = await respond(Buffer.from(bytes), false);
      expect(reply === undefined || reply.length >= 12).toBe(true);
    }),
  );
});

test("resolv.conf: at most three nameservers, never our own address", () => {
  const text = "search a\nnameserver 10.0.0.1\n# nameserver 9.9.9.9\nnameserver 192.0.2.2\n nameserver ::1\n";
  expect(nameserversOf(text, ["192.0.2.2"])).toEqual(["10.0.0.1", "::1"]);
});

const upstreamOf = (reply: () => Buffer | undefined) => {
  let asked = 0;
  const ask = async () => {
    asked++;
    return reply();
  };
  return { ask, count: () => asked };
};

function replyWith(ttl: number, rcode = 0): Buffer {
  return dnsPacket.encode({
    type: "response",
    id: 1,
    flags: rcode,
    questions: [{ type: "A", name: "example.org" }],
    answers: [{ type: "A", name: "example.org", ttl, data: "203.0.113.7" }],
    additionals: [{ type: "OPT", name: ".", udpPayloadSize: 4096, flags: 0, options: [] } as never],
  });
}

test("answers of others are kept for as long as they say, half a minute at most, and grow old", async () => {
  let nowMs = 0;
  const upstream = upstreamOf(() => replyWith(300));
  const respond = responder(
    zone,
    upstream,
    domain,
    () => nowMs,
    () => {},
  );
  const ask = async (id: number) => {
    const questions = [{ type: "A" as const, name: "Example.org" }];
    const reply = dnsPacket.decode(
      (await respond(dnsPacket.encode({ type: "query", id, questions }), false))!,
    );
    const [first] = reply.answers ?? [];
    // Some clients vary the case of what they ask, and believe only who repeats it.
    return [reply.id, reply.questions?.[0]?.name, first && "ttl" in first ? first.ttl : undefined];
  };
  await ask(1);
  nowMs = 10_500;
  expect(await ask(7)).toEqual([7, "Example.org", 290]);
  expect(upstream.count()).toBe(1);
  nowMs = 30_000;
  await ask(8);
  expect(upstream.count()).toBe(2);
});

test("failures, cut answers and answers for a moment are not kept", () => {
  const cache = new ReplyCache();
  const cut = replyWith(300);
  cut[2] = cut[2]! | 2;
  for (const reply of [replyWith(300, 2), replyWith(0), cut, Buffer.alloc(3), Buffer.alloc(12)]) {
    cache.put("k", reply, 0);
    expect(cache.get("k", replyWith(0), 0)).toBeUndefined();
  }
  cache.put("k", replyWith(300, 3), 0);
  expect(cache.get("k", replyWith(0), 0)).toBeDefined();
});

test("whoever speaks EDNS is answered in EDNS, and nobody gets more than he takes", async () => {
  const respond = responder(
    zone,
    upstreamOf(() => undefined),
    domain,
    () => 0,
    () => {},
  );
  const ask = async (additionals: object[]) => {
    const questions = [{ type: "A" as const, name: "web.default.svc.cluster.local" }];
    const query = dnsPacket.encode({ type: "query", id: 1, questions, additionals: additionals as never });
    return dnsPacket.decode((await respond(query, false))!).additionals?.map(({ type }) => type);
  };
  expect(await ask([])).toEqual([]);
  expect(await ask([{ type: "OPT", name: ".", udpPayloadSize: 100, flags: 0, options: [] }])).toEqual([
    "OPT",
  ]);
});

test("the version of the specification is a name too", () => {
  expect(ask("dns-version.cluster.local", "TXT" as never)).toEqual(["1.1.0"]);
});

test("property: whatever comes, nothing breaks, and what goes back is no larger than a client may expect", async () => {
  const good = dnsPacket.encode({
    type: "query",
    id: 1,
    questions: [{ type: "SRV", name: "_sql._tcp.db.default.svc.cluster.local" }],
  });
  const spoilt = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }).map((changes) => {
    const bytes = Buffer.from(good);
    for (const [at, value] of changes) bytes[at] = value;
    return bytes;
  });
  const any = fc.oneof(
    spoilt,
    fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
  );
  const respond = responder(
    zone,
    upstreamOf(() => undefined),
    domain,
    () => 0,
    () => {},
  );
  await fc.assert(
    fc.asyncProperty(any, fc.boolean(), async (query, overTcp) => {
      const reply = await respond(query, overTcp);
      if (reply && !overTcp) expect(reply.length).toBeLessThanOrEqual(1232);
      expect(ttlsOf(query) ?? []).toBeInstanceOf(Array);
    }),
    { numRuns: 2_000 },
  );
});

test("domains with resolvers of their own, and others for the rest", () => {
  const settings = parseSettings({
    stubDomains: '{"acme.local": ["192.0.2.53:5353"], "deep.acme.local": ["192.0.2.54", "2001:db8::53"]}',
    upstreamNameservers: '["8.8.8.8"]',
  });
  const ask = (name: string) => resolversFor(settings, name, ["192.0.2.1"]);
  expect(ask("www.ACME.local.")).toEqual(["192.0.2.53#5353"]);
  expect(ask("acme.local")).toEqual(["192.0.2.53#5353"]);
  expect(ask("a.deep.acme.local")).toEqual(["192.0.2.54", "2001:db8::53"]);
  expect(ask("notacme.local")).toEqual(["8.8.8.8"]);
  expect(resolversFor(noSettings, "example.org", ["192.0.2.1"])).toEqual(["192.0.2.1"]);
  const bad: Record<string, string>[] = [
    { stubDomains: "[]" },
    { stubDomains: "{" },
    { stubDomains: '{"a": "192.0.2.1"}' },
    { stubDomains: '{"a": ["nobody"]}' },
    { upstreamNameservers: '["192.0.2.1:0"]' },
    { upstreamNameservers: '["1.1.1.1", "1.1.1.1", "1.1.1.1", "1.1.1.1"]' },
    { upstreamNameservers: "{}" },
  ];
  for (const data of bad) expect(() => parseSettings(data)).toThrow(/stubDomains|upstreamNameservers/);
});
