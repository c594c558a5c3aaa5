/** Who answers for names when the server has gone: a real process, on a real file of a store. */
import { Resolver } from "node:dns/promises";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createWorld, silentLogger, systemClock } from "#base";
import { openEmbeddedStore } from "#store";
import { configFor, pathsOf, writeConfig } from "./config.ts";
import { endDnsStandby, endUnreadyStandby, guardDns, isStandbyAnswering } from "./dns-standby.ts";
import { runningInstance } from "./instance.ts";
import { freePort } from "./machine.ts";

const world = createWorld({ log: silentLogger });
const host = "127.0.0.1";

async function until(isSo: () => boolean): Promise<void> {
  const deadlineMs = systemClock.monotonic() + 60_000;
  while (!isSo()) {
    if (systemClock.monotonic() > deadlineMs) throw new Error("it did not come about");
    await systemClock.sleep(20);
  }
}

async function setUp() {
  const dir = await mkdtemp(join(tmpdir(), "knarr-standby-"));
  const paths = pathsOf("", dir);
  onTestFinished(async () => {
    await endDnsStandby(paths, systemClock);
    await rm(dir, { recursive: true, force: true });
  });
  const base = configFor({ name: "a", slot: 0, nodeName: "vm", nodeAddress: host });
  const config = { ...base, dnsPort: await freePort(20_000 + (process.pid % 10_000), host, true) };
  await writeConfig(paths, config);
  return { paths, config };
}

/** A Service as a server leaves it behind; `removed` was there once. */
async function storeOf(path: string): Promise<void> {
  const store = await openEmbeddedStore({ world, path });
  const put = (key: string, object: object) =>
    store.write({ key, expect: undefined, value: (revision) => bytesOf(object, revision) });
  const service = (name: string, clusterIP: string) =>
    put(`/registry/services/default/${name}`, {
      metadata: { name, namespace: "default", uid: name },
      spec: { clusterIP, clusterIPs: [clusterIP], ports: [{ port: 80 }] },
    });
  await put("/registry/namespaces/default", { metadata: { name: "default", uid: "d" } });
  await service("web", "10.96.0.6");
  await service("web", "10.96.0.7");
  await service("removed", "10.96.0.8");
  await store.write({ key: "/registry/services/default/removed", expect: undefined, value: undefined });
  await put("/registry/pods/default/web", { metadata: { name: "web" } });
  await store.close();
}

function bytesOf(object: object, revision: number): Buffer {
  const { metadata, ...rest } = object as { metadata: object };
  return Buffer.from(
    JSON.stringify({ ...rest, metadata: { ...metadata, resourceVersion: String(revision) } }),
  );
}

test("names that the store holds are answered from the server's end until the next one takes over", async () => {
  const { paths, config } = await setUp();
  await storeOf(paths.store);
  const guard = guardDns(world, paths);
  const { pid } = runningInstance(paths.dns)!;
  expect(isStandbyAnswering(paths)).toBe(false);
  await guard.stop();
  await until(() => isStandbyAnswering(paths));
  const resolver = new Resolver({ timeout: 5_000, tries: 3 });
  resolver.setServers([`${host}:${config.dnsPort}`]);
  expect(await resolver.resolve4("web.default.svc.cluster.local")).toEqual(["10.96.0.7"]);
  await expect(resolver.resolve4("removed.default.svc.cluster.local")).rejects.toThrow("ENOTFOUND");
  await endUnreadyStandby(paths, systemClock);
  expect(runningInstance(paths.dns)?.pid).toBe(pid);
  await endDnsStandby(paths, systemClock);
  expect(runningInstance(paths.dns)).toBeUndefined();
});

test("a guard that is not needed any more goes without a word", async () => {
  const { paths } = await setUp();
  const guard = guardDns(world, paths);
  await endUnreadyStandby(paths, systemClock);
  expect(runningInstance(paths.dns)).toBeUndefined();
  await guard.stop();
  await endDnsStandby(paths, systemClock);
});
