/**
 * Debian 12 (13 with MACHINE_RELEASE=trixie) as its installer leaves it: cgroups of version 2 alone, systemd, AppArmor, swap, huge pages, servers of disks, and
 * a plug that can be pulled. What tests beside this one cannot have on the machine that they run on.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { corev1 } from "#api";
import type { KubectlRunner } from "../e2e/kubectl.ts";
import { eventually } from "../eventually.ts";
import { commandMs, Machine } from "./machine.ts";

let machine: Machine;
let kubectl: KubectlRunner;

const kubeletSettings = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
memorySwap: {swapBehavior: LimitedSwap}
shutdownGracePeriod: 60s
shutdownGracePeriodCriticalPods: 20s
`;

/** As docs/operations.md has it. */
const service = `[Unit]
After=network-online.target
[Service]
Environment=PATH=/opt/knarr/node:/usr/sbin:/usr/bin
ExecStart=/opt/knarr/knarr server --name knarr
Restart=always
KillMode=process
LimitNOFILE=1048576
[Install]
WantedBy=multi-user.target
`;

beforeAll(async () => {
  machine = await Machine.boot(process.env.MACHINE_RELEASE === "trixie" ? "trixie" : "bookworm");
  await machine.sh("fallocate -l 512M /swap; chmod 600 /swap; mkswap -q /swap; swapon /swap");
  await machine.sh("echo /swap none swap sw 0 0 >> /etc/fstab; sysctl -q vm.nr_hugepages=32");
  await machine.write("/root/kubelet.yaml", kubeletSettings);
  await machine.write("/etc/systemd/system/knarr.service", service);
  await machine.sh("knarr up --kubelet-config /root/kubelet.yaml");
  await machine.sh("knarr image busybox");
  kubectl = await machine.kubectl();
}, 2 * commandMs);

afterAll(() => machine?.remove());

const patience = 120_000;
const allowed = 300_000;

const apply = (objects: string) => kubectl.ok(["apply", "-f", "-"], { input: objects });
const podOf = (name: string) => kubectl.json<corev1.Pod>(["get", "pod", name]);

/** A pod of one busybox; `more` are further fields of its spec, and `container` of its container. */
const podYaml = (name: string, script: string, container = "", more = "") => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  terminationGracePeriodSeconds: 2
  ${more}
  containers:
  - name: main
    image: busybox:1.36
    command: [sh, -c, ${JSON.stringify(script)}]
    ${container}
