import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { lstat, mkdir, readlink, rm, symlink } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { corev1 } from "#api";
import { seededRandom } from "#base";
import {
  type HostPathType,
  type MountableVolume,
  type PersistentSource,
  VolumeError,
  type VolumeHost,
  type VolumeSources,
} from "#contracts";
import { makeContainer, makePod } from "../testing/pods.ts";
import { volumeContract } from "./contract.suite.ts";
import { checkPath } from "./files.ts";
import { heldPath } from "./held.ts";
import { machineVolumeHost } from "./host.ts";
import { giveToGroup } from "./ownership.ts";
import { pluginFor, refusalOf, volumePlugins } from "./registry.ts";
import { holdingSubPath } from "./sub-paths.ts";
import { ownWithin, toUsual } from "./usual-folder.ts";

const root = mkdtempSync(join(tmpdir(), "knarr-volumes-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The real machine, but for mounts: those need rights that a test may not have. */
function testHost(): VolumeHost {
  const mounted = new Set<string>();
  const machine = machineVolumeHost(seededRandom(1));
  return {
    ...machine,
    mountTmpfs: async (path) => void mounted.add(path),
    isMounted: async (path) => mounted.has(path),
    unmount: async (path) => void mounted.delete(path),
    mount: async (_source, path) => void mounted.add(path),
    hasProgram: () => true,
    run: async () => "",
    format: async () => {},
    pathType: async (path) => (path.startsWith("/dev/disk/") ? "blockDevice" : machine.pathType(path)),
  };
}

const meta = { name: "facts", namespace: "default", uid: "u", resourceVersion: "1", creationTimestamp: "" };
const configMap: corev1.ConfigMap = {
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: meta,
  data: { colour: "blue" },
  binaryData: { raw: Buffer.from([0, 255]).toString("base64") },
};
const secret: corev1.Secret = { apiVersion: "v1", kind: "Secret", metadata: meta, data: { pw: "aGlkZGVu" } };
const empty: VolumeSources = { configMaps: new Map(), secrets: new Map(), tokens: [] };
const full: VolumeSources = {
  configMaps: new Map([["facts", configMap]]),
  secrets: new Map([["facts", secret]]),
  tokens: ["token"],
};

const cases: Record<string, { volume: MountableVolume; sources: VolumeSources }> = {
  local: { volume: { name: "v", local: { path: root } }, sources: empty },
  iscsi: {
    volume: { name: "v", iscsi: { targetPortal: "192.0.2.1", iqn: "iqn.2026-11.dev.knarr:disk", lun: 0 } },
    sources: empty,
  },
  nfs: { volume: { name: "v", nfs: { server: "files", path: "/export" } }, sources: empty },
  emptyDir: { volume: { name: "v", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } }, sources: empty },
  hostPath: {
    volume: { name: "v", hostPath: { path: join(root, "host"), type: "DirectoryOrCreate" } },
    sources: empty,
  },
  configMap: { volume: { name: "v", configMap: { name: "facts" } }, sources: { ...full, tokens: [] } },
  secret: { volume: { name: "v", secret: { secretName: "facts" } }, sources: { ...full, tokens: [] } },
  downwardAPI: {
    volume: {
      name: "v",
      downwardAPI: { items: [{ path: "a/name", fieldRef: { fieldPath: "metadata.name" } }] },
    },
    sources: empty,
  },
  projected: {
    volume: {
      name: "v",
      projected: {
        sources: [
          { configMap: { name: "facts", items: [{ key: "colour", path: "colour" }] } },
          { secret: { name: "facts" } },
          { serviceAccountToken: { path: "token" } },
        ],
      },
    },
    sources: full,
  },
};

describe.each(volumePlugins.map((p) => [p.name, p] as const))("volume plugin %s", (name, plugin) => {
  volumeContract({ plugin, ...cases[name]! }, () => ({ host: testHost(), root: join(root, name) }));

  test("is chosen for its volumes", () => {
    expect(pluginFor(volumePlugins, cases[name]!.volume)).toBe(plugin);
  });
});

test("a volume without a source is an empty folder; an unknown one has no plugin", () => {
  expect(pluginFor(volumePlugins, { name: "v" })?.name).toBe("emptyDir");
  const disk = { name: "v", cinder: { volumeID: "x" } };
  expect(pluginFor(volumePlugins, disk)).toBeUndefined();
  expect(refusalOf(disk)).toBe(
    "no volume plugin matched: this node cannot mount volumes of the kind cinder; use the CSI driver cinder.csi.openstack.org instead",
  );
  expect(refusalOf({ name: "v", fc: {} })).toContain("of the kind fc; use a CSI driver instead");
});

const context = { pod: makePod(), nodeName: "n1", allocatable: {}, dataDir: "/data", logDir: "/logs" };
const planOf = (volume: MountableVolume, sources = full) =>
  pluginFor(volumePlugins, volume)!.plan(volume, sources, context);

test.each([
  [{ name: "v", configMap: { name: "none" } }, 'configmap "none" not found'],
  [{ name: "v", secret: { secretName: "none" } }, 'secret "none" not found'],
  [
    { name: "v", configMap: { name: "facts", items: [{ key: "none", path: "x" }] } },
    "configmap references non-existent config key: none",
  ],
  [{ name: "v", configMap: { name: "facts", items: [{ key: "colour", path: "../x" }] } }, "invalid path"],
  [{ name: "v", hostPath: { path: "../etc" } }, "invalid host path"],
  [{ name: "v", emptyDir: { medium: "Gold" } }, "unknown storage medium"],
])("%o is refused with a reason", (volume, reason) => {
  expect(() => planOf(volume)).toThrow(VolumeError);
  expect(() => planOf(volume)).toThrow(reason);
});

test("whoever asks for the kubelet's folder at its usual place is given this node's", () => {
  const planned = (path: string) => planOf({ name: "v", hostPath: { path } });
  expect(planned("/var/lib/kubelet")).toMatchObject({ path: "/data" });
  expect(planned("/var/lib/kubelet/plugins")).toMatchObject({ path: "/data/plugins" });
  expect(planned("/var/log/pods")).toMatchObject({ path: "/logs/pods" });
  expect(planned("/var/log/containers/")).toMatchObject({ path: "/logs/containers/" });
  for (const path of ["/var/lib/kubelets", "/var/lib", "/var/log", "/var/log/podsx"])
    expect(planned(path)).toMatchObject({ path });
  expect(toUsual("/data/pods/a", "/data")).toBe("/var/lib/kubelet/pods/a");
  expect(toUsual("/database", "/data")).toBe("/database");
});

test("whoever asks for all logs of the machine finds this node's pods among them", () => {
  const own = { dataDir: "/data", logDir: "/logs" };
  const folders = (within: string) => [
    { at: "/var/log/pods", within: `${within}pods`, path: "/logs/pods" },
    { at: "/var/log/containers", within: `${within}containers`, path: "/logs/containers" },
  ];
  expect(ownWithin("/var/log", own)).toEqual(folders(""));
  expect(ownWithin("/var/log/", own)).toEqual(folders(""));
  expect(ownWithin("/var", own)).toEqual(folders("log/"));
  for (const path of ["/", "/var/log/pods", "/var/logs", "/var/log/nginx"])
    expect(ownWithin(path, own)).toEqual([]);
});

test("a disk of the node is a device, or is formatted and mounted; what is not there is nobody's to make", async () => {
  const mounts: unknown[] = [];
  const types: Record<string, HostPathType> = { "/dev/disk": "blockDevice", "/folder": "directory" };
  const host: VolumeHost = {
    ...testHost(),
    pathType: async (path) => types[path] ?? "absent",
    ensureDirectory: async () => {},
    format: async (...args) => void mounts.push(args),
    mount: async (...args) => void mounts.push(args),
  };
  const persistent = (spec: object): PersistentSource => ({ name: "pv", spec, claim: {} as never });
  const mount = (path: string, spec: object) => {
    const volume = { name: "v", local: { path }, persistent: persistent(spec) };
    return pluginFor(volumePlugins, volume)!.mount({ plan: planOf(volume), dir: "/pods/v" }, host);
  };
  expect(await mount("/folder", {})).toBe("/folder");
  expect(await mount("/dev/disk", { volumeMode: "Block" })).toBe("/dev/disk");
  expect(mounts).toEqual([]);
  expect(await mount("/dev/disk", { mountOptions: ["noatime"] })).toBe("/pods/v");
  expect(mounts).toEqual([
    ["/dev/disk", "ext4"],
    ["/dev/disk", "/pods/v", "ext4", ["noatime"]],
  ]);
  await expect(mount("/none", {})).rejects.toThrow('path "/none" does not exist');
  await expect(mount("/folder", { volumeMode: "Block" })).rejects.toThrow("is not a block device");
});

test("what a pod's group has been given once is not given again, as long as its root is the group's", async () => {
  const given: unknown[] = [];
  const host = { ...testHost(), setGroup: async (...args: unknown[]) => void given.push(args) };
  const folder = mkdtempSync(join(root, "local-"));
  const volume = { name: "v", local: { path: folder } };
  const plugin = pluginFor(volumePlugins, volume)!;
  const dir = join(root, "pod-of-group");
  const mount = (more: object = {}) => plugin.mount({ plan: planOf(volume), dir, fsGroup: 7, ...more }, host);
  await mount();
  await mount();
  await plugin.unmount(dir, host);
  await mount({ fsGroupChangePolicy: "OnRootMismatch" });
  expect(given).toEqual([
    [folder, 7, false],
    [folder, 7, true],
    [folder, 7, true],
  ]);
});

test("where the program that mounts is missing, the event names its package", async () => {
  const volume = { name: "v", nfs: { server: "fd00::1", path: "/export", readOnly: true } };
  const plan = planOf(volume);
  expect(plan).toMatchObject({ source: "[fd00::1]:/export", options: ["ro"] });
  const host = { ...testHost(), hasProgram: () => false };
  await expect(pluginFor(volumePlugins, volume)!.mount({ plan, dir: "/pods/v" }, host)).rejects.toThrow(
    "mounting nfs needs the program mount.nfs on the node: apt-get install nfs-common",
  );
});

test.each([
  ["readable by all", {}, [{}], 0o644, undefined],
  ["the one user's", {}, [{ runAsUser: 7 }, { runAsUser: 7 }], 0o600, 7],
  ["the pod's user's", { runAsUser: 8 }, [{}], 0o600, 8],
  ["everybody's where users differ", { runAsUser: 8 }, [{}, { runAsUser: 7 }], 0o644, undefined],
  ["the group's", { fsGroup: 9 }, [{}], 0o600, undefined],
])("a token is %s", (_, securityContext, containers, mode, owner) => {
  const pod = makePod({
    securityContext,
    containers: containers.map((c, i) => makeContainer(`c${i}`, { securityContext: c })),
  });
  const volume = { name: "v", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } };
  const plan = pluginFor(volumePlugins, volume)!.plan(volume, full, { ...context, pod });
  expect(plan).toMatchObject({ files: [{ mode, ...(owner === undefined ? {} : { owner }) }] });
  expect("owner" in (plan as { files: object[] }).files[0]!).toBe(owner !== undefined);
});

