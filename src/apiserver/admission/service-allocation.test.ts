import { afterEach, beforeEach, expect, it } from "vitest";
import { services } from "#api";
import { startTestServer, type TestServer } from "../testing/start.ts";
import { contains, formatAddress, parseAddress, parseRange } from "./address-range.ts";

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

it("reads ranges and addresses", () => {
  const range = parseRange("10.96.5.7/16");
  expect(formatAddress(range.first)).toBe("10.96.0.1");
  expect(range.size).toBe(65_534);
  expect(contains(range, parseAddress("10.96.255.255")!)).toBe(false);
  for (const bad of ["", "10.96.0.0", "10.96.0.0/31", "300.0.0.0/16", "fd00::/108"])
    expect(() => parseRange(bad)).toThrow();
});