---`;

const untilRunning = (name: string) =>
  eventually(
    `${name} running`,
    async () => {
      const { status } = await podOf(name);
      if (status?.phase === "Running" && status.containerStatuses?.every(({ ready }) => ready)) return true;
      throw new Error(JSON.stringify(status));
    },
    patience,
  );

const removed = (...names: string[]) => kubectl.ok(["delete", "pod", ...names, "--timeout=120s"]);

/** Files of the container's cgroup, and of its pod's. */
async function groupOf(name: string, ...files: string[]): Promise<Record<string, string>> {
  const id = (await podOf(name)).status?.containerStatuses?.[0]?.containerID?.split("//")[1];
  const dir = await machine.sh(`find /sys/fs/cgroup -type d -name ${id}`);
  const read = files.map((file) => `echo ${file}=$(cat ${dir}/${file})`).join("; ");
  const lines = (await machine.sh(read)).split("\n");
  return Object.fromEntries(lines.map((line) => line.split("=", 2)));
}

test("cgroups of version 2 alone, and crun", { timeout: allowed }, async () => {
  expect(await machine.sh("stat -f -c %T /sys/fs/cgroup")).toBe("cgroup2fs");
  const resources = "resources: {requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 200m, memory: 64Mi}}";
  await apply(podYaml("figures", "sleep 100000", resources));
  await untilRunning("figures");
  const files = ["cpu.max", "cpu.weight", "memory.max", "memory.oom.group", "../cpu.max", "../memory.max"];
  expect(await groupOf("figures", ...files)).toEqual({
    "cpu.max": "20000 100000",
    "cpu.weight": "4",
    "memory.max": String(64 * 2 ** 20),
    "memory.oom.group": "1",
    "../cpu.max": "20000 100000",
    "../memory.max": String(64 * 2 ** 20),
  });
  const id = (await podOf("figures")).status?.containerStatuses?.[0]?.containerID?.split("//")[1];
  expect(await machine.sh("crun --root /run/containerd/runc/k8s.io list -q")).toContain(id);
  await removed("figures");
});

test("a container that has no memory left ends whole", { timeout: allowed }, async () => {
  const script = "(x=a; while :; do x=$x$x; done); echo survived; sleep 100000";
  await apply(podYaml("hungry", script, "resources: {limits: {memory: 32Mi}}", "restartPolicy: Never"));
  const ended = await eventually(
    "the end of the pod",
    async () => (await podOf("hungry")).status?.containerStatuses?.[0]?.state?.terminated,
    patience,
  );
  expect(ended).toMatchObject({ reason: "OOMKilled", exitCode: 137 });
  expect(await kubectl.ok(["logs", "hungry"])).toBe("");
  await removed("hungry");
});

test("swap as the pod's share of the memory", { timeout: allowed }, async () => {
  await apply(
    podYaml("swapping", "sleep 100000", "resources: {requests: {memory: 64Mi}}") +
      podYaml("resident", "sleep 100000", "resources: {limits: {cpu: 100m, memory: 64Mi}}"),
  );
  await untilRunning("swapping");
  await untilRunning("resident");
  const node = await kubectl.json<{ items: corev1.Node[] }>(["get", "nodes"]);
  expect(node.items[0]?.status?.nodeInfo).toMatchObject({ swap: { capacity: 512 * 2 ** 20 - 4096 } });
  const kib = Number(/MemTotal:\s+(\d+)/.exec(await machine.sh("cat /proc/meminfo"))?.[1]);
  const share = Math.floor(((64 * 2 ** 20) / (kib * 1024)) * (512 * 2 ** 20 - 4096));
  // The kernel counts in pages.
  expect(await groupOf("swapping", "memory.swap.max")).toEqual({
    "memory.swap.max": String(share - (share % 4096)),
  });
  expect(await groupOf("resident", "memory.swap.max")).toEqual({ "memory.swap.max": "0" });
  await removed("swapping", "resident");
});

test("huge pages up to the limit", { timeout: allowed }, async () => {
  const node = await kubectl.json<{ items: corev1.Node[] }>(["get", "nodes"]);
  expect(node.items[0]?.status?.allocatable).toMatchObject({ "hugepages-2Mi": "64Mi" });
  const container = `resources: {limits: {hugepages-2Mi: 8Mi, cpu: 100m, memory: 32Mi}}
    volumeMounts: [{name: pages, mountPath: /pages}]`;
  const script =
    "fallocate -l 8388608 /pages/all && echo all; fallocate -l 2097152 /pages/more || echo no more; sleep 100000";
  await apply(podYaml("pages", script, container, "volumes: [{name: pages, emptyDir: {medium: HugePages}}]"));
  await untilRunning("pages");
  expect(await groupOf("pages", "hugetlb.2MB.max")).toEqual({ "hugetlb.2MB.max": String(8 * 2 ** 20) });
  await expect.poll(() => kubectl.ok(["logs", "pages"])).toMatch(/^all\n(.*\n)*no more\n$/);
  await removed("pages");
});

test("AppArmor: the runtime's profile, none, and one that is not there", { timeout: allowed }, async () => {
  const profile = (type: string) => `securityContext: {appArmorProfile: {${type}}}`;
  const script = "cat /proc/self/attr/current; sleep 100000";
  await apply(
    podYaml("confined", script) +
      podYaml("free", script, "", profile("type: Unconfined")) +
      podYaml("lost", script, "", profile("type: Localhost, localhostProfile: not-there")),
  );
  await untilRunning("confined");
  await untilRunning("free");
  expect(await kubectl.ok(["logs", "confined"])).toContain("cri-containerd.apparmor.d (enforce)");
  expect(await kubectl.ok(["logs", "free"])).toContain("unconfined");
  await eventually(
    "a reason",
    async () => {
      const { status } = await podOf("lost");
      const { waiting } = status?.containerStatuses?.[0]?.state ?? {};
      if (waiting?.message?.includes("not-there")) return true;
      throw new Error(JSON.stringify(status));
    },
    patience,
  );
  await removed("confined", "free", "lost");
});

test("a folder of an NFS server", { timeout: allowed }, async () => {
  await machine.sh("mkdir -p /srv/nfs && chmod 777 /srv/nfs");
  await machine.write("/etc/exports", "/srv/nfs 10.0.2.15(rw,no_root_squash,insecure,fsid=0)\n");
  await machine.sh("systemctl start nfs-server && exportfs -ra");
  const claim = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: shared}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteMany]
  storageClassName: nfs
  mountOptions: [nfsvers=4.2, nconnect=2]
  nfs: {server: 10.0.2.15, path: /}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared}
spec: {accessModes: [ReadWriteMany], storageClassName: nfs, resources: {requests: {storage: 1Gi}}}
---`;
  const container = "volumeMounts: [{name: data, mountPath: /data}]";
  const more = "volumes: [{name: data, persistentVolumeClaim: {claimName: shared}}]";
  await apply(
    claim + podYaml("nfs", "echo hello > /data/file; grep /data /proc/mounts; sleep 100000", container, more),
  );
  await untilRunning("nfs");
  await expect
    .poll(() => kubectl.ok(["logs", "nfs"]))
    .toMatch(/^10\.0\.2\.15:\/ \/data nfs4 rw,.*vers=4\.2.*nconnect=2/);
  expect(await machine.sh("cat /srv/nfs/file")).toBe("hello");
  await removed("nfs");
  await kubectl.ok(["delete", "pvc,pv", "shared"]);
  await eventually("the end of the mount", async () => {
    const mounts = await machine.sh("grep -c ' nfs4 ' /proc/mounts || true");
    return mounts === "0" || undefined;
  });
  expect(await machine.sh("cat /srv/nfs/file")).toBe("hello");
});

