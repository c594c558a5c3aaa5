import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../testing/start.ts";
import { violationsOf } from "./policy.ts";

let server: TestServer;
let namespace = "";
let count = 0;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(() => {
  namespace = `ns-${++count}`;
});

const label = (mode: string) => `pod-security.kubernetes.io/${mode}`;

async function withLabels(labels: Record<string, string>) {
  const prefixed = Object.fromEntries(Object.entries(labels).map(([mode, value]) => [label(mode), value]));
  const made = await server.send("POST", "/api/v1/namespaces", {
    metadata: { name: namespace, labels: prefixed },
  });
  // Pods wait for it otherwise.
  await server.send("POST", `/api/v1/namespaces/${namespace}/serviceaccounts`, {
    metadata: { name: "default" },
  });
  return made;
}

const container = (securityContext: object = {}, name = "c") => ({ name, image: "i", securityContext });

const goodContext = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  runAsNonRoot: true,
  seccompProfile: { type: "RuntimeDefault" },
};

function createPod(spec: object, name = "p") {
  return server.send("POST", `/api/v1/namespaces/${namespace}/pods`, {
    metadata: { name },
    spec: { containers: [container()], ...spec },
  });
}

test("restricted: everything is told at once", async () => {
  await withLabels({ enforce: "restricted" });
  const { status, body } = await createPod({});
  expect(status).toBe(403);
  expect(body.message).toBe(
    'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
  );
  expect((await createPod({ containers: [container(goodContext)] })).status).toBe(201);
});

test.each([
  ["host namespaces (hostIPC, hostNetwork, hostPID)", { hostPID: true, hostIPC: true, hostNetwork: true }],
  [
    'privileged (containers "a", "b" must not set securityContext.privileged=true)',
    { containers: [container({ privileged: true }, "a"), container({ privileged: true }, "b")] },
  ],
  [
    'hostPort (container "c" uses hostPorts 80, 81)',
    {
      containers: [
        { ...container(), ports: [80, 81].map((port) => ({ containerPort: port, hostPort: port })) },
      ],
    },
  ],
  [
    'non-default capabilities (container "c" must not include "NET_RAW", "SYS_TIME" in securityContext.capabilities.add)',
    { containers: [container({ capabilities: { add: ["SYS_TIME", "NET_RAW", "CHOWN"] } })] },
  ],
  ['hostPath volumes (volume "v")', { volumes: [{ name: "v", hostPath: { path: "/" } }] }],
  [
    'probe or lifecycle host (container "c" uses probe or lifecycle host "10.0.0.1")',
    { containers: [{ ...container(), livenessProbe: { httpGet: { host: "10.0.0.1", port: 80 } } }] },
  ],
  [
    "forbidden sysctls (kernel.msgmax)",
    {
      securityContext: {
        sysctls: [
          { name: "kernel.msgmax", value: "1" },
          { name: "net.ipv4.tcp_rmem", value: "1" },
        ],
      },
    },
  ],
  [
    'seccompProfile (pod and container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    {
      securityContext: { seccompProfile: { type: "Unconfined" } },
      containers: [container({ seccompProfile: { type: "Unconfined" } })],
    },
  ],
  [
    'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "x_t"; user may not be set)',
    { securityContext: { seLinuxOptions: { type: "x_t", user: "u" } } },
  ],
  [
    'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
    { containers: [container({ appArmorProfile: { type: "Unconfined" } })] },
  ],
])("baseline: %s", async (why, spec) => {
  await withLabels({ enforce: "baseline", "enforce-version": "v1.36" });
  const { status, body } = await createPod(spec);
  expect(body.message).toBe(`pods "p" is forbidden: violates PodSecurity "baseline:v1.36": ${why}`);
  expect(status).toBe(403);
  expect((await createPod({})).status).toBe(201);
});

