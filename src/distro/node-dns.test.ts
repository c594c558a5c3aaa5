/** Whose DNS the `kube-dns` Service leads to: the nodes' own, or that of whoever gives it a selector. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { endpointSlices, nodes, services } from "#api";
import { createWorld, silentLogger, systemClock, VirtualClock } from "#base";
import { type Client, createClient, createInformers, FakeApi } from "#client";
import { installDns } from "./cluster-dns.ts";
import type { Running } from "./components.ts";
import { configFor } from "./config.ts";
import { followNodeDns } from "./node-dns.ts";

const world = createWorld({ log: silentLogger });
const config = configFor({ name: "a", slot: 0, nodeName: "vm", nodeAddress: "192.0.2.2" });
const ref = { namespace: "kube-system", name: "kube-dns" };
const stop = new AbortController();
let client: Client;
let following: Running;

beforeEach(async () => {
  client = createClient(new FakeApi(new VirtualClock()));
  await client.create(nodes, {
    metadata: { name: "vm-2", annotations: { "knarr.dev/dns-port": "10053" } },
    status: {
      addresses: [
        { type: "InternalIP", address: "192.0.2.3" },
        { type: "InternalIP", address: "fd00::3" },
      ],
    },
  });
  const informers = createInformers(client, world);
  informers.start(stop.signal);
  const install = () => installDns(client, config);
  await install();
  following = await followNodeDns(world, client, informers, install);
});
afterEach(async () => {
  await following.stop();
  stop.abort();
});

const slices = async () =>
  (await client.list(endpointSlices, { namespace: ref.namespace })).items
    .map(({ metadata }) => metadata.name)
    .sort();
async function toBecome(expected: readonly string[]): Promise<void> {
  for (let i = 0; i < 200 && (await slices()).join() !== expected.join(); i++) await systemClock.sleep(10);
  expect(await slices()).toEqual(expected);
}
const own = ["kube-dns", "kube-dns-vm-2", "kube-dns-vm-2-ipv6"];

test("a Service with a selector is its author's, also over a restart; without one the nodes answer again", async () => {
  await toBecome(own);
  const ports = [{ name: "dns", port: 53, protocol: "UDP" as const, targetPort: 53 }];
  await client.patch(services, ref, "merge", { spec: { selector: { "k8s-app": "kube-dns" }, ports } });
  await toBecome([]);
  await installDns(client, config);
  expect((await client.get(services, ref)).spec.ports).toEqual(ports);
  expect(await slices()).toEqual([]);
  await client.patch(services, ref, "merge", { spec: { selector: null as never } });
  await toBecome(own);
  expect((await client.get(services, ref)).spec.ports?.[0]?.targetPort).toBe(config.dnsPort);
  await client.delete(services, ref);
  for (let i = 0; i < 200 && !(await client.list(services)).items.length; i++) await systemClock.sleep(10);
  expect((await client.get(services, ref)).spec.clusterIP).toBe(config.dnsAddress);
});
