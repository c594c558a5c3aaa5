import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { corev1 } from "#api";
import { runOk, seededRandom } from "#base";
import type { PodContext } from "./pod-context.ts";
import { containerMounts, isRecursive, terminationMessage } from "./pod-files.ts";
import { makeContainer, makePod, showContainer } from "./testing/pods.ts";

async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "knarr-pod-files-"));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
}

test("volumes that are written from the API cannot be written by containers", async () => {
  const dir = await folder();
  const volumes: corev1.Volume[] = [
    { name: "configMap", configMap: { name: "a" } },
    { name: "secret", secret: { secretName: "a" } },
    { name: "downwardAPI", downwardAPI: {} },
    { name: "projected", projected: {} },
    { name: "emptyDir", emptyDir: {} },
    { name: "hostPath", hostPath: { path: dir } },
  ];
  const volumeMounts = volumes.map(({ name }) => ({ name, mountPath: `/${name}` }));
  const container = makeContainer("main", {
    volumeMounts: [...volumeMounts, { name: "emptyDir", mountPath: "/asked", readOnly: true }],
  });
  const context = {
    paths: { podDir: () => dir },
    world: { random: seededRandom(1) },
    handlers: { supports: () => false },
  } as unknown as PodContext;
  const mounts = await containerMounts(context, {
    pod: makePod({ volumes, containers: [container] }),
    container,
    volumes: new Map(volumes.map(({ name }) => [name, dir])),
    environment: new Map(),
    podIps: [],
    clusterDomain: "cluster.local",
    handler: "",
  });
  const readonly = mounts.filter((m) => m.readonly).map((m) => m.containerPath);
  expect(readonly).toEqual(["/configMap", "/secret", "/downwardAPI", "/projected", "/asked"]);
});

test("a part of a volume that lacks a variable is refused, not the whole given", async () => {
  const dir = await folder();
  const container = makeContainer("main", {
    volumeMounts: [{ name: "v", mountPath: "/v", subPathExpr: "$(NONE)/$(EMPTY)/$$(X)/$(THERE)" }],
  });
  const context = { handlers: { supports: () => false } } as unknown as PodContext;
  const mounts = containerMounts(context, {
    pod: makePod({ containers: [container] }),
    container,
    volumes: new Map([["v", dir]]),
    environment: new Map([
      ["EMPTY", ""],
      ["THERE", "x"],
    ]),
    podIps: [],
    clusterDomain: "cluster.local",
    handler: "",
  });
  await expect(mounts).rejects.toThrow("missing value for EMPTY, NONE");
});

test("recursively read-only is what is read-only, where the runtime can", () => {
  const mount = (recursiveReadOnly: string, readOnly = true) => ({
    name: "v",
    mountPath: "/v",
    readOnly,
    recursiveReadOnly,
  });
  expect(isRecursive(mount("IfPossible"), true)).toBe(true);
  expect(isRecursive(mount("IfPossible"), false)).toBe(false);
  expect(isRecursive(mount("Enabled"), true)).toBe(true);
  expect(isRecursive(mount("Disabled"), true)).toBe(false);
  expect(() => isRecursive(mount("Enabled"), false)).toThrow(
    'failed to resolve recursive read-only mode: volume "v" requested recursive read-only mode, but it is not supported by the runtime',
  );
});

test("last words are read from the container's own file: no link is followed, no pipe waited for", async () => {
  const dir = await folder();
  const hostPath = join(dir, "log");
  const ended = showContainer({ spec: makeContainer("main"), state: "CONTAINER_EXITED" });
  const words = () =>
    terminationMessage({
      ...ended,
      annotations: { ...ended.annotations, "io.kubernetes.container.terminationMessagePath": "/log" },
      mounts: [{ containerPath: "/log", hostPath, readonly: false, propagation: "PROPAGATION_PRIVATE" }],
    });
  await writeFile(hostPath, "out of memory");
  expect(await words()).toBe("out of memory");
  await rm(hostPath);
  await writeFile(join(dir, "secret"), "of the host");
  await symlink(join(dir, "secret"), hostPath);
  expect(await words()).toBe("");
  await rm(hostPath);
  await runOk("mkfifo", [hostPath]);
  expect(await words()).toBe("");
});
