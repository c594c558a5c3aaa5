/** Pods as users write them: each feature on a real node, and what the API says of it in upstream's words. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { corev1 } from "#api";
import { eventually, needsRecentKubectl, newestKubectl } from "./harness.ts";

const kubectl = newestKubectl();
const namespace = "pods";
const k = (...args: string[]) => kubectl.ok(["-n", namespace, ...args]);
const pod = (name: string) => kubectl.json<corev1.Pod>(["-n", namespace, "get", "pod", name]);
const status = async (name: string) => (await pod(name)).status!;
let folder: string;

/** Events about a pod as `Type Reason: message`. */
async function events(name: string): Promise<string[]> {
  const selector = `--field-selector=involvedObject.name=${name}`;
  const { items } = await kubectl.json<{ items: corev1.Event[] }>([
    "-n",
    namespace,
    "get",
    "events",
    selector,
  ]);
  return items.map((e) => `${e.type} ${e.reason}: ${e.message}`);
}

const condition = ({ conditions = [] }: corev1.PodStatus, type: string) =>
  conditions.find((c) => c.type === type);

const shell = (script: string) => `image: "busybox:1.36", command: [sh, -c, ${JSON.stringify(script)}]`;

function manifest(name: string, spec: string): string {
  return `---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name}}, annotations: {note: hello}}
spec:
  terminationGracePeriodSeconds: 2
${spec.replaceAll(/^/gm, "  ")}
`;
}

function manifests(): string {
  const sleeps = shell("exec sleep 6000");
  return [
    manifest(
      "probed",
      `containers:
- {name: c, ${shell("mkdir /www; echo hi > /www/index.html; sleep 2; exec httpd -f -p 8080 -h /www")},
   ports: [{name: web, containerPort: 8080}],
   startupProbe: {httpGet: {path: /, port: web}, periodSeconds: 1, failureThreshold: 30},
   livenessProbe: {tcpSocket: {port: web}, periodSeconds: 1},
   readinessProbe: {httpGet: {path: /none, port: 8080}, periodSeconds: 1}}`,
    ),
    manifest(
      "grpc",
      `containers: [{name: c, ${sleeps}, readinessProbe: {grpc: {port: 5000}, periodSeconds: 1}}]`,
    ),
    manifest(
      "unlively",
      `containers: [{name: c, ${sleeps}, livenessProbe: {exec: {command: [sh, -c, "echo sick; exit 1"]}, periodSeconds: 1, failureThreshold: 2}}]`,
    ),
    manifest(
      "init",
      `initContainers:
- {name: again, ${shell("echo run >> /w/n; [ $(wc -l < /w/n) -ge 2 ]")}, volumeMounts: [{name: w, mountPath: /w}]}
containers: [{name: c, ${sleeps}}]
volumes: [{name: w, emptyDir: {}}]`,
    ),
    manifest(
      "sidecar",
      `restartPolicy: Never
initContainers:
- {name: side, restartPolicy: Always, ${shell("trap 'exit 0' TERM; touch /w/up; while true; do sleep 0.2; done")},
   startupProbe: {exec: {command: [cat, /w/up]}, periodSeconds: 1}, volumeMounts: [{name: w, mountPath: /w}]}
- {name: needs, ${shell("cat /w/up")}, volumeMounts: [{name: w, mountPath: /w}]}
containers: [{name: c, ${shell("sleep 1")}}]
volumes: [{name: w, emptyDir: {}}]`,
    ),
    manifest("crash", `containers: [{name: c, ${shell("echo last words > /dev/termination-log; exit 2")}}]`),
    manifest("late", `restartPolicy: Never\nactiveDeadlineSeconds: 2\ncontainers: [{name: c, ${sleeps}}]`),
    manifest(
      "greedy",
      `restartPolicy: Never
containers: [{name: c, ${shell("dd if=/dev/zero of=/dev/null bs=200M count=2")}, resources: {limits: {memory: 20Mi}}}]`,
    ),
    manifest(
      "hooked",
      `containers:
- {name: c, ${shell("trap 'echo term > /h/3; exit 0' TERM; while true; do sleep 0.1; done")},
   lifecycle: {postStart: {exec: {command: [sh, -c, "echo post > /h/1"]}}, preStop: {exec: {command: [sh, -c, "echo pre > /h/2"]}}},
   volumeMounts: [{name: h, mountPath: /h}]}
volumes: [{name: h, hostPath: {path: ${folder}, type: Directory}}]`,
    ),
    manifest("debugged", `containers: [{name: c, ${sleeps}}]`),
    manifest("absent", `containers: [{name: c, ${sleeps}, envFrom: [{configMapRef: {name: none}}]}]`),
    manifest(
      "full",
      `hostname: host
subdomain: sub
hostAliases: [{ip: 192.0.2.9, hostnames: [alias.test]}]
securityContext: {runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000}
containers:
- name: c
  image: busybox:1.36
  command: [sh, -c, 'echo "$1"; exec sleep 6000', sh, "$(A) $(B) $$(A)"]
  resources: {requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 500m, memory: 64Mi}}
  securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  env:
  - {name: A, value: aa}
  - {name: B, value: "$(A)-$(C)"}
  - {name: C, value: late}
  - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: MILLIS, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
  - {name: PASS, valueFrom: {secretKeyRef: {name: settings, key: pass}}}
  - {name: NONE, valueFrom: {configMapKeyRef: {name: none, key: a, optional: true}}}
  envFrom: [{prefix: P_, configMapRef: {name: settings}}]
  volumeMounts:
  - {name: cm, mountPath: /cm}
  - {name: cm, mountPath: /one, subPath: a}
  - {name: mem, mountPath: /mem}
  - {name: dir, mountPath: /sub, subPathExpr: "$(NAME)/deep"}
  - {name: token, mountPath: /token}
  - {name: down, mountPath: /down}
volumes:
- {name: cm, configMap: {name: settings}}
- {name: mem, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
- {name: dir, emptyDir: {}}
- {name: down, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
- {name: token, projected: {sources: [{serviceAccountToken: {path: token, audience: elsewhere}}]}}`,
    ),
  ].join("");
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "knarr-hooks-"));
  await kubectl.ok(["create", "namespace", namespace]);
  await k("create", "configmap", "settings", "--from-literal=a=1");
  await k("create", "secret", "generic", "settings", "--from-literal=pass=s3cret");
  await kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input: manifests() });
});

