/** What a user of kubectl relies on. */
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { deployments, pods, replicationControllers, services } from "#api";
import { eventually } from "../../eventually.ts";
import { hostnameServer } from "../network/traffic.ts";
import { podSpec, podTemplate, sleeper } from "../objects.ts";
import { createPod, shell } from "../pods.ts";
import { conformance, type Given } from "../suite.ts";

const inNamespace = ({ namespace }: Given, ...args: string[]) => ["-n", namespace, ...args];

async function controller(given: Given, name: string, replicas: number): Promise<void> {
  const labels = { name };
  const all = given.kube.resource(replicationControllers, given.namespace);
  await all.create({
    metadata: { name },
    spec: { replicas, selector: labels, template: podTemplate(given.image, labels) },
  });
  await all.until(name, ({ status }) => status?.readyReplicas === replicas);
}

conformance("cli-56460a", "kubectl api-versions tells v1", async ({ kubectl }) => {
  expect((await kubectl.ok(["api-versions"])).split("\n")).toContain("v1");
});

conformance("cli-f43e21", "kubectl cluster-info tells where the control plane runs", async ({ kubectl }) => {
  expect(await kubectl.ok(["cluster-info"])).toMatch(/Kubernetes (?:control plane|master).* is running at/s);
});

conformance("cli-9bd4e1", "kubectl version tells both versions", async ({ kubectl }) => {
  const { clientVersion, serverVersion } = JSON.parse(await kubectl.ok(["version", "-o", "json"])) as Record<
    string,
    Record<string, string>
  >;
  for (const version of [clientVersion, serverVersion]) {
    expect(version?.major).toMatch(/^\d+/);
    expect(version?.minor).toMatch(/^\d+/);
    expect(version?.gitVersion).toMatch(/^v\d/);
    expect(version?.gitCommit).toBeTruthy();
  }
});

conformance("cli-90f4f3", "kubectl run makes a pod", async (given) => {
  await given.kubectl.ok(
    inNamespace(given, "run", "e2e-test-pod", "--restart=Never", `--image=${given.image}`),
  );
  const pod = await given.kube.resource(pods, given.namespace).get("e2e-test-pod");
  expect([pod.spec.containers[0]?.image, pod.spec.restartPolicy]).toEqual([given.image, "Never"]);
});

conformance("cli-63ee84", "kubectl patch --dry-run=server changes nothing", async (given) => {
  const name = "dry-run-pod";
  await given.kubectl.ok(
    inNamespace(given, "run", name, `--image=${given.image}`, "--labels=run=dry-run-pod"),
  );
  const patch = JSON.stringify({ spec: { containers: [{ name, image: "other.example.com/image:1" }] } });
  await given.kubectl.ok(inNamespace(given, "patch", "pod", name, "-p", patch, "--dry-run=server"));
  const pod = await given.kube.resource(pods, given.namespace).get(name);
  expect(pod.spec.containers[0]?.image).toBe(given.image);
});

conformance("cli-07e131", "kubectl replace changes a pod's image", async (given) => {
  const name = await createPod(given, { name: "replaced", spec: { containers: [sleeper(given.image)] } });
  const all = given.kube.resource(pods, given.namespace);
  await all.until(name, ({ status }) => status?.phase === "Running");
  const json = (await given.kubectl.ok(inNamespace(given, "get", "pod", name, "-o", "json"))).replaceAll(
    `"${given.image}"`,
    '"registry.example.com/other:2"',
  );
  await given.kubectl.ok(inNamespace(given, "replace", "-f", "-"), { input: json });
  expect((await all.get(name)).spec.containers[0]?.image).toBe("registry.example.com/other:2");
});

conformance("cli-6827ea", "kubectl label sets and removes a label", async (given) => {
  const name = await createPod(given, { spec: podSpec(given.image) });
  const show = () => given.kubectl.ok(inNamespace(given, "get", "pod", name, "-L", "testing-label"));
  await given.kubectl.ok(inNamespace(given, "label", "pods", name, "testing-label=testing-label-value"));
  expect(await show()).toContain("testing-label-value");
  await given.kubectl.ok(inNamespace(given, "label", "pods", name, "testing-label-"));
  expect(await show()).not.toContain("testing-label-value");
});

conformance("cli-623bda", "kubectl patch annotates every pod of a controller", async (given) => {
  await controller(given, "annotated", 2);
  const all = given.kube.resource(pods, given.namespace);
  for (const { metadata } of (await all.list()).items)
    await given.kubectl.ok(
      inNamespace(given, "patch", "pod", metadata.name ?? "", "-p", '{"metadata":{"annotations":{"x":"y"}}}'),
    );
  expect((await all.list()).items.map(({ metadata }) => metadata.annotations?.x)).toEqual(["y", "y"]);
});