test("a disk of an iSCSI server", { timeout: allowed }, async () => {
  const target = "iqn.2026-11.local:disk";
  const admin = (mode: string, rest: string) =>
    `tgtadm --lld iscsi --op ${rest.split(" ")[0]} --mode ${mode} --tid 1 ${rest.split(" ").slice(1).join(" ")}`;
  await machine.sh("truncate -s 200M /srv/disk && systemctl start tgt");
  await machine.sh(
    [
      admin("target", `new -T ${target}`),
      admin("logicalunit", "new --lun 1 -b /srv/disk"),
      admin("target", "bind -I ALL"),
    ].join(" && "),
  );
  const container = "volumeMounts: [{name: data, mountPath: /data}]";
  const volume = `iscsi: {targetPortal: "10.0.2.15:3260", iqn: "${target}", lun: 1, fsType: ext4}`;
  const more = `securityContext: {fsGroup: 1234}
  volumes: [{name: data, ${volume}}]`;
  await apply(
    podYaml(
      "iscsi",
      "echo hello > /data/file; grep /data /proc/mounts; stat -c %g /data/file; sleep 100000",
      container,
      more,
    ),
  );
  await untilRunning("iscsi");
  await expect.poll(() => kubectl.ok(["logs", "iscsi"])).toMatch(/^\/dev\/sd[a-z] \/data ext4 rw.*\n1234\n$/);
  await removed("iscsi");
  await eventually("the end of the session", async () => {
    const { stdout, stderr } = await machine.try("iscsiadm -m session; grep /dev/sd /proc/mounts");
    return (stdout === "" && stderr.includes("No active sessions")) || undefined;
  });
  await apply(podYaml("iscsi", "cat /data/file; sleep 100000", container, more));
  await untilRunning("iscsi");
  await expect.poll(() => kubectl.ok(["logs", "iscsi"])).toBe("hello\n");
  await removed("iscsi");
});

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: steady}
spec:
  selector: {matchLabels: {app: steady}}
  template:
    metadata: {labels: {app: steady}}
    spec:
      terminationGracePeriodSeconds: 2
      containers: [{name: main, image: busybox:1.36, command: [sleep, "100000"]}]