afterAll(async () => {
  await kubectl.ok(["delete", "namespace", namespace, "--timeout=60s"]);
  await rm(folder, { recursive: true, force: true });
});

describe("probes", () => {
  test("a pod is not ready while it answers what the readiness probe does not want", async () => {
    const seen = await eventually("the probe's word", async () => {
      const all = await events("probed");
      return all.some((e) => e.includes("Readiness probe failed")) ? all : undefined;
    });
    expect(seen).toContain(
      "Warning Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 404",
    );
    const { podIP, containerStatuses } = await status("probed");
    expect(seen).toContain(
      `Warning Unhealthy: Startup probe failed: Get "http://${podIP}:8080/": dial tcp ${podIP}:8080: connect: connection refused`,
    );
    expect(containerStatuses?.[0]).toMatchObject({ ready: false, started: true, restartCount: 0 });
    expect(condition(await status("probed"), "Ready")).toMatchObject({
      status: "False",
      reason: "ContainersNotReady",
      message: "containers with unready status: [c]",
    });
  });

  test("a gRPC server that does not listen is told as such", async () => {
    await eventually(
      "the probe's word",
      async () =>
        (await events("grpc")).some((e) => e.includes(":5000: connect: connection refused")) || undefined,
    );
  });

  test("an unhealthy container is started again", async () => {
    await eventually(
      "a restart",
      async () => ((await status("unlively")).containerStatuses?.[0]?.restartCount ?? 0) > 0 || undefined,
    );
    expect(await events("unlively")).toEqual(
      expect.arrayContaining([
        expect.stringContaining("Liveness probe failed: sick"),
        "Normal Killing: Container c failed liveness probe, will be restarted",
      ]),
    );
  });
});

