/** What kubectl makes, changes and shows. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { type corev1, type Draft, type metav1, pods } from "#api";
import { eventually } from "../../eventually.ts";
import { podSpec, podTemplate, sleeper } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import { kubectl } from "./typed.ts";

conformance("cli-56460a", "api-versions names v1", async (given) => {
  expect((await kubectl(given, "api-versions")).split("\n")).toContain("v1");
});

conformance("cli-f43e21", "cluster-info names the control plane", async (given) => {
  expect(await kubectl(given, "cluster-info")).toMatch(/Kubernetes control plane.*is running at/);
});

conformance("cli-9bd4e1", "version tells of client and server", async (given) => {
  interface Version {
    major: string;
    minor: string;
    gitCommit: string;
    gitVersion: string;
  }
  const text = await kubectl(given, "version -o json");
  const told = JSON.parse(text) as { clientVersion: Version; serverVersion: Version };
  for (const each of [told.clientVersion, told.serverVersion]) {
    expect(each.major).toMatch(/^\d+$/);
    expect(each.minor).toMatch(/^\d+\+?$/);
    expect(each.gitVersion).toMatch(/^v\d+\.\d+\.\d+/);
    expect(each.gitCommit).toBeTruthy();
  }
});

const deployment = (image: string) => {
  const labels = { app: "httpd" };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "httpd-deployment", labels },
    spec: { replicas: 0, selector: { matchLabels: labels }, template: podTemplate(image, labels) },
  };
};

conformance("cli-865e21", "diff shows the image that differs", async (given) => {
  await kubectl(given, "create -f -", deployment(given.image));
  const input = JSON.stringify(deployment("example.com/other:1"));
  const answer = await given.kubectl.try(["--namespace", given.namespace, "diff", "-f", "-"], { input });
  expect(answer.code).toBe(1);
  expect(answer.stdout).toMatch(new RegExp(`^-\\s+(- )?image: ${given.image}$`, "m"));
  expect(answer.stdout).toMatch(/^\+\s+(- )?image: example\.com\/other:1$/m);
});

function pod(given: Given, name: string, labels: Record<string, string> = {}): Draft<corev1.Pod> {
  return { apiVersion: "v1", kind: "Pod", metadata: { name, labels }, spec: podSpec(given.image) };
}

const isReady = ({ status }: corev1.Pod) =>
  status?.conditions?.some((each) => each.type === "Ready" && each.status === "True") ?? false;

conformance("cli-6827ea", "label adds and removes labels", async (given) => {
  await kubectl(given, "create -f -", pod(given, "pause", { name: "pause" }));
  await kubectl(given, "wait --for=condition=Ready pod/pause --timeout=60s");
  await kubectl(given, "label pods pause testing-label=testing-label-value");
  expect(await kubectl(given, "get pod pause -L testing-label")).toContain("testing-label-value");
  await kubectl(given, "label pods pause testing-label-");
  expect(await kubectl(given, "get pod pause -L testing-label")).not.toContain("testing-label-value");
});

conformance("cli-90f4f3", "run makes a pod of an image", async (given) => {
  await kubectl(given, `run httpd-pod --restart=Never --image=${given.image} -- sleep 60`);
  const made = await given.kube.resource(pods, given.namespace).get("httpd-pod");
  expect(made.spec.containers.map(({ image }) => image)).toEqual([given.image]);
  expect(made.spec.restartPolicy).toBe("Never");
  await kubectl(given, "delete pods httpd-pod --now");
});

conformance("cli-63ee84", "A dry run changes no pod", async (given) => {
  await kubectl(given, `run httpd-pod --image=${given.image} --labels=run=httpd-pod -- sleep 60`);
  await kubectl(given, "wait --for=condition=Ready pod/httpd-pod --timeout=60s");
  const patch = JSON.stringify({
    spec: { containers: [{ name: "httpd-pod", image: "example.com/other:1" }] },
  });
  const args = ["--namespace", given.namespace, "patch", "pod", "httpd-pod", "-p", patch, "--dry-run=server"];
  expect(await given.kubectl.ok([...args, "-o", "jsonpath={.spec.containers[0].image}"])).toBe(
    "example.com/other:1",
  );
  const after = await given.kube.resource(pods, given.namespace).get("httpd-pod");
  expect(after.spec.containers[0]?.image).toBe(given.image);
});

conformance("cli-07e131", "replace gives a pod another image", async (given) => {
  await kubectl(given, `run httpd-pod --image=${given.image} --labels=run=httpd-pod -- sleep 60`);
  const all = given.kube.resource(pods, given.namespace);
  const running = await all.until("httpd-pod", isReady);
  const other = `docker.io/library/${given.image}`;
  running.spec.containers[0]!.image = other;
  await kubectl(given, "replace -f -", running);
  expect((await all.get("httpd-pod")).spec.containers[0]?.image).toBe(other);
  const { uid } = running.metadata;
  await kubectl(given, "replace --force --grace-period=0 -f -", pod(given, "httpd-pod"));
  expect((await all.get("httpd-pod")).metadata.uid).not.toBe(uid);
});

conformance("cli-5e0df0", "logs are shown whole and in part", async (given) => {
  const line = "2026-01-01 and a line of a log";
  const script = `for i in 1 2 3 4 5; do echo "$i ${line}"; done; sleep 2; echo "6 ${line}"; sleep 600`;
  const main = sleeper(given.image, { command: ["sh", "-c", script] });
  await kubectl(given, "create -f -", {
    ...pod(given, "logs"),
    spec: podSpec(given.image, { containers: [main] }),
  });
  const log = (flags: string) => kubectl(given, `logs logs main${flags}`);
  await eventually("the last line", async () => ((await log("")).includes(`6 ${line}`) ? true : undefined));
  expect(await log(" --tail=1")).toBe(`6 ${line}\n`);
  expect(await log(" --limit-bytes=1")).toBe("1");
  const stamped = await log(" --tail=1 --timestamps");
  expect(stamped).toMatch(/^\S+ 6 2026-01-01 and a line of a log\n$/);
  expect(Date.parse(stamped.split(" ")[0] ?? "")).not.toBeNaN();
  expect((await log(" --since=24h")).trim().split("\n")).toHaveLength(6);
  // A second later the last second holds nothing.
  await eventually("an empty last second", async () =>
    (await log(" --since=1s")) === "" ? true : undefined,
  );
});

/** What a GET over a port or a socket answers. */
function ask(options: { port: number } | { socketPath: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...options, path: "/api/", timeout: 10_000 }, (incoming) => {
      let text = "";
      incoming.on("data", (chunk) => {
        text += String(chunk);
      });
      incoming.on("end", () => resolve(text));
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}

/** `kubectl proxy`, as long as the test lasts; answers the line it starts with. */
function proxy({ kubectl: runner, afterwards }: Given, flag: string): Promise<string> {
  const env = { ...process.env, ...runner.environment };
  const child: ChildProcess = spawn(runner.binary, ["proxy", flag, "--disable-filter"], { env });
  afterwards(() => child.kill());
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout?.on("data", (chunk) => {
      text += String(chunk);
      if (text.includes("\n")) resolve(text);
    });
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`kubectl proxy ended: ${text}`)));
  });
}

conformance("cli-8c7d8c", "proxy finds a port for itself", async (given) => {
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(await proxy(given, "--port=0"))?.[1]);
  const { versions } = JSON.parse(await ask({ port })) as metav1.APIVersions;
  expect(versions).toContain("v1");
});

conformance("cli-b7e774", "proxy listens on a socket", async (given) => {
  const folder = await mkdtemp(join(tmpdir(), "kubectl-proxy-"));
  given.afterwards(() => rm(folder, { recursive: true, force: true }));
  const socketPath = join(folder, "test");
  await proxy(given, `--unix-socket=${socketPath}`);
  const { versions } = JSON.parse(await ask({ socketPath })) as metav1.APIVersions;
  expect(versions).toContain("v1");
});
