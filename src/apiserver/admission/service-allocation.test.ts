import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type corev1, serviceCidrs, services } from "#api";
import { startTestServer, type TestServer } from "../testing/start.ts";
import { addressAt, isAssignable, parseRange } from "./address-range.ts";

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer();
});
afterEach(() => server.stop());

const create = (name: string, spec: object = {}) =>
  server.client.create(services, {
    metadata: { name, namespace: "default" },
    spec: { ports: [{ port: 80 }], ...spec },
  });
const refusal = (work: Promise<unknown>) => work.then(String, (error: Error) => error.message);

it("gives each service an address of its own until there are none left", async () => {
  const made = await Promise.all(Array.from({ length: 253 }, (_, i) => create(`s${i}`)));
  const addresses = new Set(made.map((s) => s.spec.clusterIP));
  expect(addresses.size).toBe(253);
  expect(addresses.has("10.96.0.1")).toBe(false);
  expect(await refusal(create("one-more"))).toMatch(/range is full/);
  await server.client.delete(services, { namespace: "default", name: "s7" });
  expect((await create("again")).spec.clusterIP).toBe(made[7]?.spec.clusterIP);
});

it("takes wishes that can be had and says why not otherwise", async () => {
  expect((await create("a", { clusterIP: "10.96.0.77" })).spec.clusterIPs).toEqual(["10.96.0.77"]);
  expect(await refusal(create("b", { clusterIP: "10.96.0.77" }))).toMatch(/provided IP is already allocated/);
  expect(await refusal(create("b", { clusterIP: "10.97.0.1" }))).toMatch(
    /failed to allocate IP 10\.97\.0\.1: the provided network does not match the current range/,
  );
  expect(await refusal(create("b", { clusterIP: "10.96.0.0" }))).toMatch(
    /not in the valid range.*10\.96\.0\.0\/24/,
  );
  expect((await create("headless", { clusterIP: "None" })).spec.clusterIPs).toEqual(["None"]);
  const port = (nodePort: number) => ({ type: "NodePort", ports: [{ port: 80, nodePort }] });
  expect((await create("p", port(30_005))).spec.ports?.[0]?.nodePort).toBe(30_005);
  expect(await refusal(create("q", port(30_005)))).toMatch(/provided port is already allocated/);
  expect(await refusal(create("q", port(1000)))).toMatch(/range of valid ports is 30000-30009/);
});

it("keeps what was allocated when an update leaves it out, and frees it with the type", async () => {
  const made = await create("s", { type: "NodePort" });
  const ref = { namespace: "default", name: "s" };
  const again = await server.client.update(services, {
    metadata: ref,
    spec: { type: "NodePort", ports: [{ port: 80 }], selector: { a: "b" } },
  });
  expect(again.spec).toMatchObject({
    clusterIP: made.spec.clusterIP,
    ports: [{ nodePort: made.spec.ports?.[0]?.nodePort }],
  });
  const plain = await server.client.patch(services, ref, "merge", { spec: { type: "ClusterIP" } });
  expect(plain.spec.ports?.[0]?.nodePort).toBeUndefined();
  const all = await Promise.all(Array.from({ length: 10 }, (_, i) => create(`n${i}`, { type: "NodePort" })));
  expect(new Set(all.map((s) => s.spec.ports?.[0]?.nodePort)).size).toBe(10);
});

it("reserves nothing for a request that fails", async () => {
  for (let i = 0; i < 30; i++) {
    expect(await refusal(create("Bad_Name", { type: "NodePort" }))).toMatch(/Bad_Name/);
  }
  await create("good", { type: "NodePort" });
});

it("reads ranges of both families", () => {
  const range = parseRange("10.96.5.7/16");
  expect(addressAt(range, 0)).toBe("10.96.0.1");
  expect(range.size).toBe(65_534);
  expect(isAssignable(range, "10.96.255.255")).toBe(false);
  const six = parseRange("fd00:10:96::/112");
  expect([addressAt(six, 0), six.size]).toEqual(["fd00:10:96::1", 65_535]);
  expect(["fd00:10:96::", "fd00:10:96::ffff"].map((each) => isAssignable(six, each))).toEqual([false, true]);
  for (const bad of ["", "10.96.0.0", "10.96.0.0/31", "300.0.0.0/16", "fd00::/128"])
    expect(() => parseRange(bad)).toThrow();
});

it("gives what ServiceCIDRs add when the first block is full", async () => {
  await Promise.all(Array.from({ length: 253 }, (_, i) => create(`s${i}`)));
  await server.client.create(serviceCidrs, { metadata: { name: "more" }, spec: { cidrs: ["10.99.0.0/28"] } });
  expect((await create("late")).spec.clusterIP).toMatch(/^10\.99\.0\.\d+$/);
  expect((await create("wish", { clusterIP: "10.99.0.3" })).spec.clusterIP).toBe("10.99.0.3");
});