test("workloads and pods are told of, not refused, where only warnings are asked for", async () => {
  await withLabels({ enforce: "privileged", warn: "baseline" });
  const pod = await createPod({ hostPID: true });
  const why = 'would violate PodSecurity "baseline:latest": host namespaces (hostPID)';
  expect([pod.status, pod.headers.warning]).toEqual([201, `299 - "${why.replaceAll('"', '\\"')}"`]);
  const deployment = await server.send("POST", `/apis/apps/v1/namespaces/${namespace}/deployments`, {
    metadata: { name: "d" },
    spec: {
      selector: { matchLabels: { a: "b" } },
      template: { metadata: { labels: { a: "b" } }, spec: { hostPID: true, containers: [container()] } },
    },
  });
  expect([deployment.status, deployment.headers.warning]).toEqual([201, pod.headers.warning]);
});

test("what changes of a pod is looked at where it matters", async () => {
  await withLabels({});
  await createPod({ hostPID: true });
  const at = `/api/v1/namespaces/${namespace}/pods/p`;
  const merge = { "content-type": "application/merge-patch+json" };
  await server.send(
    "PATCH",
    `/api/v1/namespaces/${namespace}`,
    { metadata: { labels: { [label("enforce")]: "baseline" } } },
    merge,
  );
  expect((await server.send("PATCH", at, { metadata: { labels: { a: "b" } } }, merge)).status).toBe(200);
  const image = { spec: { containers: [{ ...container(), image: "other" }] } };
  const strategic = { "content-type": "application/strategic-merge-patch+json" };
  expect((await server.send("PATCH", at, image, strategic)).status).toBe(403);
  const debug = { spec: { ephemeralContainers: [{ name: "debug", image: "i" }] } };
  expect((await server.send("PATCH", `${at}/ephemeralcontainers`, debug, strategic)).status).toBe(403);
});

test("a namespace that becomes stricter tells what its pods are against", async () => {
  await withLabels({});
  await createPod({ hostPID: true }, "b");
  await createPod({ hostPID: true }, "a");
  await createPod({ volumes: [{ name: "v", hostPath: { path: "/" } }] }, "z");
  await createPod({}, "good");
  const merge = { "content-type": "application/merge-patch+json" };
  const patch = { metadata: { labels: { [label("enforce")]: "baseline" } } };
  const { status, headers } = await server.send(
    "PATCH",
    `/api/v1/namespaces/${namespace}?dryRun=All`,
    patch,
    merge,
  );
  expect(status).toBe(200);
  const warnings = String(headers.warning);
  expect(warnings).toContain(
    `existing pods in namespace \\"${namespace}\\" violate the new PodSecurity enforce level \\"baseline:latest\\"`,
  );
  expect(warnings).toContain("a (and 1 other pod): host namespaces");
  expect(warnings).toContain("z: hostPath volumes");
  expect(warnings).not.toContain("good");
});

test("labels nobody understands are refused", async () => {
  const { status, body } = await withLabels({ enforce: "strict", "warn-version": "1.2" });
  expect(status).toBe(422);
  expect(body.message).toBe(
    `Namespace "${namespace}" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.2": must be "latest" or "v1.x"]`,
  );
});

test("an older version of the standards asks for what it asked for then", () => {
  const pod = {
    metadata: {},
    spec: {
      hostUsers: false,
      containers: [
        { ...container({ procMount: "Unmasked" }), livenessProbe: { tcpSocket: { host: "h", port: 1 } } },
      ],
    },
  } as never;
  const reasons = (level: "baseline" | "restricted", version: string) =>
    violationsOf({ level, version }, pod).map(({ reason }) => reason);
  expect(reasons("baseline", "v1.33")).toEqual(["procMount"]);
  expect(reasons("baseline", "v1.34")).toEqual(["probe or lifecycle host", "procMount"]);
  expect(reasons("baseline", "latest")).toEqual(["probe or lifecycle host"]);
  expect(reasons("restricted", "latest")).toEqual([
    "probe or lifecycle host",
    "allowPrivilegeEscalation != false",
    "unrestricted capabilities",
    "procMount",
    "seccompProfile",
  ]);
  expect(reasons("restricted", "v1.7")).toEqual(["procMount", "runAsNonRoot != true"]);
});
