/** What containers find in their environment, and how variables are expanded. */
import { expect } from "vitest";
import { configMaps, type corev1, type Draft, pods, secrets, services } from "#api";
import { podSpec } from "../objects.ts";
import { outputOf, shell } from "../pods.ts";
import { conformance, type Given } from "../suite.ts";

type Variable = Draft<corev1.EnvVar>;

async function environment(
  given: Given,
  more: Draft<corev1.Container>,
  name?: string,
): Promise<Record<string, string>> {
  // Not by a shell: it would drop names that are none of its own.
  const container = { ...shell(given.image, ""), command: ["env"], ...more };
  const text = await outputOf(given, container, name ? { name } : {});
  return Object.fromEntries(
    text
      .split("\n")
      .filter((line) => line.includes("="))
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

const data = { "data-1": "value-1", "data-2": "value-2" };
const map = ({ kube, namespace }: Given, of = data) =>
  kube.resource(configMaps, namespace).create({ metadata: { name: "env" }, data: of });
const secret = ({ kube, namespace }: Given, of = data) =>
  kube.resource(secrets, namespace).create({ metadata: { name: "env" }, stringData: of });

conformance("node-78e08c", "A variable from a ConfigMap's key", async (given) => {
  await map(given);
  const env: Variable[] = [
    { name: "CONFIG_DATA_1", valueFrom: { configMapKeyRef: { name: "env", key: "data-1" } } },
  ];
  expect(await environment(given, { env })).toMatchObject({ CONFIG_DATA_1: "value-1" });
});

conformance("node-7b3dae", "A variable from a Secret's key", async (given) => {
  await secret(given);
  const env: Variable[] = [
    { name: "SECRET_DATA", valueFrom: { secretKeyRef: { name: "env", key: "data-1" } } },
  ];
  expect(await environment(given, { env })).toMatchObject({ SECRET_DATA: "value-1" });
});

const both = { data_1: "value-1", data_2: "value-2" };
const doubled = { data_1: "value-1", p_data_1: "value-1", data_2: "value-2", p_data_2: "value-2" };

conformance("node-855315", "All variables of a ConfigMap", async (given) => {
  await map(given, both as never);
  const envFrom = [{ configMapRef: { name: "env" } }, { prefix: "p_", configMapRef: { name: "env" } }];
  expect(await environment(given, { envFrom })).toMatchObject(doubled);
});

conformance("node-b32593", "All variables of a Secret", async (given) => {
  await secret(given, both as never);
  const envFrom = [{ secretRef: { name: "env" } }, { prefix: "p_", secretRef: { name: "env" } }];
  expect(await environment(given, { envFrom })).toMatchObject(doubled);
});

const prefixes = ["1-", "$_-", "#", "a.b/"];
const prefixed = Object.fromEntries(prefixes.map((prefix) => [`${prefix}data-1`, "value-1"]));

conformance("node-2c41fd", "Prefixes of any printable characters, for a ConfigMap", async (given) => {
  await map(given);
  const envFrom = prefixes.map((prefix) => ({ prefix, configMapRef: { name: "env" } }));
  expect(await environment(given, { envFrom })).toMatchObject(prefixed);
});

conformance("node-32f1f5", "Prefixes of any printable characters, for a Secret", async (given) => {
  await secret(given);
  const envFrom = prefixes.map((prefix) => ({ prefix, secretRef: { name: "env" } }));
  expect(await environment(given, { envFrom })).toMatchObject(prefixed);
});

const field = (name: string, fieldPath: string): Variable => ({
  name,
  valueFrom: { fieldRef: { apiVersion: "v1", fieldPath } },
});
const resource = (name: string, of: string): Variable => ({
  name,
  valueFrom: { resourceFieldRef: { resource: of } },
});
const address = /^\d+\.\d+\.\d+\.\d+$|:/;

conformance("node-c892f1", "A pod's name, namespace and address", async (given) => {
  const env = [
    field("POD_NAME", "metadata.name"),
    field("POD_NAMESPACE", "metadata.namespace"),
    field("POD_IP", "status.podIP"),
  ];
  const found = await environment(given, { env }, "named");
  expect(found).toMatchObject({ POD_NAME: "named", POD_NAMESPACE: given.namespace });
  expect(found.POD_IP).toMatch(address);
});

conformance("node-2f5def", "The address of the node", async (given) => {
  expect((await environment(given, { env: [field("HOST_IP", "status.hostIP")] })).HOST_IP).toMatch(address);
});

conformance("node-6ceed0", "The addresses of the node", async (given) => {
  const found = await environment(given, {
    env: [field("HOST_IPS", "status.hostIPs"), field("HOST_IP", "status.hostIP")],
  });
  expect(found.HOST_IPS?.split(",")[0]).toBe(found.HOST_IP);
});

conformance("node-2b6e52", "A pod's uid", async (given) => {
  const found = await environment(given, { env: [field("POD_UID", "metadata.uid")] }, "with-uid");
  expect(found.POD_UID).toBe((await given.kube.resource(pods, given.namespace).get("with-uid")).metadata.uid);
});

const asked = [
  resource("CPU_LIMIT", "limits.cpu"),
  resource("MEMORY_LIMIT", "limits.memory"),
  resource("CPU_REQUEST", "requests.cpu"),
  resource("MEMORY_REQUEST", "requests.memory"),
];

conformance("node-27830e", "A container's limits and requests", async (given) => {
  const resources = { requests: { cpu: "250m", memory: "32Mi" }, limits: { cpu: "1250m", memory: "64Mi" } };
  expect(await environment(given, { env: asked, resources })).toMatchObject({
    CPU_LIMIT: "2",
    MEMORY_LIMIT: "67108864",
    CPU_REQUEST: "1",
    MEMORY_REQUEST: "33554432",
  });
});

conformance("node-df7538", "What the node has, where there is no limit", async (given) => {
  const found = await environment(given, { env: asked.slice(0, 2) });
  expect(Number(found.CPU_LIMIT)).toBeGreaterThan(0);
  expect(Number(found.MEMORY_LIMIT)).toBeGreaterThan(0);
});

conformance("node-d62fd5", "Variables are made of others", async (given) => {
  const env = [
    { name: "FOO", value: "foo-value" },
    { name: "BAR", value: "bar-value" },
    { name: "FOOBAR", value: "$(FOO);;$(BAR)" },
    { name: "KEPT", value: "$$(FOO) $(ABSENT)" },
  ];
  expect(await environment(given, { env })).toMatchObject({
    FOOBAR: "foo-value;;bar-value",
    KEPT: "$(FOO) $(ABSENT)",
  });
});

const test = [{ name: "TEST_VAR", value: "test-value" }];

conformance("node-36e419", "Variables in a command", async (given) => {
  const command = ["sh", "-c", 'TEST_VAR=wrong echo "$(TEST_VAR)"'];
  expect(await outputOf(given, { ...shell(given.image, ""), command, env: test })).toBe("test-value\n");
});

conformance("node-3ff7ac", "Variables in arguments", async (given) => {
  const more = { command: ["sh", "-c"], args: ['TEST_VAR=wrong echo "$(TEST_VAR)"'], env: test };
  expect(await outputOf(given, { ...shell(given.image, ""), ...more })).toBe("test-value\n");
});

conformance("node-80a770", "Services of the namespace", async (given) => {
  const { kube, namespace } = given;
  const created = await kube.resource(services, namespace).create({
    metadata: { name: "fooservice" },
    spec: { selector: { name: "server" }, ports: [{ port: 8765, targetPort: 8080 }] },
  });
  await kube
    .resource(pods, namespace)
    .create({ metadata: { name: "server", labels: { name: "server" } }, spec: podSpec(given.image) });
  const ip = created.spec.clusterIP ?? "";
  expect(await environment(given, {})).toMatchObject({
    FOOSERVICE_SERVICE_HOST: ip,
    FOOSERVICE_SERVICE_PORT: "8765",
    FOOSERVICE_PORT: `tcp://${ip}:8765`,
    FOOSERVICE_PORT_8765_TCP: `tcp://${ip}:8765`,
    FOOSERVICE_PORT_8765_TCP_PROTO: "tcp",
    FOOSERVICE_PORT_8765_TCP_PORT: "8765",
    FOOSERVICE_PORT_8765_TCP_ADDR: ip,
  });
});

conformance("node-b62fc6", "A ConfigMap is updated", async ({ kube, namespace }) => {
  const all = kube.resource(configMaps, namespace);
  await all.create({ metadata: { name: "updated" } });
  await all.update("updated", (object) => {
    object.data = { data: "value" };
  });
  expect((await all.get("updated")).data).toEqual({ data: "value" });
});

const volumes = [{ name: "work", emptyDir: {} }];
const podName = [field("POD_NAME", "metadata.name")];

conformance("node-d9ec1f", "A variable names a part of a volume", async (given) => {
  const volumeMounts = [
    { name: "work", mountPath: "/logscontainer", subPathExpr: "$(POD_NAME)" },
    { name: "work", mountPath: "/testcontainer" },
  ];
  const script = "test -d /testcontainer/$POD_NAME && echo here";
  expect(
    await outputOf(given, shell(given.image, script, { env: podName, volumeMounts }), {
      name: "expanded",
      spec: { volumes },
    }),
  ).toBe("here\n");
});

async function neverStarts(given: Given, subPathExpr: string, env: Variable[]): Promise<void> {
  const container = shell(given.image, "echo never", {
    env,
    volumeMounts: [{ name: "work", mountPath: "/logs", subPathExpr }],
  });
  const all = given.kube.resource(pods, given.namespace);
  await all.create({
    metadata: { name: "refused" },
    spec: { restartPolicy: "Never", containers: [container], volumes },
  });
  const pod = await all.until("refused", ({ status }) =>
    Boolean(
      status?.containerStatuses?.[0]?.state?.waiting?.reason?.includes("Err") ||
        status?.containerStatuses?.[0]?.state?.waiting?.reason?.includes("Error"),
    ),
  );
  expect(pod.status?.containerStatuses?.[0]?.state?.waiting?.message).toMatch(/[sS]ubPath/);
}

conformance("node-e0603c", "A part of a volume is not named by a command", (given) =>
  neverStarts(given, "$(POD_NAME)", [{ name: "POD_NAME", value: "..`pwd`/.." }]),
);

conformance("node-a3fa7f", "A part of a volume is not named by an absolute path", (given) =>
  neverStarts(given, "$(POD_NAME)", [{ name: "POD_NAME", value: "/tmp" }]),
);

conformance("node-b12fa7", "A pod starts once its variable names a part of a volume", async (given) => {
  const env = [
    { name: "ANNOTATION", valueFrom: { fieldRef: { fieldPath: "metadata.annotations['mysubpath']" } } },
  ];
  const volumeMounts = [
    { name: "work", mountPath: "/subpath_mount", subPathExpr: "$(ANNOTATION)/$(POD_NAME)" },
  ];
  const container = shell(given.image, "sleep 3600", { env: [...env, ...podName], volumeMounts });
  const all = given.kube.resource(pods, given.namespace);
  const metadata = { name: "fixed", annotations: { notmysubpath: "mypath" } };
  await all.create({
    metadata,
    spec: { containers: [container], volumes, terminationGracePeriodSeconds: 0 },
  });
  await all.until("fixed", ({ status }) => Boolean(status?.containerStatuses?.[0]?.state?.waiting?.message));
  await all.patch("fixed", "merge", { metadata: { annotations: { mysubpath: "mypath" } } });
  await all.until("fixed", ({ status }) => status?.phase === "Running", 120_000);
});

conformance("node-841fbc", "Files are written by a named part of a volume", async (given) => {
  const env = [
    { name: "ANNOTATION", valueFrom: { fieldRef: { fieldPath: "metadata.annotations['mysubpath']" } } },
    ...podName,
  ];
  const volumeMounts = [
    { name: "work", mountPath: "/volume_mount" },
    { name: "work", mountPath: "/subpath_mount", subPathExpr: "$(ANNOTATION)/$(POD_NAME)" },
  ];
  const script =
    "touch /subpath_mount/test.log && test -f /volume_mount/mypath/$POD_NAME/test.log && echo written";
  const options = { name: "written", annotations: { mysubpath: "mypath" }, spec: { volumes } };
  expect(await outputOf(given, shell(given.image, script, { env, volumeMounts }), options)).toBe("written\n");
});