test("a folder in memory is as large as its limit, its pod's or the node's, whichever is least", () => {
  const sized = (sizeLimit: string | undefined, limit: string | undefined, memory: string | undefined) => {
    const resources = limit ? { limits: { memory: limit } } : {};
    const pod = makePod({ containers: [makeContainer("main", { resources })] });
    const volume = { name: "v", emptyDir: { medium: "Memory", ...(sizeLimit ? { sizeLimit } : {}) } };
    return pluginFor(volumePlugins, volume)!.plan(volume, empty, {
      ...context,
      pod,
      allocatable: memory ? { memory } : {},
    });
  };
  expect(sized("1Mi", "2Mi", "1Gi")).toMatchObject({ sizeLimitBytes: 1024 ** 2, mode: 0o1777 });
  expect(sized("4Mi", "2Mi", "1Gi")).toMatchObject({ sizeLimitBytes: 2 * 1024 ** 2 });
  expect(sized(undefined, undefined, "1Gi")).toMatchObject({ sizeLimitBytes: 1024 ** 3 });
  expect(sized(undefined, undefined, undefined)).not.toHaveProperty("sizeLimitBytes");
});

test("a folder of huge pages has the size of page that the pod asks for", async () => {
  const planned = (medium: string, ...sizes: string[]) => {
    const limits = Object.fromEntries(sizes.map((size) => [`hugepages-${size}`, "1Gi"]));
    const pod = makePod({ containers: [makeContainer("main", { resources: { limits } })] });
    const volume = { name: "v", emptyDir: { medium } };
    return pluginFor(volumePlugins, volume)!.plan(volume, empty, { ...context, pod });
  };
  expect(planned("HugePages", "2Mi")).toEqual({ kind: "hugePages", pageSize: "2Mi", mode: 0o777 });
  expect(planned("HugePages-1Gi", "2Mi", "1Gi")).toMatchObject({ pageSize: "1Gi" });
  expect(() => planned("HugePages", "2Mi", "1Gi")).toThrow(
    "medium: HugePages can't be used if container requests multiple huge page sizes",
  );
  expect(() => planned("HugePages-2Mi", "1Gi")).toThrow(
    "medium HugePages-2Mi: hugePages storage requested, but there is no resource request for huge pages",
  );
  const mounts: unknown[] = [];
  const host = { ...testHost(), mount: async (...args: unknown[]) => void mounts.push(args) };
  const dir = join(root, "huge");
  const request = { plan: planned("HugePages", "2Mi"), dir };
  await pluginFor(volumePlugins, { name: "v" })!.mount(request, host);
  expect(mounts).toEqual([["nodev", dir, "hugetlbfs", ["pagesize=2Mi", "mode=777"]]]);
});

