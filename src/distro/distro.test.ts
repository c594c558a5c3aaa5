import { X509Certificate } from "node:crypto";
import { createSocket } from "node:dgram";
import { lstat, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parse } from "yaml";
import { createWorld, silentLogger, systemClock, VirtualClock } from "#base";
import {
  type ClusterConfig,
  checkName,
  configFor,
  freeSlot,
  pathsOf,
  readConfig,
  sharesSlot,
  writeConfig,
} from "./config.ts";
import { createCredentials, loadCredentials } from "./credentials.ts";
import { endInstance, recordInstance, runningInstance } from "./instance.ts";
import { editKubeconfig, kubeconfigOf, mergeKubeconfig, unmergeKubeconfig } from "./kubeconfig.ts";
import { freePort, machineName } from "./machine.ts";

const config = configFor({ name: "a", slot: 0, nodeName: "node-a", nodeAddress: "192.0.2.2" });
const world = createWorld({ log: silentLogger });
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "knarr-distro-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("names are DNS labels", () => {
  for (const name of ["knarr", "a", "my-cluster-2"]) expect(() => checkName(name)).not.toThrow();
  for (const name of ["", "A", "a_b", "-a", "a-", "a".repeat(33), "../x"])
    expect(() => checkName(name)).toThrow("cannot be");
});

test("property: clusters of different slots share no address and no port", () => {
  const slot = fc.integer({ min: 0, max: 49 });
  fc.assert(
    fc.property(slot, slot, (a, b) => {
      fc.pre(a !== b);
      const values = (s: number) => {
        const c = configFor({ name: "x", slot: s, nodeName: "n", nodeAddress: "192.0.2.2" });
        return [c.clusterCidr, c.serviceCidr, c.apiPort, c.kubeletPort, c.dnsPort].map(String);
      };
      expect(values(a).filter((value) => values(b).includes(value))).toEqual([]);
    }),
  );
});

test("a slot is shared with another cluster, never with itself", () => {
  const other = { ...config, name: "b" };
  expect(sharesSlot(config, [config])).toBe(false);
  expect(sharesSlot(config, [config, other])).toBe(true);
  expect(sharesSlot(config, [{ ...other, slot: config.slot + 1 }])).toBe(false);
});

test("the lowest free slot is taken", () => {
  const taken = (slots: number[]) => slots.map((slot) => ({ ...config, slot }));
  expect(freeSlot(taken([]))).toBe(0);
  expect(freeSlot(taken([0, 1, 3]))).toBe(2);
  expect(() => freeSlot(taken(Array.from({ length: 50 }, (_, i) => i)))).toThrow("50 clusters");
});

test("the configuration is read as it was written, and a damaged one says so", async () => {
  const paths = pathsOf("a", folder);
  expect(readConfig(paths)).toBeUndefined();
  await writeConfig(paths, config);
  expect(readConfig(paths)).toEqual(config satisfies ClusterConfig);
  await writeFile(paths.config, "{");
  expect(() => readConfig(paths)).toThrow("is not valid JSON");
});

test("certificates name who they are for and are signed by the cluster's authority", async () => {
  const credentials = await createCredentials(world, config);
  const ca = new X509Certificate(credentials.ca.cert);
  const server = new X509Certificate(credentials.server.cert);
  expect(ca.ca).toBe(true);
  expect(server.verify(ca.publicKey)).toBe(true);
  expect(server.checkIP("192.0.2.2")).toBe("192.0.2.2");
  expect(server.checkIP(config.serviceAddress)).toBe(config.serviceAddress);
  expect(server.checkHost("kubernetes.default.svc")).toBe("kubernetes.default.svc");
  expect(new X509Certificate(credentials.admin.cert).subject).toBe("O=system:masters\nCN=kubernetes-admin");
  expect(new X509Certificate(credentials.node.cert).subject).toBe("O=system:nodes\nCN=system:node:node-a");
});

