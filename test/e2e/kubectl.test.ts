/** What users type, with the oldest and the newest kubectl of this machine. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { run } from "#base";
import { eventually, get } from "./harness.ts";
import { KubectlRunner } from "./kubectl.ts";

const versions = inject("kubectls");
const chosen = versions.length > 1 ? [versions[0]!, versions.at(-1)!] : versions;

describe.each(chosen)("kubectl $version", ({ path, version }) => {
  const kubectl = new KubectlRunner(path, inject("kubeconfig"));
  const namespace = `kubectl-${version.replace(".", "-")}`;
  const k = (...args: string[]) => kubectl.ok(["-n", namespace, ...args]);
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "knarr-kubectl-"));
    await kubectl.ok(["create", "namespace", namespace]);
    await k(
      "create",
      "deployment",
      "web",
      "--image=busybox:1.36",
      "--",
      "httpd",
      "-f",
      "-p",
      "8080",
      "-h",
      "/etc",
    );
    await k("rollout", "status", "deployment/web", "--timeout=90s");
  });

  afterAll(async () => {
    await kubectl.ok(["delete", "namespace", namespace, "--timeout=120s"]);
    await rm(folder, { recursive: true, force: true });
  });

  const firstPod = () => k("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}");

  test("get prints the tables users know", async () => {
    expect(await k("get", "nodes")).toMatch(/^NAME\s+STATUS\s+ROLES\s+AGE\s+VERSION\n\S+\s+Ready\s/);
    const wide = await k("get", "pods", "-o", "wide");
    expect(wide).toMatch(
      /^NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE\s+IP\s+NODE\s+NOMINATED NODE\s+READINESS GATES\n/,
    );
    expect(wide).toMatch(/web-[a-z0-9]+-[a-z0-9]{5}\s+1\/1\s+Running\s+0\s/);
    expect(await k("get", "deployments")).toMatch(/web\s+1\/1\s+1\s+1\s/);
    expect(await k("get", "all")).toContain("replicaset.apps/web-");
  });

  test("exec runs commands, with and without a terminal, and answers their exit code", async () => {
    const pod = await firstPod();
    expect(await k("exec", pod, "--", "echo", "hello")).toBe("hello\n");
    expect((await kubectl.try(["-n", namespace, "exec", pod, "--", "sh", "-c", "exit 7"])).code).toBe(7);
    expect(
      await kubectl.ok(["-n", namespace, "exec", "-i", pod, "--", "cat"], { input: "through stdin" }),
    ).toBe("through stdin");
    const command = `${kubectl.binary} -n ${namespace} exec -it ${pod} -- sh -c 'stty size; tty'`;
    const terminal = await run("script", ["-qec", command, "/dev/null"], { env: kubectl.environment });
    expect(terminal.stdout).toContain("/dev/pts/");
  });

  test("logs, also followed", async () => {
    await k(
      "run",
      "talker",
      "--image=busybox:1.36",
      "--restart=Never",
      "--",
      "sh",
      "-c",
      "for i in 1 2 3; do echo line $i; sleep 1; done",
    );
    await eventually("the first line", async () =>
      (await k("logs", "talker")).includes("line 1") ? true : undefined,
    );
    expect(await k("logs", "-f", "talker")).toBe("line 1\nline 2\nline 3\n");
    expect(await k("logs", "--tail=1", "talker")).toBe("line 3\n");
    expect(await k("get", "pod", "talker", "--no-headers")).toMatch(/0\/1\s+Completed\s/);
  });

  test("cp copies files in and out", async () => {
    const pod = await firstPod();
    const from = join(folder, "in.txt");
    const to = join(folder, "out.txt");
    await writeFile(from, "cargo\n".repeat(1000));
    await k("cp", from, `${pod}:/tmp/cargo.txt`);
    await k("cp", `${pod}:/tmp/cargo.txt`, to);
    expect(await readFile(to, "utf8")).toBe("cargo\n".repeat(1000));
  });

  test("port-forward carries HTTP", async () => {
    const args = ["-n", namespace, "port-forward", "deployment/web", ":8080"];
    const child = spawn(kubectl.binary, args, { env: { ...process.env, ...kubectl.environment } });
    try {
      const port = await new Promise<string>((resolve, reject) => {
        let text = "";
        child.stdout.on("data", (chunk) => {
          text += chunk;
          const found = /127\.0\.0\.1:(\d+)/.exec(text)?.[1];
          if (found) resolve(found);
        });
        child.once("exit", () => reject(new Error(`port-forward ended: ${text}`)));
      });
      for (let i = 0; i < 3; i++)
        expect(await get(`http://127.0.0.1:${port}/passwd`)).toContain("root:x:0:0");
    } finally {
      child.kill();
    }
  });

  test("proxy and get --raw reach what pods and services serve, and the kubelet", async () => {
    const at = `/api/v1/namespaces/${namespace}`;
    const pod = await firstPod();
    await k("expose", "deployment", "web", "--name=proxied", "--port=80", "--target-port=8080");
    expect(await k("get", "--raw", `${at}/pods/${pod}:8080/proxy/passwd`)).toContain("root:x:0:0");
    const served = await eventually("the service's endpoint", () =>
      k("get", "--raw", `${at}/services/proxied:80/proxy/passwd`),
    );
    expect(served).toContain("root:x:0:0");
    const node = (await k("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")).trim();
    expect(await k("get", "--raw", `/api/v1/nodes/${node}/proxy/healthz`)).toBe("ok");
    const closed = await kubectl.try(["get", "--raw", `${at}/pods/${pod}:8099/proxy/`]);
    expect(closed.stderr).toContain("error trying to reach service");
    await k("delete", "service", "proxied");
  });

  test("auth says what one may do", async () => {
    expect(await k("auth", "can-i", "create", "pods")).toBe("yes\n");
    expect(await k("auth", "can-i", "--list")).toMatch(/^\*\.\*\s/m);
  });

  test("describe shows the pod and its events", async () => {
    const pod = await firstPod();
    const text = await k("describe", "pod", pod);
    expect(text).toMatch(/Status:\s+Running/);
    expect(text).toMatch(/Normal\s+Scheduled\s/);
    expect(text).toMatch(/Normal\s+Started\s/);
    expect(await k("describe", "deployment", "web")).toContain("ScalingReplicaSet");
    expect(await kubectl.ok(["describe", "nodes"])).toContain("Allocated resources:");
  });

  test("scale, set image, rollout history and undo", async () => {
    await k("scale", "deployment/web", "--replicas=3");
    await k("rollout", "status", "deployment/web", "--timeout=90s");
    expect(await k("get", "deployment", "web")).toMatch(/web\s+3\/3/);
    await k("set", "image", "deployment/web", "busybox=nowhere.invalid/none:1");
    const pending = await eventually("the failing pod", async () => {
      const rows = await k("get", "pods", "-l", "app=web");
      return /ErrImagePull|ImagePullBackOff/.test(rows) ? rows : undefined;
    });
    expect(pending.match(/Running/g)!.length).toBeGreaterThanOrEqual(2);
    expect(await k("rollout", "history", "deployment/web")).toMatch(/1\s+<none>\n2\s+<none>/);
    await k("rollout", "undo", "deployment/web");
    await k("rollout", "status", "deployment/web", "--timeout=90s");
    expect(
      await k("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"),
    ).toBe("busybox:1.36");
    expect(await k("rollout", "history", "deployment/web")).toMatch(/2\s+<none>\n3\s+<none>/);
  });

  test("expose, label, annotate, edit and patch", async () => {
    await k("expose", "deployment", "web", "--port=80", "--target-port=8080");
    const address = await k("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}");
    expect(await eventually("the Service", () => get(`http://${address}/passwd`))).toContain("root:x:0:0");
    await k("label", "deployment", "web", "crew=small");
    await k("annotate", "deployment", "web", "cargo=real");
    expect(await k("get", "deployment", "-l", "crew=small", "-o", "name")).toBe("deployment.apps/web\n");
    const editor = join(folder, "editor.sh");
    await writeFile(editor, `#!/bin/sh\nsed -i 's/crew: small/crew: smaller/' "$1"\n`, { mode: 0o755 });
    await kubectl.ok(["-n", namespace, "edit", "deployment", "web"], { env: { KUBE_EDITOR: editor } });
    expect(
      await k(
        "get",
        "deployment",
        "web",
        "-o",
        "jsonpath={.metadata.labels.crew} {.metadata.annotations.cargo}",
      ),
    ).toBe("smaller real");
    await k(
      "patch",
      "deployment",
      "web",
      "-p",
      '{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}',
    );
    await k("rollout", "status", "deployment/web", "--timeout=90s");
  });

  test("explain knows the fields", async () => {
    expect(await k("explain", "pod.spec.containers.image")).toMatch(/image/i);
    expect(await k("explain", "deployment", "--recursive")).toContain("minReadySeconds");
  });

  test("apply checks fields, and changes what it applied", async () => {
    const manifest = (value: string, extra = "") =>
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {key: ${value}}\n${extra}`;
    await kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input: manifest("one") });
    await kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input: manifest("two") });
    expect(await k("get", "configmap", "applied", "-o", "jsonpath={.data.key}")).toBe("two");
    const refused = await kubectl.try(["-n", namespace, "apply", "-f", "-"], {
      input: manifest("two", "nonsense: 1\n"),
    });
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain("nonsense");
  });

  test("mistakes get Kubernetes' own words", async () => {
    const said = async (...args: string[]) => (await kubectl.try(["-n", namespace, ...args])).stderr;
    expect(await said("get", "pod", "none")).toContain('pods "none" not found');
    expect(await said("get", "nothings")).toContain("the server doesn't have a resource type");
    expect(await said("create", "configmap", "Bad_Name")).toContain(
      "a lowercase RFC 1123 subdomain must consist of",
    );
    expect(await said("create", "deployment", "web", "--image=busybox:1.36")).toContain(
      'deployments.apps "web" already exists',
    );
    expect(await said("top", "pod", "none")).toContain(
      `podmetrics.metrics.k8s.io "${namespace}/none" not found`,
    );
  });
});