test("what is optional may be missing", () => {
  expect(planOf({ name: "v", configMap: { name: "none", optional: true } })).toMatchObject({ files: [] });
});

test.each(["a", "a/b", ".a", "a..b"])("the path %s stays inside", (path) => {
  expect(checkPath(path)).toBe(path);
});
test.each(["", "/a", "../a", "a/../b", "..data", "a\0"])("the path %j is refused", (path) => {
  expect(() => checkPath(path)).toThrow(VolumeError);
});

test("files are replaced together, keep their modes, and old ones go", async () => {
  const host = machineVolumeHost(seededRandom(2));
  const dir = join(root, "atomic");
  mkdirSync(dir);
  const file = (path: string, text: string, mode = 0o644) => ({ path, content: Buffer.from(text), mode });
  expect(await host.writeFiles(dir, [file("a", "1"), file("b/c", "2", 0o400)], undefined)).toBe(true);
  const first = readdirSync(dir);
  expect(await host.writeFiles(dir, [file("a", "1"), file("b/c", "2", 0o400)], undefined)).toBe(false);
  expect(readdirSync(dir)).toEqual(first);
  expect(readFileSync(join(dir, "b/c"), "utf8")).toBe("2");
  expect(statSync(join(dir, "b/c")).mode & 0o777).toBe(0o400);
  expect(await host.writeFiles(dir, [file("a", "changed")], undefined)).toBe(true);
  expect(readFileSync(join(dir, "a"), "utf8")).toBe("changed");
  expect(readdirSync(dir).filter((n) => !n.startsWith(".."))).toEqual(["a"]);
  expect(readdirSync(dir).filter((n) => n.startsWith("..")).length).toBe(2);
  const { gid = 0 } = userInfo();
  expect(await host.writeFiles(dir, [file("a", "group", 0o400)], gid)).toBe(true);
  expect(statSync(join(dir, "a")).mode & 0o777).toBe(0o440);
  expect(await host.writeFiles(dir, [file("a", "group", 0o400)], gid)).toBe(false);
});

