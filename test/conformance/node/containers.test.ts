/** Containers: what they run, how they end, in which order they start, what they may do. */
import { expect } from "vitest";
import { type corev1, type Draft, pods } from "#api";
import { never } from "../../eventually.ts";
import { createPod, logsOf, outputOf, shell, untilLogged } from "../pods.ts";
import { conformance, type Given } from "../suite.ts";

const imageOnly = (image: string): Draft<corev1.Container> => ({
  name: "test",
  image,
  imagePullPolicy: "IfNotPresent",
});
const podsOf = ({ kube, namespace }: Given) => kube.resource(pods, namespace);

conformance("node-a22561", "The image says what runs", async (given) => {
  // A shell without input has nothing to do.
  expect(await outputOf(given, imageOnly(given.image))).toBe("");
});

conformance("node-a6e3b2", "Arguments replace those of the image", async (given) => {
  expect(await outputOf(given, { ...imageOnly(given.image), args: ["echo", "override", "arguments"] })).toBe(
    "override arguments\n",
  );
});

conformance("node-df99f1", "A command replaces that of the image", async (given) => {
  expect(await outputOf(given, { ...imageOnly(given.image), command: ["echo", "override"] })).toBe(
    "override\n",
  );
});

conformance("node-d02ae2", "Command and arguments replace those of the image", async (given) => {
  const container = { ...imageOnly(given.image), command: ["echo", "override"], args: ["and", "arguments"] };
  expect(await outputOf(given, container)).toBe("override and arguments\n");
});

async function terminated(given: Given, script: string, more: Draft<corev1.Container> = {}) {
  const name = await createPod(given, { spec: { containers: [shell(given.image, script, more)] } });
  const pod = await podsOf(given).until(name, ({ status }) =>
    Boolean(status?.containerStatuses?.[0]?.state?.terminated),
  );
  return pod.status!.containerStatuses![0]!.state!.terminated!;
}

const fromLogs = { terminationMessagePolicy: "FallbackToLogsOnError" as const };

conformance("node-f8ac6e", "A success leaves no message of its log", async (given) => {
  const { message, exitCode } = await terminated(given, "echo DONE; true", fromLogs);
  expect([message ?? "", exitCode]).toEqual(["", 0]);
});

conformance("node-7e4a95", "A success leaves the message of its file", async (given) => {
  const { message } = await terminated(
    given,
    "echo -n OK; echo -n OK > /dev/termination-log; true",
    fromLogs,
  );
  expect(message).toBe("OK");
});

conformance("node-3a34c0", "A failure leaves the end of its log", async (given) => {
  const { message, exitCode } = await terminated(given, "echo -n DONE; false", fromLogs);
  expect([message, exitCode]).toEqual(["DONE", 1]);
});

conformance("node-ac4bb4", "Another user leaves a message where it was told to", async (given) => {
  const more = {
    terminationMessagePath: "/dev/termination-custom-log",
    securityContext: { runAsUser: 1000 },
  };
  const { message } = await terminated(given, "echo -n DONE > /dev/termination-custom-log", more);
  expect(message).toBe("DONE");
});

conformance(
  "node-8180f2",
  "The restart policy decides what becomes of a container that ends",
  async (given) => {
    // Fails once, then succeeds; the count of runs lies in a volume.
    const script =
      "n=$(cat /restart-count/n 2>/dev/null || echo 0); n=$((n+1)); echo $n > /restart-count/n; [ $n -ge 2 ] && exit 0 || exit 1";
    const volumeMounts = [{ name: "count", mountPath: "/restart-count" }];
    const volumes = [{ name: "count", emptyDir: {} }];
    const run = (restartPolicy: "Always" | "OnFailure" | "Never") =>
      createPod(given, {
        name: `terminate-${restartPolicy.toLowerCase()}`,
        spec: { restartPolicy, containers: [shell(given.image, script, { volumeMounts })], volumes },
      });
    const [always, onFailure, once] = await Promise.all([run("Always"), run("OnFailure"), run("Never")]);
    const restarts = (pod: corev1.Pod) => pod.status?.containerStatuses?.[0]?.restartCount ?? 0;
    const failed = await podsOf(given).until(once, ({ status }) => status?.phase === "Failed");
    expect([restarts(failed), failed.status?.containerStatuses?.[0]?.ready]).toEqual([0, false]);
    const succeeded = await podsOf(given).until(
      onFailure,
      ({ status }) => status?.phase === "Succeeded",
      90_000,
    );
    expect(restarts(succeeded)).toBe(1);
    await podsOf(given).until(always, (pod) => restarts(pod) >= 2, 120_000);
  },
);

