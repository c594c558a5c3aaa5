/**
 * A CSI driver on a real cluster: a gRPC server on the sockets where a driver's pod puts them, whose volumes are folders
 * mounted into place; and the parts of its provisioner, attacher and resizer that stock sidecars would play.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run, runOk } from "#base";
import { startTestDriver, type TestDriver } from "../../src/kubelet/testing/csi-driver.ts";
import { eventually } from "./harness.ts";
import { knarr } from "./knarr.ts";
import { isAlive, OwnCluster } from "./own-cluster.ts";

const name = "folders.knarr.test";
/** Where a driver's pod knows the kubelet's folder. */
const usual = "/var/lib/kubelet";

let cluster: OwnCluster;
let driver: TestDriver;
const disks = mkdtempSync(join(tmpdir(), "knarr-csi-disks-"));
const k = (...args: string[]) => cluster.kubectl.ok(args);
const apply = (input: string) => cluster.kubectl.ok(["apply", "-f", "-"], { input });
const read = async (kind: string, path: string) =>
  await k("get", ...kind.split(" "), "-o", `jsonpath={${path}}`);

async function bindMount(source: string, target: string): Promise<void> {
  mkdirSync(target, { recursive: true });
  if (!isMounted(target)) await runOk("mount", ["--bind", source, target]);
}

function isMounted(path: string): boolean {
  return mountsBelow(path).includes(path);
}

function mountsBelow(path: string): string[] {
  const points = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "");
  return points.filter((point) => point === path || point.startsWith(`${path}/`));
}

function kubeletDir(): string {
  return join(cluster.dir, "kubelet");
}

async function startDriver(): Promise<void> {
  driver = await startTestDriver({
    name,
    root: kubeletDir(),
    nodeId: "here",
    capabilities: ["STAGE_UNSTAGE_VOLUME", "EXPAND_VOLUME", "GET_VOLUME_STATS"],
    topology: { [`${name}/place`]: "a" },
  });
  const real = (path: unknown) => String(path).replace(usual, kubeletDir());
  driver.answers.NodeStageVolume = async ({ volumeId, stagingTargetPath }) => {
    const disk = join(disks, String(volumeId));
    mkdirSync(disk, { recursive: true });
    await bindMount(disk, real(stagingTargetPath));
    return undefined;
  };
  driver.answers.NodePublishVolume = async ({ stagingTargetPath, targetPath, volumeId }) => {
    const source = stagingTargetPath ? real(stagingTargetPath) : join(disks, String(volumeId));
    mkdirSync(source, { recursive: true });
    await bindMount(source, real(targetPath));
    return undefined;
  };
  driver.answers.NodeGetVolumeStats = () => ({
    usage: [{ unit: "BYTES", total: 1000, available: 600, used: 400 }],
  });
  const takeBack = async (path: string) => {
    if (isMounted(path)) await runOk("umount", [path]);
    return undefined;
  };
  driver.answers.NodeUnpublishVolume = ({ targetPath }) => takeBack(real(targetPath));
  driver.answers.NodeUnstageVolume = ({ stagingTargetPath }) => takeBack(real(stagingTargetPath));
  await driver.register();
  await eventually("the driver's registration", async () =>
    driver.told.length > 0 && (await read("csinodes", ".items[0].spec.drivers[0].name")) === name
      ? true
      : undefined,
  );
}

const driverObject = `
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: ${name}}
spec: {attachRequired: true, podInfoOnMount: true, volumeLifecycleModes: [Persistent, Ephemeral]}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: folders}
provisioner: ${name}
allowVolumeExpansion: true
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: Secret
metadata: {name: disk-key}
stringData: {key: open sesame}
`;

const writer = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk}
spec: {accessModes: [ReadWriteOnce], storageClassName: folders, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {fsGroup: 4000}
  containers:
    - name: c
      image: busybox:1.36
      command: [sh, -c, "echo kept > /data/file; exec sleep 1000"]
      volumeMounts: [{name: data, mountPath: /data}, {name: scratch, mountPath: /scratch}]
  volumes:
    - {name: data, persistentVolumeClaim: {claimName: disk}}
    - {name: scratch, csi: {driver: ${name}, volumeAttributes: {colour: blue}}}
`;

const reader = `
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: busybox:1.36
      command: [sleep, "1000"]
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: disk}}]
`;

/** What external-provisioner would make for the claim once the scheduler has chosen its node. */
async function provision(): Promise<void> {
  const uid = await eventually("the scheduler's choice", async () =>
    (await read("pvc disk", ".metadata.annotations.volume\\.kubernetes\\.io/selected-node"))
      ? await read("pvc disk", ".metadata.uid")
      : undefined,
  );
  await apply(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv-disk, annotations: {pv.kubernetes.io/provisioned-by: ${name}}}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 1Gi}
  storageClassName: folders
  persistentVolumeReclaimPolicy: Retain
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: default, name: disk, uid: ${uid}}
  csi:
    driver: ${name}
    volumeHandle: disk-1
    fsType: ext4
    nodeStageSecretRef: {namespace: default, name: disk-key}
`);
}

/** What external-attacher would say. */
async function attach(): Promise<void> {
  const attachment = await eventually(
    "the attachment",
    async () => (await read("volumeattachments", ".items[*].metadata.name")) || undefined,
  );
  const status = JSON.stringify({ status: { attached: true, attachmentMetadata: { disk: "number 1" } } });
  await k("patch", "volumeattachment", attachment, "--subresource=status", "--type=merge", "-p", status);
}

