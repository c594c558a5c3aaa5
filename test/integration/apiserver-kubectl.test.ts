/** Stock kubectl against the API server alone: what it creates, changes and shows, and what it is told is wrong. */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import type { Server } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { presentKubectls } from "../e2e/kubectl.ts";
import { startFakeKubelet } from "./fixtures/fake-kubelet.ts";
import { type SecureServer, startSecureServer } from "./fixtures/secure-server.ts";

let server: SecureServer;
let kubelet: Server;

beforeAll(async () => {
  server = await startSecureServer();
  kubelet = await startFakeKubelet(server);
});
afterAll(async () => {
  kubelet?.closeAllConnections();
  kubelet?.close();
  await server?.stop();
});

/** The oldest and the newest kubectl on this machine; none at all skips what needs one. */
const all = await presentKubectls();
const chosen = all.length > 2 ? [all[0]!, all.at(-1)!] : all;

it.skipIf(chosen.length === 0)("there is a kubectl on this machine", () => {
  expect(chosen.length).toBeGreaterThan(0);
});

describe.each(chosen)("kubectl $version", ({ path: kubectl, version }) => {
  const namespace = `k${version.replace(/\D/g, "")}`;
  let config: string;

  beforeAll(() => {
    const { api, authority, admin, folder } = server;
    config = join(folder, "kubeconfig");
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const cluster = { server: api.url, "certificate-authority-data": base64(authority.cert) };
    const user = { "client-certificate-data": base64(admin.cert), "client-key-data": base64(admin.key) };
    writeFileSync(
      config,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        clusters: [{ name: "c", cluster }],
        users: [{ name: "u", user }],
        contexts: [{ name: "c", context: { cluster: "c", user: "u", namespace } }],
        "current-context": "c",
      }),
    );
  });

  function run(args: string, input = ""): Promise<{ out: string; failed: boolean }> {
    return new Promise((resolve) => {
      const env = { ...process.env, KUBECONFIG: config, HOME: server.folder, KUBE_EDITOR: "sed -i s/v2/v3/" };
      const child = execFile(kubectl, args.split(" "), { env, timeout: 20_000 }, (error, stdout, stderr) =>
        resolve({ out: stdout + stderr, failed: error !== null }),
      );
      child.stdin?.end(input);
    });
  }

  const manifest = (value: string) => `
apiVersion: v1
kind: ConfigMap
metadata: {name: applied}
data: {k: ${value}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: applied}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      containers:
      - {name: c, image: i, env: [{name: A, value: ${value}}, {name: B, value: b}]}
`;

  it("creates, applies, patches, edits, scales, labels, deletes", { timeout: 60_000 }, async () => {
    expect((await run(`create namespace ${namespace}`)).out).toContain("created");
    expect((await run("create configmap made --from-literal=a=b")).out).toContain("configmap/made created");
    expect((await run("apply -f -", manifest("v1"))).out).toMatch(
      /configmap\/applied created[\s\S]*deployment.apps\/applied created/,
    );
    expect((await run("apply -f -", manifest("v1"))).out).toMatch(/unchanged[\s\S]*unchanged/);
    expect((await run("apply -f -", manifest("v2"))).out).toMatch(/configured[\s\S]*configured/);
    expect((await run("get deploy applied -o jsonpath={.spec.template.spec.containers[0].env}")).out).toBe(
      '[{"name":"A","value":"v2"},{"name":"B","value":"b"}]',
    );
    expect((await run("edit configmap applied")).out).toContain("configmap/applied edited");
    expect((await run("get cm applied -o jsonpath={.data.k}")).out).toBe("v3");
    expect(
      (await run(`patch cm applied --type=json -p [{"op":"add","path":"/data/z","value":"1"}]`)).out,
    ).toContain("patched");
    expect((await run("label deploy applied tier=web")).out).toContain("labeled");
    expect((await run("annotate deploy applied note=x")).out).toMatch(/annotate/);
    expect((await run("scale deploy applied --replicas=4")).out).toContain("scaled");
    expect((await run("set image deploy/applied c=i:2")).out).toContain("image updated");
    expect((await run("get deploy -l tier=web")).out).toMatch(
      /NAME\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+AGE\napplied\s+0\/4/,
    );
    expect((await run("get deploy applied -o wide")).out).toMatch(/applied\s.*\sc\s+i:2\s+app=a/);
    expect((await run("delete cm made applied")).out).toMatch(/deleted[\s\S]*deleted/);
    expect((await run("get cm made")).out).toContain(
      'Error from server (NotFound): configmaps "made" not found',
    );
  });

  it("explains, lists resources, waits and watches", { timeout: 60_000 }, async () => {
    expect((await run("explain deployment.spec.replicas")).out).toMatch(/replicas\s+<integer>/);
    expect((await run("api-resources")).out).toMatch(/deployments\s+deploy\s+apps\/v1\s+true\s+Deployment/);
    // Before 1.21 kubectl took what is not there for a mistake.
    const isOld = Number(version.split(".")[1]) < 21;
    expect((await run("wait --for=delete cm/never --timeout=5s")).failed).toBe(isOld);
    const watching = run("get cm -w --request-timeout=3s");
    await run("create configmap watched");
    expect((await watching).out).toMatch(/watched\s+0/);
  });

  it("is told what is wrong", { timeout: 60_000 }, async () => {
    const wrong = (text: string, args = "create -f -") => run(args, text).then((r) => r.out);
    expect(await wrong('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"dota":{}}')).toContain(
      'unknown field "dota"',
    );
    expect(await wrong('{"apiVersion":"v9","kind":"Nope","metadata":{"name":"x"}}')).toContain(
      'no matches for kind "Nope" in version "v9"',
    );
    expect(await wrong('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"X_"}}')).toContain(
      "a lowercase RFC 1123 subdomain",
    );
    expect(
      await wrong(
        '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":5}',
        "create --validate=false -f -",
      ),
    ).toContain("json: cannot unmarshal number");
    expect((await run("get unicorns")).out).toContain(`doesn't have a resource type "unicorns"`);
    expect((await run("delete namespace default")).out).toContain("this namespace may not be deleted");
    expect((await run("apply --server-side -f -", manifest("v1"))).out).toContain(
      'conflict with "kubectl-set" using apps/v1: .spec.template.spec.containers[name="c"].image',
    );
    expect((await run("logs web -n default -c two")).out).toBe("log of /containerLogs/default/web/two");
  });
});
