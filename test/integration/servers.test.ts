/** Several API servers on one store, with sockets: the kubernetes Service leads to those that are there. */
import { generateKeyPairSync } from "node:crypto";
import { expect, it } from "vitest";
import { endpointSlices, endpoints, formatMicroTime, leases } from "#api";
import { startApiServer } from "#apiserver";
import { createWorld, seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient } from "#client";
import { openEmbeddedStore } from "#store";
import { createCredentials } from "../../src/distro/credentials.ts";

const kubernetes = { namespace: "default", name: "kubernetes" };
const namespace = "kube-system";

async function startServers() {
  const clock = new VirtualClock();
  const world = createWorld({ log: silentLogger, clock, random: seededRandom(1) });
  const store = await openEmbeddedStore({ memory: true, world });
  const names = { nodeName: "localhost", nodeAddress: "127.0.0.1", serviceAddress: "10.96.0.1" };
  const credentials = await createCredentials(world, names);
  const pem = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const start = () =>
    startApiServer({
      ...{ world, store, tls: credentials.server, clientCa: credentials.ca.cert },
      listen: { host: "127.0.0.1", port: 0 },
      serviceCidrs: ["10.96.0.0/16"],
      nodePortRange: { from: 30_000, to: 32_767 },
      advertiseAddress: "127.0.0.1",
      serviceAccountKey: { cert: pem.publicKey, key: pem.privateKey },
      issuer: "https://kubernetes.default.svc",
      tokens: [],
      kubeletClient: { ...credentials.kubeletClient, ca: credentials.ca.cert },
    });
  return { clock, store, start };
}

it("the kubernetes Service leads to every server, and to none that is gone", async () => {
  const { clock, store, start } = await startServers();
  const first = await start();
  const client = createClient(first.transport({ username: "admin", groups: ["system:masters"] }));
  const ports = async () => {
    const { subsets = [] } = await client.get(endpoints, kubernetes);
    return subsets.flatMap((subset) => (subset.ports ?? []).map(({ port }) => port)).sort();
  };
  const settled = async (ms: number) => {
    for (let left = ms; left > 0; left -= 5_000) await clock.advance(5_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  expect(await ports()).toEqual([first.port]);

  const second = await start();
  await settled(20_000);
  expect(await ports()).toEqual([first.port, second.port].sort());
  const { metadata } = await client.get(endpoints, kubernetes);
  await settled(120_000);
  // Two that agree do not correct each other.
  expect((await client.get(endpoints, kubernetes)).metadata.resourceVersion).toBe(metadata.resourceVersion);

  // As one that was killed a moment ago left it.
  await client.create(leases, {
    metadata: {
      namespace,
      name: "apiserver-gone",
      labels: { "apiserver.kubernetes.io/identity": "kube-apiserver" },
      annotations: { "knarr.dev/advertised-address": "192.0.2.7:6443" },
    },
    spec: { holderIdentity: "gone", leaseDurationSeconds: 3600, renewTime: formatMicroTime(clock.now()) },
  });
  await settled(10_000);
  expect(await ports()).toEqual([first.port, second.port, 6443].sort());
  await settled(40_000);
  expect(await ports()).toEqual([first.port, second.port].sort());
  await settled(3_700_000);
  const left = (await client.list(leases, { namespace })).items.map(({ metadata: { name } }) => name);
  expect(left).not.toContain("apiserver-gone");
  expect(left.filter((name) => name.startsWith("apiserver-"))).toHaveLength(2);

  await second.stop();
  expect(await ports()).toEqual([first.port]);
  const slice = await client.get(endpointSlices, kubernetes);
  expect([slice.endpoints?.map(({ addresses }) => addresses), slice.ports?.[0]?.port]).toEqual([
    [["127.0.0.1"]],
    first.port,
  ]);
  await first.stop();
  await store.close();
}, 60_000);