conformance("cli-409779", "kubectl expose makes services of controllers and services", async (given) => {
  await controller(given, "agnhost-primary", 1);
  const all = given.kube.resource(services, given.namespace);
  const ports = async (name: string) =>
    (await all.get(name)).spec.ports?.map(({ port, targetPort }) => [port, targetPort]);
  await given.kubectl.ok(
    inNamespace(given, "expose", "rc", "agnhost-primary", "--name=rm2", "--port=1234", "--target-port=6379"),
  );
  expect(await ports("rm2")).toEqual([[1234, 6379]]);
  await given.kubectl.ok(
    inNamespace(given, "expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379"),
  );
  expect(await ports("rm3")).toEqual([[2345, 6379]]);
});

conformance("cli-865e21", "kubectl diff shows what would change", async (given) => {
  const labels = { app: "diffed" };
  const deployment = (image: string) => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "diffed" },
    spec: { replicas: 1, selector: { matchLabels: labels }, template: podTemplate(image, labels) },
  });
  await given.kube.resource(deployments, given.namespace).create(deployment(given.image) as never);
  const input = JSON.stringify(deployment("other.example.com/image:2"));
  const { code, stdout } = await given.kubectl.try(inNamespace(given, "diff", "-f", "-"), { input });
  expect(code).toBe(1);
  expect(stdout).toMatch(new RegExp(`-.*image: ${given.image}`));
  expect(stdout).toMatch(/\+.*image: other\.example\.com\/image:2/);
});

conformance(
  "cli-6b0762",
  "kubectl describe tells about pods, controllers, services, nodes and namespaces",
  async (given) => {
    await controller(given, "described", 1);
    const { kube, namespace, kubectl } = given;
    await kube.resource(services, namespace).create({
      metadata: { name: "described", labels: { app: "described" } },
      spec: { selector: { name: "described" }, ports: [{ port: 80 }] },
    });
    const [pod] = (await kube.resource(pods, namespace).list()).items;
    const described = await kubectl.ok(inNamespace(given, "describe", "pod", pod?.metadata.name ?? ""));
    for (const word of [
      "Name:",
      "Namespace:",
      "Node:",
      "Labels:",
      "name=described",
      "Status:",
      "Running",
      "IP:",
      "Controlled By:",
      "ReplicationController/described",
      "Image:",
      given.image,
      "State:",
      "QoS Class:",
    ])
      expect(described).toContain(word);
    const rc = await kubectl.ok(inNamespace(given, "describe", "rc", "described"));
    for (const word of [
      "Name:",
      "described",
      "Selector:",
      "name=described",
      "Replicas:",
      "1 current",
      "1 desired",
      "Pods Status:",
      "1 Running",
      "Pod Template:",
      "Image:",
      "Events:",
    ])
      expect(rc).toContain(word);
    const service = await kubectl.ok(inNamespace(given, "describe", "service", "described"));
    for (const word of [
      "Name:",
      "Namespace:",
      "Labels:",
      "app=described",
      "Selector:",
      "Type:",
      "ClusterIP",
      "IP:",
      "Port:",
      "Endpoints:",
      "Session Affinity:",
    ])
      expect(service).toContain(word);
    const node = await kubectl.ok(["describe", "node", pod?.spec.nodeName ?? ""]);
    for (const word of [
      "Name:",
      "Labels:",
      "Annotations:",
      "CreationTimestamp:",
      "Conditions:",
      "MemoryPressure",
      "DiskPressure",
      "PIDPressure",
      "Ready",
      "Addresses:",
      "Capacity:",
      "Version:",
      "Kernel Version:",
      "OS Image:",
      "Container Runtime Version:",
      "Kubelet Version:",
      "Pods",
    ])
      expect(node).toContain(word);
    const own = await kubectl.ok(["describe", "namespace", namespace]);
    for (const word of [
      "Name:",
      namespace,
      "Labels:",
      "Status:",
      "Active",
      "No resource quota",
      "No LimitRange resource",
    ])
      expect(own).toContain(word);
  },
);

conformance("cli-152540", "A controller is made and deleted by kubectl", async (given) => {
  await controller(given, "update-demo", 2);
  const names = async () =>
    (await given.kubectl.ok(inNamespace(given, "get", "pods", "-l", "name=update-demo", "-o", "name")))
      .split("\n")
      .filter(Boolean);
  expect(await names()).toHaveLength(2);
  await given.kubectl.ok(inNamespace(given, "delete", "rc", "update-demo", "--grace-period=0", "--force"));
  await eventually("their end", async () => ((await names()).length === 0 ? true : undefined));
});

