/** The kubelet with real containers: what a pod goes through, seen from the API, from inside and from the machine. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { configMaps, type corev1, events, nodes, pods, secrets } from "#api";
import { machineLogFolders } from "#kubelet";
import { eventually } from "./harness.ts";
import {
  canRunContainers,
  startTestNode,
  type TestNode,
  testCertificates,
  testImage,
} from "./kubelet-node.ts";

const isReady = (pod: corev1.Pod | undefined) =>
  pod?.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false;
const statusOf = (pod: corev1.Pod | undefined) => pod?.status?.containerStatuses?.[0];
const idOf = (pod: corev1.Pod | undefined) => statusOf(pod)?.containerID?.split("//")[1] ?? "";
const loop = "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.1; done";
const shell = (script: string, more: object = {}) => ({
  name: "main",
  image: testImage,
  command: ["sh", "-c", script],
  ...more,
});

describe.skipIf(!canRunContainers())("kubelet", () => {
  let node: TestNode;
  beforeAll(async () => {
    node = await startTestNode({ containerLogMaxBytes: 64 * 1024, containerLogMaxFiles: 3 });
  });
  afterAll(async () => {
    await node.stop();
    expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(node.dir);
    expect(existsSync(`/sys/fs/cgroup/memory${node.cgroupRoot}`)).toBe(false);
  });

  const inside = async (pod: corev1.Pod | undefined, script: string) => {
    const result = await node.containerd.runtime.execSync(idOf(pod), ["sh", "-c", script], 10);
    return Buffer.from(result.stdout).toString("utf8");
  };
  const remove = async (name: string) => {
    await node.client.delete(pods, { namespace: "default", name });
    await node.until(name, (p) => p === undefined);
  };
  const get = (path: string, credentials = node.credentials) =>
    new Promise<{ status: number; body: string }>((resolve, reject) => {
      const options = { host: "127.0.0.1", port: node.kubelet.port, path, ...credentials, agent: false };
      request(options, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text: string) => {
          body += text;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      })
        .on("error", reject)
        .end();
    });

  test("registers a Ready node that says what it has", async () => {
    const object = await node.client.get(nodes, { name: "node-1" });
    expect(object.status?.conditions?.find((c) => c.type === "Ready")?.status).toBe("True");
    expect(object.metadata.labels?.["kubernetes.io/hostname"]).toBe("node-1");
    expect(object.status?.daemonEndpoints?.kubeletEndpoint?.Port).toBe(node.kubelet.port);
    expect(object.status?.images?.some((i) => i.names?.includes(testImage))).toBe(true);
    expect(object.spec?.podCIDR).toBe("10.251.0.0/24");
  });

  test("brings environment, volumes, limits and names into a container, in order after its init container", async () => {
    const ref = { namespace: "default", name: "facts" };
    await node.client.create(configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: ref,
      data: { colour: "blue" },
    });
    const password = Buffer.from("hidden").toString("base64");
    await node.client.create(secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: ref,
      data: { password },
    });
    await node.createPod(
      "full",
      {
        volumes: [
          { name: "shared", emptyDir: {} },
          { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "8Mi" } },
          { name: "facts", configMap: { name: "facts" } },
          { name: "hidden", secret: { secretName: "facts", defaultMode: 0o400 } },
          {
            name: "self",
            downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] },
          },
        ],
        initContainers: [
          {
            ...shell("echo first > /shared/file", { resources: { limits: { memory: "64Mi", cpu: "500m" } } }),
            name: "init",
            volumeMounts: [{ name: "shared", mountPath: "/shared" }],
          },
        ],
        containers: [
          shell(loop, {
            env: [
              { name: "A", value: "a" },
              { name: "B", value: "$(A)b" },
              { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
              { name: "PASSWORD", valueFrom: { secretKeyRef: { name: "facts", key: "password" } } },
              {
                name: "LIMIT",
                valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } },
              },
            ],
            envFrom: [{ prefix: "CM_", configMapRef: { name: "facts" } }],
            resources: { limits: { memory: "64Mi", cpu: "500m" } },
            readinessProbe: { exec: { command: ["test", "-f", "/shared/file"] }, periodSeconds: 1 },
            securityContext: {
              runAsUser: 1000,
              readOnlyRootFilesystem: true,
              allowPrivilegeEscalation: false,
              seccompProfile: { type: "RuntimeDefault" },
            },
            volumeMounts: [
              { name: "shared", mountPath: "/shared" },
              { name: "memory", mountPath: "/memory" },
              { name: "facts", mountPath: "/facts" },
              { name: "facts", mountPath: "/one", subPath: "colour" },
              { name: "self", mountPath: "/self" },
            ],
          }),
        ],
      },
      { labels: { app: "full" } },
    );
    const pod = await node.until("full", isReady);
    const { status } = pod!;
    expect(status).toMatchObject({ phase: "Running", qosClass: "Guaranteed", hostIP: "127.0.0.1" });
    expect(status?.initContainerStatuses?.[0]?.state?.terminated).toMatchObject({
      exitCode: 0,
      reason: "Completed",
    });
    const environment = await inside(pod, "env");
    for (const line of [
      "A=a",
      "B=ab",
      `POD_IP=${status?.podIP}`,
      "PASSWORD=hidden",
      "LIMIT=64",
      "CM_colour=blue",
    ]) {
      expect(environment).toContain(`${line}\n`);
    }
    expect(await inside(pod, "cat /shared/file /facts/colour /one /self/labels; id -u; hostname")).toBe(
      'first\nbluebblueapp="full"1000\nfull\n'.replace("bblue", "blue"),
    );
    expect(await inside(pod, "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status")).toMatch(
      /NoNewPrivs:\s+1\nSeccomp:\s+2/,
    );
    expect(await inside(pod, "touch /x 2>&1 || true")).toContain("Read-only");
    expect(await inside(pod, "cat /etc/resolv.conf")).toContain(
      "search default.svc.cluster.local svc.cluster.local cluster.local",
    );
    expect(await inside(pod, "df -k /memory | tail -1")).toMatch(/8192/);
    const cgroup = `/sys/fs/cgroup/memory${node.cgroupRoot}/pod${pod?.metadata.uid}/memory.limit_in_bytes`;
    if (existsSync("/sys/fs/cgroup/memory"))
      expect(readFileSync(cgroup, "utf8").trim()).toBe(String(64 * 1024 * 1024));
  });

  test("goes on with the same containers after a restart of the kubelet and of containerd", async () => {
    const before = await node.until("full", isReady);
    expect(await inside(before, "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace")).toBe(
      "default",
    );
    await node.restartKubelet();
    process.kill(node.containerd.pid, "SIGKILL");
    await node.createPod("later", { containers: [shell(loop)] });
    await node.until("later", isReady);
    const after = await node.until("full", isReady);
    expect(statusOf(after)).toMatchObject({ containerID: statusOf(before)?.containerID, restartCount: 0 });
    await remove("later");
  });

  test("serves logs, exec and nothing to strangers", async () => {
    expect((await get("/containerLogs/default/full/main?timestamps=true")).body).toMatch(
      /^\d{4}-\d\d-\d\dT[\d:.]+Z hello\n$/,
    );
    expect((await get("/containerLogs/default/full/main?tailLines=0")).body).toBe("");
    expect((await get("/containerLogs/default/full/none")).status).toBe(400);
    expect((await get("/containerLogs/default/none/main")).status).toBe(404);
    expect((await get("/containerLogs/default/full/main?tailLines=x")).status).toBe(400);
    const stranger = (await testCertificates("system:masters")).client;
    expect((await get("/pods", { ...stranger, ca: node.credentials.ca })).status).toBe(401);
    const path =
      "/exec/default/full/main?output=1&error=1&command=sh&command=-c&command=echo%20out%3B%20exit%203";
    const frames = await new Promise<Buffer[]>((resolve, reject) => {
      const url = `wss://127.0.0.1:${node.kubelet.port}${path}`;
      const socket = new WebSocket(url, ["v4.channel.k8s.io"], { ...node.credentials });
      const received: Buffer[] = [];
      socket.on("message", (data: Buffer) => received.push(data));
      socket.on("close", () => resolve(received));
      socket.on("error", reject);
    });
    const text = (channel: number) =>
      Buffer.concat(frames.filter((f) => f[0] === channel).map((f) => f.subarray(1))).toString();
    expect(text(1)).toBe("out\n");
    expect(JSON.parse(text(3))).toMatchObject({
      status: "Failure",
      details: { causes: [{ reason: "ExitCode", message: "3" }] },
    });
  });

  test("shows collectors of logs its pods' where they look for them, and no other node's", async () => {
    const full = await node.until("full", isReady);
    const log = `default_full_${full?.metadata.uid}/main/0.log`;
    const volumes = { all: "/var/log", some: "/var/log/pods" };
    // As Fluent Bit, Vector and Promtail mount them.
    await node.createPod("collector", {
      terminationGracePeriodSeconds: 0,
      volumes: Object.entries(volumes).map(([name, path]) => ({ name, hostPath: { path } })),
      containers: [
        shell("sleep 600", {
          volumeMounts: [
            { name: "all", mountPath: "/var/log", readOnly: true },
            { name: "some", mountPath: "/pods" },
          ],
        }),
      ],
    });
    const collector = await node.until("collector", isReady);
    expect(await inside(collector, `cat /pods/${log}`)).toMatch(/ stdout F hello\n$/);
    const link = `/var/log/containers/full_default_main-${idOf(full)}.log`;
    expect(await inside(collector, `cat ${link}; readlink -f ${link}`)).toBe(
      `${await inside(collector, `cat /pods/${log}`)}/var/log/pods/${log}\n`,
    );
    expect((await inside(collector, "ls /var/log/containers")).split("\n")).toContain(
      `collector_default_main-${idOf(collector)}.log`,
    );
    await remove("collector");
    await eventually("its link is gone", async () =>
      readdirSync(join(node.dir, "kubelet/logs/containers")).every((name) => !name.startsWith("collector"))
        ? true
        : undefined,
    );
    for (const folder of machineLogFolders) await rmdir(folder).catch(() => {});
  });

  test("follows a log through its rotation and keeps few files", async () => {
    const lines = 6000;
    await node.createPod("chatty", {
      containers: [
        shell(
          `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo line $i; [ $((i % 2000)) = 0 ] && sleep 2; done; sleep 1000`,
        ),
      ],
    });
    const pod = await node.until("chatty", isReady);
    const dir = join(node.dir, "kubelet/logs/pods", `default_chatty_${pod?.metadata.uid}`, "main");
    await eventually("the log is rotated", async () => (readdirSync(dir).length > 1 ? true : undefined));
    expect(readdirSync(dir).length).toBeLessThanOrEqual(3);
    await remove("chatty");
    await eventually("its logs are gone", async () => (existsSync(dir) ? undefined : true));
  });

  test("tells how a container ended, holds back one that crashes, and says so", async () => {
    await node.createPod("crash", { containers: [shell("echo oops > /dev/termination-log; exit 3")] });
    const pod = await node.until("crash", (p) => statusOf(p)?.state?.waiting?.reason === "CrashLoopBackOff");
    expect(statusOf(pod)?.state?.waiting?.message).toMatch(
      /^back-off 10s restarting failed container=main pod=crash_default\(/,
    );
    expect(statusOf(pod)?.lastState?.terminated).toMatchObject({
      exitCode: 3,
      reason: "Error",
      message: "oops\n",
    });
    expect((await get("/containerLogs/default/crash/main?previous=true")).status).toBe(200);
    await remove("crash");
  });

  test("ends what takes too much memory, what is done and what fails for good", async () => {
    const greedy = shell("x=a; while :; do x=$x$x; done", { resources: { limits: { memory: "24Mi" } } });
    await node.createPod("greedy", { restartPolicy: "Never", containers: [greedy] });
    await node.createPod("done", { restartPolicy: "OnFailure", containers: [shell("true")] });
    await node.createPod("init", {
      restartPolicy: "Never",
      initContainers: [{ ...shell("exit 1"), name: "init" }],
      containers: [shell(loop)],
    });
    const oom = await node.until("greedy", (p) => p?.status?.phase === "Failed");
    expect(statusOf(oom)?.state?.terminated).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
    await node.until("done", (p) => p?.status?.phase === "Succeeded");
    await node.until("init", (p) => p?.status?.phase === "Failed");
    for (const name of ["greedy", "done", "init"]) await remove(name);
  });

  test("replaces what its liveness probe condemns", async () => {
    const probe = {
      exec: { command: ["test", "!", "-f", "/tmp/bad"] },
      periodSeconds: 1,
      failureThreshold: 1,
    };
    await node.createPod("live", { containers: [shell(loop, { livenessProbe: probe })] });
    const first = await node.until("live", isReady);
    await inside(first, "touch /tmp/bad");
    const second = await node.until("live", (p) => (statusOf(p)?.restartCount ?? 0) > 0 && isReady(p));
    expect(idOf(second)).not.toBe(idOf(first));
    await remove("live");
    const reasons = (await node.client.list(events)).items
      .filter((e) => e.involvedObject.name === "live")
      .map((e) => e.reason);
    for (const reason of ["Pulled", "Created", "Started", "Unhealthy", "Killing"])
      expect(reasons).toContain(reason);
  });

  test("says what is missing and starts as soon as it is there", async () => {
    await node.createPod("missing", {
      volumes: [{ name: "v", configMap: { name: "later" } }],
      containers: [shell(loop, { volumeMounts: [{ name: "v", mountPath: "/v" }] })],
    });
    await node.createPod("absent", { containers: [{ ...shell(loop), image: "127.0.0.1:1/none:1" }] });
    await node.createPod("never", {
      containers: [{ ...shell(loop), image: "knarr.local/none:1", imagePullPolicy: "Never" }],
    });
    await node.createPod("noenv", {
      containers: [shell(loop, { envFrom: [{ configMapRef: { name: "none" } }] })],
    });
    await node.until("absent", (p) => statusOf(p)?.state?.waiting?.reason === "ImagePullBackOff");
    await node.until("never", (p) => statusOf(p)?.state?.waiting?.reason === "ErrImageNeverPull");
    const noenv = await node.until(
      "noenv",
      (p) => statusOf(p)?.state?.waiting?.reason === "CreateContainerConfigError",
    );
    expect(statusOf(noenv)?.state?.waiting?.message).toBe('configmap "none" not found');
    const failed = (await node.client.list(events)).items.find((e) => e.reason === "FailedMount");
    expect(failed?.message).toBe('MountVolume.SetUp failed for volume "v" : configmap "later" not found');
    await node.client.create(configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "default", name: "later" },
      data: {},
    });
    await node.until("missing", isReady);
    for (const name of ["missing", "absent", "never", "noenv"]) await remove(name);
  });

  test("ends a pod with its hook and its grace, then leaves nothing of it", async () => {
    const pod = await node.until("full", isReady);
    await remove("full");
    const folder = join(node.dir, "kubelet/pods", pod?.metadata.uid ?? "none");
    await eventually("its folder is gone", async () => (existsSync(folder) ? undefined : true));
    const stubborn = shell("trap '' TERM; while :; do sleep 0.1; done", {
      lifecycle: { preStop: { exec: { command: ["sleep", "0.2"] } } },
    });
    await node.createPod("stubborn", { terminationGracePeriodSeconds: 1, containers: [stubborn] });
    await node.until("stubborn", isReady);
    await remove("stubborn");
    const sandboxes = () => node.containerd.runtime.listPodSandboxes();
    await eventually("no sandbox is left", async () => ((await sandboxes()).length === 0 ? true : undefined));
  });
});