test("stored certificates stay, but for those that are old or for another address", async () => {
  const first = await loadCredentials(world, config, folder);
  expect(await loadCredentials(world, config, folder)).toEqual(first);
  expect((await stat(join(folder, "ca.key"))).mode & 0o777).toBe(0o600);
  const moved = await loadCredentials(world, { ...config, nodeAddress: "192.0.2.9" }, folder);
  expect(moved.ca).toEqual(first.ca);
  expect(moved.admin).toEqual(first.admin);
  expect(new X509Certificate(moved.server.cert).checkIP("192.0.2.9")).toBe("192.0.2.9");
  const later = createWorld({
    log: silentLogger,
    clock: new VirtualClock(systemClock.now() + 300 * 24 * 3600 * 1000),
  });
  const renewed = await loadCredentials(later, config, folder);
  expect(renewed.admin).not.toEqual(first.admin);
  expect(renewed.serviceAccountKey).toEqual(first.serviceAccountKey);
  expect(new X509Certificate(renewed.admin.cert).verify(new X509Certificate(first.ca.cert).publicKey)).toBe(
    true,
  );
});

const own = kubeconfigOf({
  name: "a",
  url: "https://127.0.0.1:6443",
  caCert: "CA",
  client: { cert: "C", key: "K" },
});

test("a kubeconfig joins the user's without touching the rest, and leaves again", () => {
  const theirs = `# my clusters\napiVersion: v1\nkind: Config\nclusters:\n- name: work\n  cluster: {server: https://work}\nusers: []\ncontexts: []\ncurrent-context: work\n`;
  const merged = mergeKubeconfig(mergeKubeconfig(theirs, own), own);
  expect(merged).toContain("# my clusters");
  const value = parse(merged);
  expect(value.clusters.map((c: { name: string }) => c.name)).toEqual(["work", "knarr-a"]);
  expect(value["current-context"]).toBe("knarr-a");
  const left = parse(unmergeKubeconfig(merged, "a")!);
  expect(left.clusters.map((c: { name: string }) => c.name)).toEqual(["work"]);
  expect(left["current-context"]).toBe("");
  expect(unmergeKubeconfig(theirs, "a")).toBeUndefined();
});

test("the kubeconfig file is private, and one that is no YAML is left alone", async () => {
  const file = join(folder, "deep", "config");
  await editKubeconfig(file, (existing) => mergeKubeconfig(existing, own));
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(parse(await readFile(file, "utf8"))["current-context"]).toBe("knarr-a");
  const link = join(folder, "link");
  await symlink(file, link);
  await editKubeconfig(link, (existing) => unmergeKubeconfig(existing, "a"));
  expect((await lstat(link)).isSymbolicLink()).toBe(true);
  expect(parse(await readFile(file, "utf8"))["current-context"]).toBe("");
  await writeFile(file, "a: [");
  await expect(editKubeconfig(file, (existing) => mergeKubeconfig(existing, own))).rejects.toThrow(
    "cannot be changed",
  );
  expect(await readFile(file, "utf8")).toBe("a: [");
});

test("a pid file names one process for good", async () => {
  const file = join(folder, "pid");
  expect(runningInstance(file)).toBeUndefined();
  recordInstance(file, false);
  expect(runningInstance(file)).toMatchObject({ pid: process.pid, started: false });
  recordInstance(file, true);
  expect(runningInstance(file)).toMatchObject({ pid: process.pid, started: true });
  await writeFile(file, JSON.stringify({ pid: process.pid, startTime: "1" }));
  expect(runningInstance(file)).toBeUndefined();
  await endInstance(systemClock, file, 10);
});

test("the machine has a node name and free ports", async () => {
  expect(machineName()).toMatch(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/);
  expect(await freePort(34567, "127.0.0.1")).toBeGreaterThanOrEqual(34567);
});

test("a port that is taken for UDP alone is taken for who needs both", async () => {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", () => resolve()));
  const { port } = socket.address();
  expect(await freePort(port, "127.0.0.1", true)).toBeGreaterThan(port);
  await new Promise<void>((resolve) => socket.close(() => resolve()));
});