test("folders of files are the group's too, and open to everybody without one", async () => {
  const host = machineVolumeHost(seededRandom(2));
  const dir = join(root, "folders");
  mkdirSync(dir);
  chmodSync(dir, 0o777);
  const { gid = 0 } = userInfo();
  await host.writeFiles(dir, [{ path: "a/b/c", content: Buffer.from("1"), mode: 0o644 }], gid);
  const modes = [".", "..data/", "..data/a", "..data/a/b"].map(
    (path) => statSync(join(dir, path)).mode & 0o7777,
  );
  expect(modes).toEqual([0o2777, 0o2755, 0o2755, 0o2755]);
  const plugin = pluginFor(volumePlugins, { name: "v", configMap: { name: "facts" } })!;
  const open = join(root, "open-to-all");
  await plugin.mount({ plan: { kind: "files", medium: "disk", files: [] }, dir: open }, host);
  expect(statSync(open).mode & 0o7777).toBe(0o777);
});

test("a sub-path is made, and never leads out of its volume", async () => {
  const dir = join(root, "sub");
  mkdirSync(join(dir, "in"), { recursive: true });
  symlinkSync("/etc", join(dir, "out"));
  symlinkSync("in", join(dir, "alias"));
  writeFileSync(join(dir, "file"), "");
  const resolve = (subPath: string) => holdingSubPath(dir, subPath, (file) => readlink(heldPath(file)));
  expect(await resolve("new/deep")).toBe(join(dir, "new/deep"));
  chmodSync(dir, 0o2777);
  expect(statSync(await resolve("open")).mode & 0o7777).toBe(0o2777);
  expect(await resolve("alias")).toBe(join(dir, "in"));
  expect(await resolve("alias/new")).toBe(join(dir, "in/new"));
  expect(await resolve("file")).toBe(join(dir, "file"));
  expect(await resolve("./")).toBe(dir);
  for (const bad of ["../x", "out", "out/passwd", "/etc", "in/../../x", "file/x"]) {
    await expect(resolve(bad)).rejects.toThrow(VolumeError);
  }
});

