/** A CSI driver as users install it: a privileged pod that finds the kubelet's folder at its usual place. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { buildImage } from "#runtime";
import { nodeLayer } from "../conformance/agnhost.ts";
import { eventually, newestKubectl, root } from "./harness.ts";
import { knarr } from "./knarr.ts";

const kubectl = newestKubectl();
const namespace = "csi-pod";
const name = "pods.knarr.test";
const image = "knarr.local/csi-driver:1";
const folder = mkdtempSync(join(tmpdir(), "knarr-csi-pod-"));
const k = (...args: string[]) => kubectl.ok(["-n", namespace, ...args]);
const apply = (input: string) => kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input });
const mounts = () => readFileSync("/proc/self/mounts", "utf8");

/** The driver and all that it imports as one file, beside Node and busybox. */
async function makeImage(): Promise<void> {
  const { outputFiles } = await build({
    entryPoints: [join(root, "test/e2e/fixtures/csi-driver.ts")],
    bundle: true,
    platform: "node",
    format: "esm",
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire("/");' },
    write: false,
  });
  const layer = [
    ...(await nodeLayer()),
    { path: "bin/busybox", file: "/bin/busybox", mode: 0o755 },
    { path: "driver.mjs", content: outputFiles[0]!.contents },
  ];
  const config = { entrypoint: ["/bin/node", "/driver.mjs"] };
  const archive = join(folder, "driver.tar");
  writeFileSync(archive, await buildImage({ name: image, layers: [layer], config }));
  const flags = ["--name", inject("clusterName")];
  await knarr(["image", "load", archive, ...flags], { env: { KUBECONFIG: inject("kubeconfig") } });
}

const driver = `
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: ${name}}
spec: {attachRequired: false}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: driver}
spec:
  selector: {matchLabels: {app: driver}}
  template:
    metadata: {labels: {app: driver}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: driver
          image: ${image}
          imagePullPolicy: Never
          securityContext: {privileged: true}
          volumeMounts:
            - {name: kubelet, mountPath: /var/lib/kubelet, mountPropagation: Bidirectional}
            - {name: disks, mountPath: /disks}
      volumes:
        - {name: kubelet, hostPath: {path: /var/lib/kubelet, type: Directory}}
        - {name: disks, hostPath: {path: ${folder}/disks, type: DirectoryOrCreate}}
`;

const user = (pod: string, command: string) => `
apiVersion: v1
kind: PersistentVolume
metadata: {name: csi-pod}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 1Gi}
  storageClassName: csi-pod
  csi: {driver: ${name}, volumeHandle: disk-7}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk}
spec: {accessModes: [ReadWriteOnce], storageClassName: csi-pod, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: ${pod}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: busybox:1.36
      command: [sh, -c, "${command}"]
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: disk}}]
`;

beforeAll(async () => {
  await kubectl.ok(["create", "namespace", namespace]);
  await makeImage();
  await apply(driver);
  await k("rollout", "status", "daemonset/driver", "--timeout=60s");
});
afterAll(async () => {
  await kubectl.ok(["delete", "namespace", namespace, "--timeout=120s"]);
  await kubectl.try(["delete", "pv/csi-pod", `csidriver/${name}`, "--timeout=30s"]);
  rmSync(folder, { recursive: true, force: true });
});

test("its volumes are mounted from within its container, and seen by the pods that use them", async () => {
  await eventually("the driver's registration", async () =>
    (await k("get", "csinodes", "-o", "jsonpath={.items[*].spec.drivers[*].name}")).includes(name)
      ? true
      : undefined,
  );
  await apply(user("writer", "echo kept > /data/file"));
  await k("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/writer", "--timeout=60s");
  expect(readFileSync(join(folder, "disks/disk-7/file"), "utf8")).toBe("kept\n");
});

test("a volume survives the driver's own restart, and is taken back with its pod", async () => {
  await k("delete", "pod", "writer");
  await apply(user("holder", "sleep 1000"));
  await k("wait", "--for=condition=Ready", "pod/holder", "--timeout=60s");
  await k("delete", "pod", "-l", "app=driver");
  await k("rollout", "status", "daemonset/driver", "--timeout=60s");
  expect(await k("exec", "holder", "--", "cat", "/data/file")).toBe("kept\n");
  const uid = await k("get", "pod", "holder", "-o", "jsonpath={.metadata.uid}");
  expect(mounts()).toContain(uid);
  await k("delete", "pod", "holder", "--timeout=60s");
  await eventually("the end of its mounts", async () =>
    mounts().includes(uid) || mounts().includes(`/csi/${name}/`) ? undefined : true,
  );
  expect(existsSync(join(folder, "disks/disk-7/file"))).toBe(true);
});

test("a driver that has gone is no longer the node's", async () => {
  await k("delete", "daemonset", "driver");
  rmSync(`/var/lib/knarr/${inject("clusterName")}/kubelet/plugins_registry/${name}-reg.sock`, {
    force: true,
  });
  await eventually("the end of its registration", async () =>
    (await k("get", "csinodes", "-o", "jsonpath={.items[*].spec.drivers[*].name}")).includes(name)
      ? undefined
      : true,
  );
});
