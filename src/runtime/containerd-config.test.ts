import { expect, test } from "vitest";
import { type ContainerdSettings, containerdConfig, parseVersion, toToml } from "./containerd-config.ts";

const settings: ContainerdSettings = {
  version: [1, 6],
  rootDir: "/d/root",
  stateDir: "/d/state",
  socketPath: "/d/s.sock",
  sandboxImage: "knarr.local/pause:1",
  cniConfDir: "/d/cni",
  cniBinDirs: ["/usr/lib/cni", "/opt/cni/bin"],
  registryConfigDir: "/d/registries",
  runtimes: ["runc"],
  streamAddress: "127.0.0.1",
  hasAppArmor: false,
  hasHugetlb: false,
};

test("up to 1.7 CRI is one plugin", () => {
  const text = containerdConfig(settings);
  expect(text).toContain("version = 2\n");
  expect(text).toContain('[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "knarr.local/pause:1"');
  expect(text).toContain("disable_apparmor = true");
  expect(text).toContain(
    '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]\nBinaryName = "runc"',
  );
  expect(text).toContain('bin_dir = "/usr/lib/cni"');
  expect(text).not.toContain("io.containerd.cri.v1");
});

test("from 2.0 on it is split", () => {
  const text = containerdConfig({ ...settings, version: [2, 1], hasAppArmor: true });
  expect(text).toContain("version = 3\n");
  expect(text).toContain(
    '[plugins."io.containerd.cri.v1.images".pinned_images]\nsandbox = "knarr.local/pause:1"',
  );
  expect(text).toContain(
    '[plugins."io.containerd.cri.v1.runtime".cni]\nbin_dirs = ["/usr/lib/cni","/opt/cni/bin"]',
  );
  expect(text).toContain("disable_apparmor = false");
  expect(containerdConfig({ ...settings, version: [2, 0] })).toContain('bin_dir = "/usr/lib/cni"');
});

test("no containerd runs without CRI", () => {
  for (const version of [
    [1, 6],
    [2, 1],
  ] as [number, number][])
    expect(containerdConfig({ ...settings, version })).toContain(
      'required_plugins = ["io.containerd.grpc.v1.cri"]',
    );
});

test("where both can run containers, a RuntimeClass may name the other", () => {
  const text = containerdConfig({ ...settings, runtimes: ["crun", "runc"] });
  expect(text).toContain('default_runtime_name = "crun"');
  for (const name of ["crun", "runc"])
    expect(text).toContain(`containerd.runtimes.${name}.options]\nBinaryName = "${name}"`);
});

test("strings are quoted, whatever they hold", () => {
  expect(toToml({ a: 'x"y\n', "b c": { d: true } })).toBe('a = "x\\"y\\n"\n["b c"]\nd = true');
});

test.each([
  ["containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3", [1, 6]],
  ["containerd github.com/containerd/containerd/v2 v2.1.3 abc", [2, 1]],
  ["something else", undefined],
])("the version in %s", (text, version) => {
  expect(parseVersion(text)).toEqual(version);
});