const init = (image: string, name: string, script: string) => shell(image, script, { name });

conformance("node-ea3203", "Init containers run one after the other, then the pod", async (given) => {
  const { image } = given;
  const spec = {
    initContainers: [init(image, "init1", "true"), init(image, "init2", "true")],
    containers: [shell(image, "true")],
  };
  const name = await createPod(given, { spec });
  const pod = await podsOf(given).until(name, ({ status }) => status?.phase === "Succeeded");
  expect(
    pod.status?.initContainerStatuses?.map(({ ready, state }) => [ready, state?.terminated?.exitCode]),
  ).toEqual([
    [true, 0],
    [true, 0],
  ]);
  expect(pod.status?.conditions?.find(({ type }) => type === "Initialized")?.status).toBe("True");
});

conformance("node-c39a1f", "After its init containers a pod keeps running", async (given) => {
  const { image } = given;
  const initContainers = [init(image, "init1", "true"), init(image, "init2", "true")];
  const name = await createPod(given, {
    spec: { restartPolicy: "Always", initContainers, containers: [shell(image, "sleep 3600")] },
  });
  const pod = await podsOf(given).until(name, ({ status }) => status?.phase === "Running");
  expect(pod.status?.initContainerStatuses?.every(({ state }) => state?.terminated?.exitCode === 0)).toBe(
    true,
  );
});

conformance("node-48e25c", "A failed init container fails the pod that is not restarted", async (given) => {
  const { image } = given;
  const initContainers = [init(image, "init1", "true"), init(image, "init2", "false")];
  const name = await createPod(given, { spec: { initContainers, containers: [shell(image, "true")] } });
  const pod = await podsOf(given).until(name, ({ status }) => status?.phase === "Failed");
  expect(pod.status?.containerStatuses?.[0]?.state?.waiting?.reason).toBe("PodInitializing");
  expect(pod.status?.conditions?.find(({ type }) => type === "Initialized")).toMatchObject({
    status: "False",
    reason: "ContainersNotInitialized",
  });
});

conformance(
  "node-7c8a23",
  "A failing init container is tried again, and nothing else starts",
  async (given) => {
    const { image } = given;
    const initContainers = [init(image, "init1", "false"), init(image, "init2", "true")];
    const name = await createPod(given, {
      spec: { restartPolicy: "Always", initContainers, containers: [shell(image, "true")] },
    });
    const pod = await podsOf(given).until(
      name,
      ({ status }) => (status?.initContainerStatuses?.[0]?.restartCount ?? 0) >= 3,
      180_000,
    );
    expect(pod.status?.initContainerStatuses?.[1]?.state?.waiting).toBeDefined();
    expect(pod.status?.containerStatuses?.[0]?.state?.waiting?.reason).toBe("PodInitializing");
    expect(pod.status?.phase).toBe("Pending");
  },
  { timeoutMs: 240_000 },
);

conformance("node-fd08a4", "What a container prints is its log", async (given) => {
  expect(await outputOf(given, shell(given.image, "echo 'Hello World'; echo err >&2; sleep 0.1"))).toMatch(
    /Hello World/,
  );
});

conformance("node-1e8742", "A container that ended says why", async (given) => {
  const { reason, exitCode } = await terminated(given, "/bin/false");
  expect([reason, exitCode]).toEqual(["Error", 1]);
});

