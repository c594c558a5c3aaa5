/** A node's certificates over a life that is short: a real server signs them, and takes the new ones. */
import { X509Certificate } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { isStatus, nodes } from "#api";
import { createWorld, silentLogger, systemClock, type World } from "#base";
import { createClient, httpsTransport } from "#client";
import { createAuthority } from "./certificates.ts";
import { configFor, pathsOf } from "./config.ts";
import { joinTokenOf } from "./join-token.ts";
import { freePort } from "./machine.ts";
import { loadMembership, type Membership, renewMembership } from "./membership.ts";
import { lifeOf } from "./renewal.ts";
import { startServer } from "./server.ts";

const world = createWorld({ log: silentLogger });
const hourMs = 3600 * 1000;

/** This machine's time, so much later: TLS itself goes by the real one. */
function worldLater(ms: number): World {
  const clock = Object.create(systemClock, { now: { value: () => systemClock.now() + ms } });
  return createWorld({ log: silentLogger, clock });
}

async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "knarr-renewal-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

test("a certificate is due while a third of its life is left, however long that is", async () => {
  const authority = await createAuthority(world, "test");
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 60, max: 3650 * 24 * 3600 }), async (seconds) => {
      const life = seconds * 1000;
      const { cert } = await authority.issue({ commonName: "a", use: "client", lifeMs: life });
      const { renewAtMs, endMs } = lifeOf(cert);
      expect(Math.abs(endMs - renewAtMs - life / 3)).toBeLessThan(2_000);
    }),
    { numRuns: 20 },
  );
});

async function startCluster() {
  const paths = pathsOf("", await folder());
  const base = configFor({ name: "a", slot: 0, nodeName: "vm", nodeAddress: "127.0.0.1", simulatedNodes: 1 });
  const apiPort = await freePort(30_000 + (process.pid % 10_000), "127.0.0.1");
  const running = await startServer({
    world,
    config: { ...base, apiPort, signingDurationMs: 2 * hourMs },
    paths,
  });
  onTestFinished(() => running.stop());
  return { server: `https://127.0.0.1:${apiPort}`, token: await joinTokenOf(world, paths) };
}

test("a node asks for new certificates before its own run out, and the server takes them", async () => {
  const { server, token } = await startCluster();
  const paths = pathsOf("agent", await folder());
  const asked = { world, server, token, nodeName: "node-b", nodeAddress: "127.0.0.1", paths };
  const first = await loadMembership(asked);
  const serial = ({ credentials }: Membership) => new X509Certificate(credentials.node.cert).serialNumber;
  expect(await renewMembership(asked)).toBe(false);
  expect(serial(await loadMembership(asked))).toBe(serial(first));

  // An hour and a half of two have passed for the node.
  expect(await renewMembership({ ...asked, world: worldLater(1.5 * hourMs) })).toBe(true);
  const second = await loadMembership(asked);
  expect(serial(second)).not.toBe(serial(first));
  expect(second.config.podCidr).toBe(first.config.podCidr);
  expect(lifeOf(second.credentials.node.cert).endMs - systemClock.now()).toBeLessThanOrEqual(2 * hourMs);

  const { node, ca } = second.credentials;
  const transport = httpsTransport({ url: server, ca: ca.cert, ...node, clock: systemClock });
  onTestFinished(() => transport.close());
  const client = createClient(transport);
  expect((await client.get(nodes, { name: "node-b" })).spec.podCIDR).toBe(first.config.podCidr);
  const others = await client.delete(nodes, { name: "vm" }).catch((error: unknown) => error);
  expect(isStatus(others, "Forbidden")).toBe(true);
});

test("a server that does not answer leaves the node what it has", async () => {
  const { server, token } = await startCluster();
  const paths = pathsOf("agent", await folder());
  const asked = { world, server, token, nodeName: "node-b", nodeAddress: "127.0.0.1", paths };
  const { credentials } = await loadMembership(asked);
  const away = `https://127.0.0.1:${await freePort(45_000, "127.0.0.1")}`;
  expect(await renewMembership({ ...asked, server: away, world: worldLater(1.5 * hourMs) })).toBe(false);
  expect((await loadMembership(asked)).credentials).toEqual(credentials);
});