beforeAll(async () => {
  cluster = await OwnCluster.make("csi");
  await cluster.up();
  await knarr(["image", "busybox", "--name", cluster.name], { env: cluster.env });
  await startDriver();
  await apply(driverObject);
});
afterAll(async () => {
  await cluster.remove();
  await driver?.stop();
  for (const point of mountsBelow(disks).reverse()) await run("umount", ["-l", point]);
  rmSync(disks, { recursive: true, force: true });
});

test("a driver's volumes are attached, staged and published, and belong to the pod's group", async () => {
  expect(await read("nodes", `.items[0].metadata.labels.${name.replaceAll(".", "\\.")}/place`)).toBe("a");
  await apply(writer);
  await provision();
  await attach();
  await k("wait", "--for=condition=Ready", "pod/writer", "--timeout=60s");
  await eventually("the file", async () => existsSync(join(disks, "disk-1", "file")) || undefined);
  expect(readFileSync(join(disks, "disk-1", "file"), "utf8")).toBe("kept\n");
  expect(await k("exec", "writer", "--", "stat", "-c", "%g %A", "/data")).toBe("4000 drwxrwsr-x\n");
  const [staged] = driver.requestsOf("NodeStageVolume");
  expect(staged).toMatchObject({
    secrets: { key: "open sesame" },
    publishContext: { disk: "number 1" },
  });
  const inline = driver.requestsOf("NodePublishVolume").find(({ volumeId }) => volumeId !== "disk-1");
  expect(inline?.volumeContext).toMatchObject({
    colour: "blue",
    "csi.storage.k8s.io/pod.name": "writer",
    "csi.storage.k8s.io/ephemeral": "true",
  });
  expect(await read("nodes", ".items[0].status.volumesInUse")).toContain(`kubernetes.io/csi/${name}^disk-1`);
  expect(await k("describe", "pod", "writer")).toContain("SuccessfulAttachVolume");
});

test("what a driver counts stands in the node's metrics and summary", async () => {
  const node = await read("nodes", ".items[0].metadata.name");
  const ask = (page: string) => k("get", "--raw", `/api/v1/nodes/${node}/proxy/${page}`);
  const line = 'kubelet_volume_stats_used_bytes{namespace="default",persistentvolumeclaim="disk"} 400';
  await eventually("the metric", async () => ((await ask("metrics")).includes(line) ? true : undefined));
  expect(JSON.parse(await ask("stats/summary"))).toMatchObject({
    pods: expect.arrayContaining([
      expect.objectContaining({
        volume: expect.arrayContaining([
          expect.objectContaining({
            name: "data",
            capacityBytes: 1000,
            pvcRef: { name: "disk", namespace: "default" },
          }),
        ]),
      }),
    ]),
  });
});

test("a volume that its driver has enlarged is enlarged on the node while the pod runs", async () => {
  await k("patch", "pvc", "disk", "-p", '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}');
  await k("patch", "pv", "pv-disk", "-p", '{"spec":{"capacity":{"storage":"2Gi"}}}');
  const pending = { type: "FileSystemResizePending", status: "True" };
  const status = JSON.stringify({ status: { conditions: [pending] } });
  await k("patch", "pvc", "disk", "--subresource=status", "--type=merge", "-p", status);
  // The kubelet looks at once when the pod has news.
  await k("annotate", "pod", "writer", "news=some");
  await eventually(
    "the claim's new size",
    async () => ((await read("pvc disk", ".status.capacity.storage")) === "2Gi" ? true : undefined),
    90_000,
  );
  expect(driver.requestsOf("NodeExpandVolume")[0]).toMatchObject({ volumeId: "disk-1" });
});

test("an agent that is killed takes back what the one before it had asked for", async () => {
  await cluster.kill();
  await cluster.up();
  await k("delete", "pod", "writer", "--timeout=60s");
  await eventually(
    "the end of the mounts",
    async () => mountsBelow(kubeletDir()).every((point) => !/kubernetes\.io.csi/.test(point)) || undefined,
  );
  const last = driver.asked.filter(({ request }) => request.volumeId === "disk-1").at(-1);
  expect(last?.method).toBe("NodeUnstageVolume");
  await eventually("the detachment", async () =>
    (await k("get", "volumeattachments", "-o", "name")) === "" ? true : undefined,
  );
  expect(readFileSync(join(disks, "disk-1", "file"), "utf8")).toBe("kept\n");
});

test.each(["csi/staged", "csi/published"])(
  "an agent that is killed at %s leaves nothing mounted",
  async (place) => {
    await cluster.kill();
    await knarr(cluster.upArguments, { env: { ...cluster.env, KNARR_FAILPOINTS: `${place}=kill` } });
    const pid = cluster.pid();
    await apply(reader);
    await attach();
    await eventually("the end of the agent", async () => (isAlive(pid) ? undefined : true));
    await cluster.up();
    await k("delete", "pod", "reader", "--timeout=60s");
    await eventually(
      "the end of the mounts",
      async () => mountsBelow(kubeletDir()).every((point) => !/kubernetes.io.csi/.test(point)) || undefined,
    );
    const last = driver.asked.filter(({ request }) => request.volumeId === "disk-1").at(-1);
    expect(last?.method).toBe("NodeUnstageVolume");
    await eventually("the detachment", async () =>
      (await k("get", "volumeattachments", "-o", "name")) === "" ? true : undefined,
    );
  },
);

test("nothing is left of it on the machine", async () => {
  await cluster.down("--purge");
  await cluster.expectNothingLeft();
  expect(mountsBelow(disks)).toEqual([]);
});