---`;

/** A service of systemd, started with the machine. */
async function asService(): Promise<void> {
  await machine.sh("knarr down && systemctl daemon-reload && systemctl enable --now knarr");
  await untilServed();
}

const untilServed = () =>
  eventually(
    "the cluster",
    async () => (await kubectl.ok(["get", "--raw", "/readyz"])) || undefined,
    allowed,
  );

test("the machine waits for pods before it goes down, and they come again", {
  timeout: 2 * allowed,
}, async () => {
  await apply(deployment);
  await kubectl.ok(["rollout", "status", "deployment/steady", "--timeout=120s"]);
  await asService();
  // Slower than logind waits by itself, and proof that it was not killed.
  const script = "trap 'sleep 10; date +%s > /host/ended; exit' TERM; while :; do sleep 0.2; done";
  const more = `volumes: [{name: host, hostPath: {path: /srv}}]`;
  const slow = podYaml("slow", script, "volumeMounts: [{name: host, mountPath: /host}]", more);
  await apply(slow.replace("terminationGracePeriodSeconds: 2", "terminationGracePeriodSeconds: 40"));
  await untilRunning("slow");
  await eventually("the login manager's patience", async () => {
    const delay = await machine.sh(
      "busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager InhibitDelayMaxUSec",
    );
    return delay === "t 60000000" || undefined;
  });
  await machine.reboot();
  await machine.sh("test -s /srv/ended");
  await untilServed();
  expect((await podOf("slow")).status).toMatchObject({
    phase: "Failed",
    reason: "Terminated",
    message: "Pod was terminated in response to imminent node shutdown.",
  });
  await kubectl.ok(["rollout", "status", "deployment/steady", "--timeout=120s"]);
});

test("nothing that was said to be done is lost when the plug is pulled", {
  timeout: 2 * allowed,
}, async () => {
  await apply(podYaml("kept", "sleep 100000"));
  await untilRunning("kept");
  const names: string[] = [];
  for (let i = 0; i < 20; i++) {
    await kubectl.ok(["create", "configmap", `kept-${i}`, `--from-literal=i=${i}`]);
    names.push(`kept-${i}`);
  }
  await machine.cutPower();
  await untilServed();
  for (const name of names) await kubectl.ok(["get", "configmap", name]);
  const again = await eventually(
    "the pod's next container",
    async () => {
      const { status } = await podOf("kept");
      const [container] = status?.containerStatuses ?? [];
      if (container?.ready && container.restartCount > 0) return container;
      throw new Error(JSON.stringify(status));
    },
    allowed,
  );
  expect(again.lastState?.terminated).toBeDefined();
  await kubectl.ok(["rollout", "status", "deployment/steady", "--timeout=120s"]);
});

test("nothing is left of it", { timeout: allowed }, async () => {
  await machine.sh("systemctl disable --now knarr; knarr down --purge");
  const left =
    "ls /var/lib/knarr /run/systemd/logind.conf.d; find /sys/fs/cgroup -name 'knarr-*' -type d; nft list tables; ip netns; grep knarr/ /proc/mounts; pgrep -a containerd";
  expect((await machine.try(left)).stdout.replace(/^.*:\n/gm, "").trim()).toBe("");
});