conformance("node-c0f736", "A pod that failed is deleted", async (given) => {
  const name = await createPod(given, {
    spec: { restartPolicy: "Always", containers: [shell(given.image, "/bin/false")] },
  });
  await podsOf(given).until(name, ({ status }) => (status?.containerStatuses?.[0]?.restartCount ?? 0) >= 1);
  await podsOf(given).delete(name);
  await podsOf(given).untilGone(name);
});

conformance("node-5768f5", "A read-only root is not written to", async (given) => {
  const script = "echo test > /file; cat /file; true";
  const text = await outputOf(
    given,
    shell(given.image, script, { securityContext: { readOnlyRootFilesystem: true } }),
  );
  expect(text).toMatch(/[Rr]ead-only/);
});

conformance("node-5f0be7", "A root that is not read-only is written to", async (given) => {
  const more = { securityContext: { readOnlyRootFilesystem: false } };
  expect(await outputOf(given, shell(given.image, "touch checkfile && echo done", more))).toBe("done\n");
});

conformance("node-42e4a8", "Host aliases stand in /etc/hosts", async (given) => {
  const hostAliases = [{ ip: "123.45.67.89", hostnames: ["foo", "bar"] }];
  expect(await outputOf(given, shell(given.image, "cat /etc/hosts"), { spec: { hostAliases } })).toContain(
    "123.45.67.89\tfoo\tbar",
  );
});

conformance(
  "node-59524c",
  "/etc/hosts is the pod's own, unless it is mounted or the node's",
  async (given) => {
    const { image } = given;
    const managed = "# Kubernetes-managed hosts file.";
    const read = "cat /etc/hosts; echo ---; cat /etc/hosts-original; sleep 3600";
    const original = { name: "host", mountPath: "/etc/hosts-original" };
    const volumes = [{ name: "host", hostPath: { path: "/etc/hosts", type: "File" as const } }];
    const containers = [
      shell(image, read, { name: "one", volumeMounts: [original] }),
      shell(image, read, { name: "two", volumeMounts: [{ ...original, mountPath: "/etc/hosts" }, original] }),
    ];
    const own = await createPod(given, { name: "test-pod", spec: { containers, volumes } });
    const host = await createPod(given, {
      name: "host-pod",
      spec: { hostNetwork: true, containers: [containers[0]!], volumes },
    });
    const [first = ""] = (await untilLogged(given, own, "---", "one")).split("---");
    expect(first).toContain(managed);
    const [second = ""] = (await untilLogged(given, own, "---", "two")).split("---");
    expect(second).not.toContain(managed);
    const [third = ""] = (await untilLogged(given, host, "---", "one")).split("---");
    expect(third).not.toContain("# Kubernetes-managed hosts file.\n127.0.0.1");
  },
);

const idOf = "id -u; id -g";

conformance("node-019660", "A container runs as the user it names", async (given) => {
  expect(
    (await outputOf(given, shell(given.image, idOf, { securityContext: { runAsUser: 65534 } }))).split(
      "\n",
    )[0],
  ).toBe("65534");
});

conformance("node-14974a", "A container runs as its user and group", async (given) => {
  const securityContext = { runAsUser: 1001, runAsGroup: 2002 };
  expect(await outputOf(given, shell(given.image, idOf, { securityContext }))).toBe("1001\n2002\n");
});

conformance("node-c83b68", "All containers run as the pod's user and group", async (given) => {
  const securityContext = { runAsUser: 1001, runAsGroup: 2002 };
  expect(await outputOf(given, shell(given.image, idOf), { spec: { securityContext } })).toBe("1001\n2002\n");
});