conformance("cli-8903c9", "kubectl scale changes the number of replicas", async (given) => {
  await controller(given, "update-demo", 2);
  const all = given.kube.resource(replicationControllers, given.namespace);
  for (const count of [1, 2]) {
    await given.kubectl.ok(
      inNamespace(given, "scale", "rc", "update-demo", `--replicas=${count}`, "--timeout=5m"),
    );
    await all.until(
      "update-demo",
      ({ status }) => status?.readyReplicas === count && status.replicas === count,
    );
  }
});

conformance("cli-5e0df0", "kubectl logs filters", async (given) => {
  const script = "for i in 1 2 3 4 5; do echo line $i; done; sleep 600";
  const name = await createPod(given, { spec: { containers: [shell(given.image, script)] } });
  const logs = (...args: string[]) => given.kubectl.ok(inNamespace(given, "logs", name, "test", ...args));
  await eventually("its lines", async () => ((await logs()).includes("line 5") ? true : undefined));
  expect(await logs("--tail=1")).toBe("line 5\n");
  expect(await logs("--limit-bytes=1")).toBe("l");
  const [time = "", text] = (await logs("--tail=1", "--timestamps")).trim().split(/ (.*)/);
  expect(Number.isNaN(Date.parse(time))).toBe(false);
  expect(text).toBe("line 5");
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect(await logs("--since=1s")).toBe("");
  expect((await logs("--since=24h")).split("\n").filter(Boolean)).toHaveLength(5);
});

/** `kubectl proxy` until the test is over; what it prints first. */
function proxy({ kubectl, afterwards }: Given, ...args: string[]): Promise<string> {
  const child = spawn(kubectl.binary, ["proxy", "--disable-filter", ...args], {
    env: { ...process.env, ...kubectl.environment },
  });
  afterwards(() => child.kill());
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\n")) resolve(text);
    });
    child.on("error", reject);
  });
}

function versionsThrough(options: object): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...options, path: "/api/" }, (incoming) => {
      let text = "";
      incoming.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
      incoming.on("end", () => resolve((JSON.parse(text) as { versions: string[] }).versions));
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}

conformance("cli-8c7d8c", "kubectl proxy takes any free port", async (given) => {
  const port = /127\.0\.0\.1:(\d+)/.exec(await proxy(given, "-p", "0"))?.[1];
  expect(await versionsThrough({ host: "127.0.0.1", port: Number(port) })).toContain("v1");
});

conformance("cli-b7e774", "kubectl proxy listens on a socket", async (given) => {
  const socketPath = join(mkdtempSync(join(tmpdir(), "kubectl-proxy-")), "test");
  await proxy(given, `--unix-socket=${socketPath}`);
  expect(await versionsThrough({ socketPath })).toContain("v1");
});

conformance("cli-c84d56", "A guestbook works, from its page to its store", async (given) => {
  const { kube, namespace, image } = given;
  const labels = (tier: string) => ({ app: "guestbook", tier });
  const store = {
    ...hostnameServer(image, 6379),
    command: [
      "sh",
      "-c",
      "mkdir -p /www/cgi-bin && echo > /www/entries && printf '#!/bin/sh\\necho\\necho \"$QUERY_STRING\" >> /www/entries\\ncat /www/entries\\n' > /www/cgi-bin/add && chmod +x /www/cgi-bin/add && cd /www && exec httpd -f -p 6379 -h /www",
    ],
  };
  const page = {
    ...hostnameServer(image, 80),
    command: [
      "sh",
      "-c",
      "mkdir -p /www/cgi-bin && printf '#!/bin/sh\\necho\\nwget -q -O - \"http://store:6379/cgi-bin/add?$QUERY_STRING\"\\n' > /www/cgi-bin/guestbook && chmod +x /www/cgi-bin/guestbook && cd /www && exec httpd -f -p 80 -h /www",
    ],
  };
  const all = kube.resource(deployments, namespace);
  for (const [name, container, port, replicas] of [
    ["store", store, 6379, 1],
    ["frontend", page, 80, 3],
  ] as const) {
    const template = {
      metadata: { labels: labels(name) },
      spec: { containers: [container], terminationGracePeriodSeconds: 0 },
    };
    await all.create({
      metadata: { name },
      spec: { replicas, selector: { matchLabels: labels(name) }, template },
    });
    await kube
      .resource(services, namespace)
      .create({ metadata: { name }, spec: { selector: labels(name), ports: [{ port }] } });
  }
  for (const name of ["store", "frontend"])
    await all.until(name, ({ spec, status }) => status?.readyReplicas === spec.replicas);
  const path = `/api/v1/namespaces/${namespace}/services/frontend:80/proxy/cgi-bin/guestbook`;
  await eventually("the entry", async () => {
    const answer = await kube.send("GET", path, { query: { entry: "TestEntry" } });
    return answer.text.includes("TestEntry") ? true : undefined;
  });
  expect((await kube.send("GET", path, { query: { entry: "Second" } })).text).toMatch(
    /TestEntry[\s\S]*Second/,
  );
});