describe("with both families", () => {
  let dual: TestServer;
  beforeEach(async () => {
    dual = await startTestServer({ serviceCidrs: ["10.96.0.0/24", "fd00:10:96::/112"] });
  });
  afterEach(() => dual.stop());

  const ref = { namespace: "default", name: "s" };
  const make = (spec: object = {}) =>
    dual.client.create(services, { metadata: ref, spec: { ports: [{ port: 80 }], ...spec } });
  const familiesOf = ({ spec }: { spec: corev1.ServiceSpec }) => [
    spec.ipFamilyPolicy,
    spec.ipFamilies,
    spec.clusterIPs?.map((ip) => (ip === "None" ? ip : ip.includes(":") ? 6 : 4)),
  ];

  it.each<[string, object, unknown[]]>([
    ["nothing said", {}, ["SingleStack", ["IPv4"], [4]]],
    ["IPv6 alone", { ipFamilies: ["IPv6"] }, ["SingleStack", ["IPv6"], [6]]],
    ["both preferred", { ipFamilyPolicy: "PreferDualStack" }, ["PreferDualStack", ["IPv4", "IPv6"], [4, 6]]],
    [
      "both required, IPv6 first",
      { ipFamilyPolicy: "RequireDualStack", ipFamilies: ["IPv6"] },
      ["RequireDualStack", ["IPv6", "IPv4"], [6, 4]],
    ],
    [
      "an address of IPv6",
      { clusterIP: "fd00:10:96::77", ipFamilyPolicy: "PreferDualStack" },
      ["PreferDualStack", ["IPv6", "IPv4"], [6, 4]],
    ],
    [
      "headless with a selector",
      { clusterIP: "None", selector: { a: "b" } },
      ["SingleStack", ["IPv4"], ["None"]],
    ],
    ["headless without one", { clusterIP: "None" }, ["RequireDualStack", ["IPv4", "IPv6"], ["None"]]],
  ])("%s", async (_, spec, expected) => {
    expect(familiesOf(await make(spec))).toEqual(expected);
  });

  it.each<[string, object, RegExp]>([
    [
      "two families for one",
      { ipFamilies: ["IPv4", "IPv6"], ipFamilyPolicy: "SingleStack" },
      /spec\.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified/,
    ],
    [
      "an address of the other family",
      { clusterIP: "10.96.0.9", ipFamilies: ["IPv6"] },
      /spec\.clusterIPs\[0\]: Invalid value: "10\.96\.0\.9": expected an IPv6 value as indicated by `ipFamilies\[0\]`/,
    ],
    [
      "two addresses of one family",
      { clusterIP: "10.96.0.9", clusterIPs: ["10.96.0.9", "10.96.0.8"], ipFamilyPolicy: "PreferDualStack" },
      /may specify no more than one IP for each IP family/,
    ],
    [
      "the second field alone",
      { clusterIPs: ["10.96.0.9"] },
      /must be empty when `clusterIP` is not specified/,
    ],
    ["a family twice", { ipFamilies: ["IPv4", "IPv4"] }, /spec\.ipFamilies\[1\]: Duplicate value: "IPv4"/],
    ["no family", { ipFamilies: ["IPv5"] }, /Unsupported value: "IPv5": supported values: "IPv4", "IPv6"/],
  ])("refuses %s", async (_, spec, expected) => {
    expect(await refusal(make(spec))).toMatch(expected);
  });

  it("gives a second address and takes it back", async () => {
    const made = await make();
    const patch = (spec: object) => dual.client.patch(services, ref, "merge", { spec });
    const both = await patch({ ipFamilyPolicy: "RequireDualStack" });
    expect(familiesOf(both)).toEqual(["RequireDualStack", ["IPv4", "IPv6"], [4, 6]]);
    expect(both.spec.clusterIP).toBe(made.spec.clusterIP);
    expect(await refusal(patch({ ipFamilies: ["IPv4"] }))).toMatch(
      /must be 'SingleStack' to release the secondary IP family/,
    );
    expect(await refusal(patch({ ipFamilies: ["IPv6", "IPv4"] }))).toMatch(/Invalid value/);
    const one = await patch({ ipFamilyPolicy: "SingleStack" });
    expect(familiesOf(one)).toEqual(["SingleStack", ["IPv4"], [4]]);
    const again = await dual.client.create(services, {
      metadata: { namespace: "default", name: "next" },
      spec: { ports: [{ port: 80 }], clusterIP: both.spec.clusterIPs?.[1] ?? "", ipFamilies: ["IPv6"] },
    });
    expect(again.spec.clusterIPs).toEqual([both.spec.clusterIPs?.[1]]);
  });

  it("has one ServiceCIDR of both", async () => {
    const { spec } = await dual.client.get(serviceCidrs, { name: "kubernetes" });
    expect(spec?.cidrs).toEqual(["10.96.0.0/24", "fd00:10:96::/112"]);
  });
});

it("says what a cluster of one family does not have", async () => {
  expect(await refusal(create("a", { ipFamilyPolicy: "RequireDualStack" }))).toMatch(
    /spec\.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services/,
  );
  expect(await refusal(create("a", { ipFamilies: ["IPv6"] }))).toMatch(
    /spec\.ipFamilies\[0\]: Invalid value: "IPv6": not configured on this cluster/,
  );
  expect(await refusal(create("a", { clusterIP: "fd00::1" }))).toMatch(
    /spec\.clusterIPs\[0\]: Invalid value: .*IPv6 is not configured on this cluster/,
  );
  const { spec } = await create("b", { ipFamilyPolicy: "PreferDualStack" });
  expect([spec.ipFamilies, spec.clusterIPs?.length]).toEqual([["IPv4"], 1]);
});
