import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { createWorld, silentLogger } from "#base";
import { pathsOf } from "./config.ts";
import { keepKubeletConfig, kubeletSettings, runtimeSettingsOf } from "./kubelet-settings.ts";
import { applyProcessSettings } from "./process-settings.ts";

const root = mkdtempSync(join(tmpdir(), "knarr-kubelet-settings-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const world = createWorld({ log: silentLogger });
const head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

let count = 0;
function setUp(dropIns: Record<string, string>) {
  const dir = join(root, String(count++));
  const given = join(dir, "given");
  mkdirSync(given, { recursive: true });
  for (const [name, text] of Object.entries(dropIns)) writeFileSync(join(given, name), head + text);
  return { given, paths: pathsOf("test", join(dir, "cluster")) };
}

test("files of a folder say otherwise, the last of them in the end", async () => {
  const { given, paths } = setUp({
    "20-later.conf": "maxPods: 30\nevictionHard: {nodefs.available: 2%}\nregisterWithTaints: []",
    "10-first.conf": "maxPods: 20\npodsPerCore: 5\nrunOnce: null",
    "README.md": "no configuration",
  });
  const file = join(given, "main.yaml");
  const taint = "registerWithTaints: [{key: a, effect: NoSchedule}]";
  writeFileSync(file, `${head}maxPods: 10\nevictionHard: {memory.available: 1Gi}\n${taint}\n`);
  await keepKubeletConfig({ file, dropIns: given }, paths);
  expect(readdirSync(paths.kubeletDropIns)).toEqual(["10-first.conf", "20-later.conf"]);
  expect(await kubeletSettings(world, paths)).toMatchObject({
    maxPods: 30,
    podsPerCore: 5,
    evictionHard: { "memory.available": "1Gi", "nodefs.available": "2%" },
    registerTaints: [],
  });
  // The next folder takes the place of the last.
  const { given: other } = setUp({ "1.conf": "runtimeRequestTimeout: 5s" });
  await keepKubeletConfig({ dropIns: other }, paths);
  expect(await kubeletSettings(world, paths)).toMatchObject({ maxPods: 10 });
  expect(await runtimeSettingsOf(paths)).toEqual({ endpoint: undefined, requestMs: 5000 });
});

test("a folder that cannot be used changes nothing, and says which file", async () => {
  const { given, paths } = setUp({ "1.conf": "maxPods: 7", "2.conf": "maxPods: many" });
  await expect(keepKubeletConfig({ dropIns: given }, paths)).rejects.toThrow(
    `${join(given, "2.conf")}: maxPods must be a whole number`,
  );
  expect(() => readdirSync(paths.kubeletDropIns)).toThrow("ENOENT");
  await expect(keepKubeletConfig({ dropIns: join(given, "none") }, paths)).rejects.toThrow("cannot be read");
  await expect(keepKubeletConfig({ file: join(given, "none") }, paths)).rejects.toThrow("is not there");
  expect((await kubeletSettings(world, paths)).evictionHard).toMatchObject({ "nodefs.available": "5%" });
});

async function sleeper(): Promise<ChildProcess & { pid: number }> {
  const child = spawn("sleep", ["600"]);
  onTestFinished(() => void child.kill());
  await new Promise((resolve) => child.once("spawn", resolve));
  return child as ChildProcess & { pid: number };
}

test("the process has the place in the kernel's order of killing, and the files, that are asked for", async () => {
  const { pid } = await sleeper();
  const facts = () => [
    readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim(),
    /Max open files +(\d+) +(\d+)/.exec(readFileSync(`/proc/${pid}/limits`, "utf8"))?.slice(1, 3),
  ];
  const before = facts();
  await applyProcessSettings({}, world, pid);
  expect(facts()).toEqual(before);
  await applyProcessSettings({ oomScoreAdj: 500, maxOpenFiles: 512 }, world, pid);
  expect(facts()).toEqual(["500", ["512", "512"]]);
});
