/** Server-side apply with stock clients: kubectl and the JavaScript client. */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppsV1Api, KubeConfig, PatchStrategy, setHeaderOptions } from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { presentKubectls } from "../e2e/kubectl.ts";
import { type SecureServer, startSecureServer } from "./fixtures/secure-server.ts";

let server: SecureServer;
let config: string;

beforeAll(async () => {
  server = await startSecureServer();
  const { api, authority, admin, folder } = server;
  config = join(folder, "kubeconfig");
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const cluster = { server: api.url, "certificate-authority-data": base64(authority.cert) };
  const user = { "client-certificate-data": base64(admin.cert), "client-key-data": base64(admin.key) };
  const kubeconfig = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "c", cluster }],
    users: [{ name: "u", user }],
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
    "current-context": "c",
  };
  writeFileSync(config, JSON.stringify(kubeconfig));
});
afterAll(() => server?.stop());

const deployment = (name: string, replicas: number, image = "nginx:1") => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: "web", image, ports: [{ containerPort: 80 }] }] },
    },
  },
});

/** The oldest and the newest kubectl on this machine; none at all skips what needs one. */
const all = await presentKubectls();
const chosen = all.length > 2 ? [all[0]!, all.at(-1)!] : all;

it.skipIf(chosen.length === 0)("there is a kubectl on this machine", () => {
  expect(chosen.length).toBeGreaterThan(0);
});

describe.each(chosen)("kubectl $version", ({ path: kubectl, version }) => {
  const name = `web${version.replace(/\D/g, "")}`;

  function run(args: string, input: unknown = ""): Promise<{ out: string; code: number }> {
    return new Promise((resolve) => {
      const env = { ...process.env, KUBECONFIG: config, HOME: server.folder };
      const child = execFile(kubectl, args.split(" "), { env, timeout: 20_000 }, (error, stdout, stderr) =>
        resolve({ out: stdout + stderr, code: error === null ? 0 : Number(error.code) }),
      );
      child.stdin?.end(typeof input === "string" ? input : JSON.stringify(input));
    });
  }

  const managers = async (kind: string) => {
    const { out } = await run(`get ${kind} -o json --show-managed-fields`);
    const { metadata } = JSON.parse(out) as {
      metadata: { managedFields: { manager: string; operation: string; subresource?: string }[] };
    };
    return metadata.managedFields.map((e) => [e.manager, e.operation, e.subresource ?? ""].join(" "));
  };

  it("applies, meets a conflict, forces it, and shows a difference beforehand", async () => {
    const apply = (replicas: number, flags = "") =>
      run(`apply --server-side${flags} -f -`, deployment(name, replicas));
    expect((await apply(2)).out).toBe(`deployment.apps/${name} serverside-applied\n`);
    expect((await apply(2)).code).toBe(0);
    expect((await run(`scale deploy/${name} --replicas=3`)).code).toBe(0);
    const refused = await apply(2);
    expect(refused.code).toBe(1);
    // kubectl names itself after its file.
    expect(refused.out).toMatch(
      /Apply failed with 1 conflict: conflict with "kubectl[\w.]*" with subresource "scale" using apps\/v1: \.spec\.replicas/,
    );
    expect((await apply(2, " --force-conflicts")).code).toBe(0);
    expect(await managers(`deploy/${name}`)).toEqual(["kubectl Apply "]);
    const diff = await run("diff --server-side -f -", deployment(name, 2, "nginx:2"));
    expect(diff.code).toBe(1);
    expect(diff.out).toMatch(/-\s+- image: nginx:1|-\s+image: nginx:1/);
    const hidden = await run(`get deploy/${name} -o yaml`);
    expect(hidden.out).not.toContain("managedFields");
  });

  it("comes from client-side apply and goes back", async () => {
    const migrated = deployment(`${name}-csa`, 1);
    expect((await run("apply -f -", migrated)).code).toBe(0);
    expect(await managers(`deploy/${name}-csa`)).toContain("kubectl-client-side-apply Update ");
    const more = deployment(`${name}-csa`, 2);
    expect(await run("apply --server-side -f -", more)).toMatchObject({ code: 0 });
    expect(await managers(`deploy/${name}-csa`)).toContain("kubectl Apply ");
    const back = await run("apply -f -", deployment(`${name}-csa`, 3));
    expect([back.code, back.out]).toEqual([0, `deployment.apps/${name}-csa configured\n`]);
  });

  it("says what a configuration says wrongly", async () => {
    const wrong = { ...deployment(name, 2), spec: { ...deployment(name, 2).spec, nope: 1 } };
    const { code, out } = await run("apply --server-side -f -", wrong);
    expect(code).toBe(1);
    expect(out).toContain(".spec.nope: field not declared in schema");
  });
});

describe("@kubernetes/client-node", () => {
  it("applies as a manager of its own, and is told of conflicts", async () => {
    const kubeConfig = new KubeConfig();
    kubeConfig.loadFromFile(config);
    const apps = kubeConfig.makeApiClient(AppsV1Api);
    const apply = (fieldManager: string, replicas: number, force?: boolean) =>
      apps.patchNamespacedDeployment(
        {
          name: "stock",
          namespace: "default",
          body: deployment("stock", replicas),
          fieldManager,
          ...(force ? { force } : {}),
        },
        setHeaderOptions("Content-Type", PatchStrategy.ServerSideApply),
      );
    const created = await apply("one", 1);
    expect(created.metadata?.managedFields).toMatchObject([{ manager: "one", operation: "Apply" }]);
    await expect(apply("two", 2)).rejects.toMatchObject({ code: 409 });
    const forced = await apply("two", 2, true);
    expect(forced.spec?.replicas).toBe(2);
    expect(forced.metadata?.managedFields).toHaveLength(2);
  });
});
