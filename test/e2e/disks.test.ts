/** Disks of the node as volumes, as file systems and as devices; parts of volumes that somebody tampers with. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run, runOk } from "#base";
import { eventually, newestKubectl } from "./harness.ts";

const kubectl = newestKubectl();
const namespace = "disks";
const k = (...args: string[]) => kubectl.ok(["-n", namespace, ...args]);
const apply = (input: string) => kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input });
const folder = mkdtempSync(join(tmpdir(), "knarr-disks-"));
const devices: string[] = [];

/** A disk that is a file: the kernel makes a device of it. */
async function disk(name: string): Promise<string> {
  const file = join(folder, name);
  writeFileSync(file, "");
  truncateSync(file, 64 * 1024 * 1024);
  const device = (await runOk("losetup", ["--find", "--show", file])).trim();
  devices.push(device);
  return device;
}

async function volume(name: string, device: string, volumeMode: string): Promise<string> {
  const hostname = await kubectl.ok([
    "get",
    "nodes",
    "-o",
    "jsonpath={.items[0].metadata.labels.kubernetes\\.io/hostname}",
  ]);
  return `
apiVersion: v1
kind: PersistentVolume
metadata: {name: ${name}}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 64Mi}
  storageClassName: ${name}
  volumeMode: ${volumeMode}
  local: {path: ${device}}
  nodeAffinity:
    required:
      nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [${hostname}]}]}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: ${name}}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ${name}
  volumeMode: ${volumeMode}
  resources: {requests: {storage: 64Mi}}
---`;
}

const pod = (name: string, script: string, more: string, claim = name) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: busybox:1.36
      command: [sh, -c, '${script}']
      ${more}
  volumes: [{name: v, persistentVolumeClaim: {claimName: ${claim}}}]
`;

const succeeded = (name: string) =>
  k("wait", "--for=jsonpath={.status.phase}=Succeeded", `pod/${name}`, "--timeout=60s");

beforeAll(() => kubectl.ok(["create", "namespace", namespace]));
afterAll(async () => {
  await kubectl.ok(["delete", "namespace", namespace, "--timeout=120s"]);
  await kubectl.try(["delete", "pv", "filesystem", "block", "--timeout=30s"]);
  for (const device of devices) await run("losetup", ["--detach", device]);
  rmSync(folder, { recursive: true, force: true });
});

/** Where the machine makes no devices of files, there is nothing to try. */
const withDisks = test.skipIf(!existsSync("/dev/loop-control"));

withDisks("a disk that holds nothing is given a file system, and keeps what is written", async () => {
  const device = await disk("filesystem");
  const mounts = "volumeMounts: [{name: v, mountPath: /data}]";
  await apply(
    (await volume("filesystem", device, "Filesystem")) +
      pod("filesystem", "echo kept > /data/file && df /data", mounts),
  );
  await succeeded("filesystem");
  expect(await k("logs", "filesystem")).toContain(device);
  await k("delete", "pod", "filesystem");
  await eventually("the end of the mount", async () =>
    readFileSync("/proc/self/mounts", "utf8").includes(`${device} `) ? undefined : true,
  );
  await apply(pod("again", "cat /data/file", mounts, "filesystem"));
  await succeeded("again");
  expect(await k("logs", "again")).toBe("kept\n");
  await k("delete", "pod", "again");
});

withDisks("a disk as a device", async () => {
  const device = await disk("block");
  const devicesOfPod = "volumeDevices: [{name: v, devicePath: /dev/disk}]";
  const script = "test -b /dev/disk && echo raw | dd of=/dev/disk bs=4 count=1 conv=sync && sync";
  await apply((await volume("block", device, "Block")) + pod("block", script, devicesOfPod));
  await succeeded("block");
  expect((await runOk("head", ["-c", "3", device])).slice(0, 3)).toBe("raw");
  await apply(pod("wrong", "true", "volumeMounts: [{name: v, mountPath: /data}]", "block"));
  await eventually("the refusal", async () =>
    (await k("get", "events", "--field-selector=involvedObject.name=wrong")).includes(
      "volume v has volumeMode Block, but is specified in volumeMounts",
    )
      ? true
      : undefined,
  );
});

test("a container that swaps folders for links never gets another's subPath out of the volume", async () => {
  const secret = join(folder, "secret");
  mkdirSync(secret);
  const swap = `while true; do mkdir -p /work/a; rm -rf /work/a; ln -s ${secret} /work/a; rm -rf /work/a; done`;
  const victims = Array.from(
    { length: 8 },
    (_, i) => `
    - name: victim-${i}
      image: busybox:1.36
      command: [sh, -c, "touch /part/trace; exit 1"]
      volumeMounts: [{name: v, mountPath: /part, subPath: a/b${i}}]`,
  );
  await apply(`
apiVersion: v1
kind: Pod
metadata: {name: racing}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - {name: swaps, image: "busybox:1.36", command: [sh, -c, "${swap}"], volumeMounts: [{name: v, mountPath: /work}]}
${victims.join("")}
  volumes: [{name: v, emptyDir: {}}]
`);
  const path = "jsonpath={range .status.containerStatuses[*]}{.state}{.lastState}{'\\n'}{end}";
  await eventually("a try of each", async () => {
    const states = (await k("get", "pod", "racing", "-o", path)).trim().split("\n");
    const tried = states.filter((state) => /terminated|CreateContainerConfigError/.test(state));
    return tried.length === victims.length ? true : undefined;
  });
  expect(readdirSync(secret)).toEqual([]);
  const uid = await k("get", "pod", "racing", "-o", "jsonpath={.metadata.uid}");
  await k("delete", "pod", "racing", "--force", "--grace-period=0");
  await eventually("the end of its mounts", async () =>
    readFileSync("/proc/self/mounts", "utf8").includes(uid) ? undefined : true,
  );
  expect(existsSync(secret)).toBe(true);
});