describe("how pods begin and end", () => {
  test("an init container is tried again until it succeeds", async () => {
    await k("wait", "--for=condition=Ready", "pod/init", "--timeout=60s");
    expect((await status("init")).initContainerStatuses?.[0]).toMatchObject({ restartCount: 1, ready: true });
  });

  needsRecentKubectl("a sidecar is up before the next begins, and ends with the pod", async () => {
    await k("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/sidecar", "--timeout=60s");
    const ended = await status("sidecar");
    expect(ended.initContainerStatuses?.map((s) => s.state?.terminated?.exitCode)).toEqual([0, 0]);
    for (const type of ["Initialized", "Ready", "ContainersReady"]) {
      const { reason, message } = condition(ended, type)!;
      expect([type, reason, message]).toEqual([type, "PodCompleted", undefined]);
    }
  });

  test("what crashes is held back, and its last words are kept", async () => {
    const crashed = await eventually("the back-off", async () => {
      const [main] = (await status("crash")).containerStatuses ?? [];
      return main?.state?.waiting?.reason === "CrashLoopBackOff" ? main : undefined;
    });
    expect(crashed.state?.waiting?.message).toMatch(
      /^back-off \d+s restarting failed container=c pod=crash_pods\(/,
    );
    expect(crashed.lastState?.terminated).toMatchObject({
      exitCode: 2,
      reason: "Error",
      message: "last words\n",
    });
  });

  needsRecentKubectl("a deadline and too little memory end a pod for good", async () => {
    for (const name of ["late", "greedy"])
      await k("wait", "--for=jsonpath={.status.phase}=Failed", `pod/${name}`, "--timeout=60s");
    expect(await status("late")).toMatchObject({
      reason: "DeadlineExceeded",
      message: "Pod was active on the node longer than the specified deadline",
    });
    expect((await status("greedy")).containerStatuses?.[0]?.state?.terminated).toMatchObject({
      exitCode: 137,
      reason: "OOMKilled",
    });
  });

  test("hooks run after the start and before the signal", async () => {
    await k("wait", "--for=condition=Ready", "pod/hooked", "--timeout=60s");
    await k("delete", "pod", "hooked", "--timeout=30s");
    expect((await readdir(folder)).sort()).toEqual(["1", "2", "3"]);
    expect(await readFile(join(folder, "3"), "utf8")).toBe("term\n");
  });
});

describe("what a container finds", () => {
  const inside = (script: string) => k("exec", "full", "--", "sh", "-c", script);
  beforeAll(() => k("wait", "--for=condition=Ready", "pod/full", "--timeout=60s"));

  test("its environment and its words, with references resolved in order", async () => {
    expect(await k("logs", "full")).toBe("aa aa-$(C) $(A)\n");
    expect(await inside("echo $NAME $MILLIS $PASS $P_a; env | grep -c ^NONE= || true")).toBe(
      "full 500 s3cret 1\n0\n",
    );
  });

  test("its user, its limits, its names", async () => {
    expect(await inside("id")).toContain("uid=1000 gid=3000 groups=2000,3000");
    expect(await inside("touch /x 2>&1 || true")).toContain("Read-only file system");
    expect(await inside("grep CapBnd /proc/self/status")).toMatch(/\s0+$/m);
    expect(await inside("hostname -f; grep alias.test /etc/hosts")).toBe(
      "host.sub.pods.svc.cluster.local\n192.0.2.9\talias.test\n",
    );
    const limits = await inside(
      "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true",
    );
    expect(limits.trim()).toBe(String(64 * 1024 * 1024));
  });

  test("its volumes: files, parts of them, memory, tokens only its user reads", async () => {
    expect(await inside("cat /cm/a /one /down/labels")).toBe('11app="full"');
    expect(await inside("echo x > /sub/y && stat -c %a /sub")).toBe("2777\n");
    expect(await inside("df -m /mem | tail -1")).toMatch(/tmpfs\s+8\s/);
    expect(await inside("stat -Lc '%a %u %g' /token/token")).toBe("640 1000 2000\n");
  });

  test("a changed ConfigMap, without a restart, but not in a part of a volume", async () => {
    await k("patch", "configmap", "settings", "-p", '{"data":{"a":"2"}}');
    await eventually("the new value", async () => (await inside("cat /cm/a")) === "2" || undefined, 120_000);
    expect(await inside("cat /one")).toBe("1");
  });
});

describe("looking into pods", () => {
  needsRecentKubectl(
    "an ephemeral container sees the processes of another, and its end is told",
    async () => {
      await k("wait", "--for=condition=Ready", "pod/debugged", "--timeout=60s");
      const script = "ps; exit 3";
      await k(
        "debug",
        "debugged",
        "--image=busybox:1.36",
        "--target=c",
        "-c",
        "look",
        "--",
        "sh",
        "-c",
        script,
      );
      const ended = await eventually("its end", async () => {
        const [look] = (await status("debugged")).ephemeralContainerStatuses ?? [];
        return look?.state?.terminated;
      });
      expect(ended.exitCode).toBe(3);
      expect(await k("logs", "debugged", "-c", "look")).toContain("sleep 6000");
      expect((await status("debugged")).phase).toBe("Running");
    },
  );

  test("exec into what does not run says so", async () => {
    const refused = await kubectl.try(["-n", namespace, "exec", "absent", "--", "true"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('container not found ("c")');
    expect((await status("absent")).containerStatuses?.[0]?.state?.waiting).toEqual({
      reason: "CreateContainerConfigError",
      message: 'configmap "none" not found',
    });
  });
});