conformance("node-88184c", "A container without privileges adds no interface", async (given) => {
  const more = { securityContext: { privileged: false } };
  const text = await outputOf(given, shell(given.image, "ip link add dummy0 type dummy 2>&1 || true", more));
  expect(text).toMatch(/Operation not permitted|can't|RTNETLINK|not permitted/);
});

conformance("node-48effe", "Nobody gains privileges where that is forbidden", async (given) => {
  const securityContext = { runAsUser: 1000, allowPrivilegeEscalation: false };
  const text = await outputOf(
    given,
    shell(given.image, "id -u; grep NoNewPrivs /proc/self/status", { securityContext }),
  );
  expect(text).toMatch(/^1000\nNoNewPrivs:\s+1/);
});

conformance("node-125366", "A sysctl of the pod's own", async (given) => {
  const securityContext = { sysctls: [{ name: "kernel.shm_rmid_forced", value: "1" }] };
  const text = await outputOf(given, shell(given.image, "cat /proc/sys/kernel/shm_rmid_forced"), {
    spec: { securityContext },
  });
  expect(text).toBe("1\n");
});

conformance("node-821ae8", "Sysctls with wrong names are refused", async (given) => {
  const sysctls = [
    { name: "foo-", value: "bar" },
    { name: "kernel.shmmax", value: "100000000" },
    { name: "bar..", value: "42" },
  ];
  const attempt = createPod(given, {
    spec: { securityContext: { sysctls }, containers: [shell(given.image, "true")] },
  });
  await expect(attempt).rejects.toMatchObject({
    code: 422,
    message: expect.stringMatching(/foo-.*bar\.\./s),
  });
});

const volumeOfSignals = [{ name: "v", emptyDir: {} }];

conformance("node-b24210", "A command runs after the start", async (given) => {
  const lifecycle = { postStart: { exec: { command: ["sh", "-c", "echo hooked > /shared/hook"] } } };
  const volumeMounts = [{ name: "v", mountPath: "/shared" }];
  const script = "until [ -s /shared/hook ]; do sleep 0.1; done; cat /shared/hook; sleep 1";
  const text = await outputOf(given, shell(given.image, script, { lifecycle, volumeMounts }), {
    spec: { volumes: volumeOfSignals },
  });
  expect(text).toBe("hooked\n");
});

/** A pod that serves HTTP and logs what it is asked for. */
async function server(given: Given): Promise<{ name: string; ip: string }> {
  const container = shell(
    given.image,
    "mkdir -p /www && cd /www && touch echo && exec httpd -f -vv -p 8080 -h /www",
    // A hook has one try: the server has to listen before.
    { ports: [{ containerPort: 8080 }], readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } },
  );
  const name = await createPod(given, { name: "server", spec: { containers: [container] } });
  const pod = await podsOf(given).until(
    name,
    ({ status }) => status?.containerStatuses?.[0]?.ready === true && Boolean(status.podIP),
  );
  return { name, ip: pod.status?.podIP ?? "" };
}

conformance("node-5daecd", "A request is sent after the start", async (given) => {
  const { name, ip } = await server(given);
  const lifecycle = { postStart: { httpGet: { path: "/echo?msg=poststart", host: ip, port: 8080 } } };
  await createPod(given, { spec: { containers: [shell(given.image, "sleep 3600", { lifecycle })] } });
  await untilLogged(given, name, /url:\/echo|GET \/echo/);
});

for (const [id, title, hook] of [
  ["node-7d1403", "A request is sent before the end", "http"],
  ["node-999fb2", "A command runs before the end", "exec"],
  ["node-245e99", "A command that tells a server runs before the end", "exec"],
] as const)
  conformance(id, title, async (given) => {
    const { name, ip } = await server(given);
    const url = `http://${ip}:8080/echo?msg=prestop`;
    const preStop =
      hook === "http"
        ? { httpGet: { path: "/echo?msg=prestop", host: ip, port: 8080 } }
        : { exec: { command: ["sh", "-c", `wget -q -O - '${url}' || true`] } };
    const spec = {
      terminationGracePeriodSeconds: 10,
      containers: [shell(given.image, "sleep 3600", { lifecycle: { preStop } })],
    };
    const hooked = await createPod(given, { spec });
    await podsOf(given).until(hooked, ({ status }) => status?.phase === "Running");
    await never(
      "a request before the end",
      async () => (/echo/.test(await logsOf(given, name)) ? true : undefined),
      1_000,
    );
    await podsOf(given).delete(hooked);
    await untilLogged(given, name, /url:\/echo|GET \/echo/);
    await podsOf(given).untilGone(hooked);
  });