test("a sub-path never leads out of its volume while somebody swaps its folder for a link", async () => {
  const dir = mkdtempSync(join(root, "race-"));
  const outside = mkdtempSync(join(root, "outside-"));
  let isOver = false;
  const swapping = (async () => {
    for (let i = 0; !isOver; i++) {
      await rm(join(dir, "a"), { recursive: true, force: true }).catch(() => {});
      await (i % 2 ? symlink(outside, join(dir, "a")) : mkdir(join(dir, "a"))).catch(() => {});
      for (let pause = 0; pause < i % 20; pause++) await lstat(dir);
    }
  })();
  let inside = 0;
  for (let i = 0; i < 300; i++) {
    const found = await holdingSubPath(dir, "a/b", (file) => readlink(heldPath(file))).catch((error) => {
      expect(error).toBeInstanceOf(VolumeError);
    });
    if (!found) continue;
    inside++;
    expect(found).toMatch(new RegExp(`^${dir}/a/b`));
  }
  isOver = true;
  await swapping;
  expect(readdirSync(outside)).toEqual([]);
  expect(inside).toBeGreaterThan(0);
});

test("a group is given what is in a volume, and nothing that its links lead to", async () => {
  const dir = mkdtempSync(join(root, "group-"));
  const outside = mkdtempSync(join(root, "outside-"));
  const { gid } = userInfo();
  writeFileSync(join(dir, "file"), "", { mode: 0o600 });
  chmodSync(outside, 0o700);
  symlinkSync(outside, join(dir, "link"));
  await giveToGroup(dir, gid);
  expect(statSync(dir).mode & 0o7777).toBe(0o2770);
  expect(statSync(join(dir, "file")).mode & 0o777).toBe(0o660);
  expect(statSync(outside).mode & 0o7777).toBe(0o700);
  chmodSync(join(dir, "file"), 0o600);
  await giveToGroup(dir, gid, true);
  expect(statSync(join(dir, "file")).mode & 0o777).toBe(0o600);
});

test("a link that leads out of a volume of files is replaced, and nothing it leads to is touched", async () => {
  const dir = mkdtempSync(join(root, "led-"));
  const outside = mkdtempSync(join(root, "outside-"));
  writeFileSync(join(outside, "kept"), "x");
  const host = testHost();
  const file = (text: string) => [{ path: "a", content: Buffer.from(text), mode: 0o644 }];
  await host.writeFiles(dir, file("one"), undefined);
  rmSync(join(dir, "..data"));
  symlinkSync(`../${basename(outside)}`, join(dir, "..data"));
  await host.writeFiles(dir, file("two"), undefined);
  expect(readFileSync(join(outside, "kept"), "utf8")).toBe("x");
  expect(readFileSync(join(dir, "a"), "utf8")).toBe("two");
});
