/** Custom resources as stock clients use them: kubectl, client-node, a conversion webhook; and what becomes of them in a cluster. */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { join } from "node:path";
import { CustomObjectsApi, KubeConfig, makeInformer } from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configMaps, customResourceDefinitions, namespaces } from "#api";
import { presentKubectls } from "../e2e/kubectl.ts";
import { eventually, start } from "./fixtures/embedded.ts";
import { local, type SecureServer, startSecureServer } from "./fixtures/secure-server.ts";

let server: SecureServer;
let config: string;

beforeAll(async () => {
  server = await startSecureServer();
  const { api, authority, admin, folder } = server;
  config = join(folder, "kubeconfig");
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const cluster = { server: api.url, "certificate-authority-data": base64(authority.cert) };
  const user = { "client-certificate-data": base64(admin.cert), "client-key-data": base64(admin.key) };
  const content = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "c", cluster }],
    users: [{ name: "u", user }],
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
    "current-context": "c",
  };
  writeFileSync(config, JSON.stringify(content));
});
afterAll(() => server?.stop());

const group = "stable.example.com";

function definitionOf(plural: string, kind: string, more: object = {}) {
  const spec = {
    type: "object",
    required: ["cronSpec"],
    properties: {
      cronSpec: { type: "string", description: "When it runs.", pattern: "^(\\d+|\\*)( (\\d+|\\*)){4}$" },
      replicas: { type: "integer", minimum: 1, maximum: 10, default: 1 },
    },
    "x-kubernetes-validations": [{ rule: "self.replicas != 7", message: "seven is unlucky" }],
  };
  const status = { type: "object", properties: { replicas: { type: "integer" } } };
  const schema = { openAPIV3Schema: { type: "object", properties: { spec, status } } };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: "Namespaced" as const,
      names: { plural, kind, shortNames: [plural.slice(0, 3)], categories: ["all"] },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema,
          subresources: {
            status: {},
            scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
          },
          additionalPrinterColumns: [
            { name: "Schedule", type: "string", jsonPath: ".spec.cronSpec" },
            { name: "Replicas", type: "integer", jsonPath: ".spec.replicas" },
            { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
          ],
        },
      ],
      ...more,
    },
  };
}

const all = await presentKubectls();
const chosen = all.length > 2 ? [all[0]!, all.at(-1)!] : all;

it.skipIf(chosen.length === 0)("there is a kubectl on this machine", () => {
  expect(chosen.length).toBeGreaterThan(0);
});

describe.each(chosen)("kubectl $version", ({ path: kubectl, version }) => {
  const minor = Number(version.split(".")[1]);
  const plural = `tabs${minor}s`;
  const kind = `Tab${minor}`;

  function run(args: string[], input = ""): Promise<string> {
    return new Promise((resolve) => {
      const env = {
        ...process.env,
        KUBECONFIG: config,
        HOME: server.folder,
        KUBE_EDITOR: "sed -i s/replicas:.5/replicas:\\ 6/",
      };
      const child = execFile(kubectl, args, { env, timeout: 20_000 }, (_, stdout, stderr) =>
        resolve(stdout + stderr),
      );
      child.stdin?.end(input);
    });
  }
  const kubectlDo = (args: string, input = "") => run(args.split(" "), input);
  const resource = (name: string, spec: object) =>
    JSON.stringify({ apiVersion: `${group}/v1`, kind, metadata: { name }, spec });

  it("creates a definition and lives with its objects", { timeout: 90_000 }, async () => {
    expect(await kubectlDo("create -f -", JSON.stringify(definitionOf(plural, kind)))).toContain("created");
    expect(
      await kubectlDo(`wait --for=condition=established --timeout=10s crd/${plural}.${group}`),
    ).toContain("condition met");
    expect(await kubectlDo("get crd")).toMatch(/NAME\s+CREATED AT\n/);
    expect(await kubectlDo("get apiservices")).toMatch(
      /NAME\s+SERVICE\s+AVAILABLE\s+AGE\n[\s\S]*v1\.stable\.example\.com\s+Local\s+True/,
    );
    expect(await kubectlDo(`api-resources --api-group=${group}`)).toMatch(
      new RegExp(`${plural}\\s+tab\\s+.*true\\s+${kind}`),
    );
    expect(await kubectlDo("apply -f -", resource("a", { cronSpec: "* * * * 5", replicas: 2 }))).toContain(
      "created",
    );
    expect(await kubectlDo("apply -f -", resource("a", { cronSpec: "* * * * 6", replicas: 2 }))).toContain(
      "configured",
    );
    expect(await kubectlDo(`get ${plural}`)).toMatch(
      /NAME\s+SCHEDULE\s+REPLICAS\s+AGE\na\s+\* \* \* \* 6\s+2\s+\d+s/,
    );
    expect(await kubectlDo(`explain ${plural}.spec.cronSpec`)).toMatch(/When it runs\./);
    expect(await kubectlDo(`scale ${plural}/a --replicas=5`)).toContain("scaled");
    expect(await kubectlDo(`edit ${plural}/a`)).toContain("edited");
    expect(await kubectlDo(`get ${plural}/a -o jsonpath={.spec.replicas}`)).toBe("6");
    expect(await kubectlDo(`describe ${plural}/a`)).toMatch(/Cron Spec:\s+\* \* \* \* 6/);
    expect(await run(["patch", plural, "a", "--type=merge", "-p", '{"spec":{"replicas":7}}'])).toContain(
      "seven is unlucky",
    );
    expect(await kubectlDo("create -f -", resource("b", { cronSpec: "never" }))).toContain(
      "spec.cronSpec in body should match '^(\\d+|\\*)( (\\d+|\\*)){4}$'",
    );
    const unknown = await kubectlDo("create -f -", resource("c", { cronSpec: "* * * * 5", nope: 1 }));
    expect(unknown).toMatch(/unknown field "(spec\.)?nope"/);
    expect(await kubectlDo(`delete ${plural} a`)).toContain("deleted");
    expect(await kubectlDo(`delete crd ${plural}.${group}`)).toContain("deleted");
    // kubectl has kept what it discovered: the server is asked, and says that it is gone.
    expect(await kubectlDo(`get ${plural}`)).toContain("the server could not find the requested resource");
  });

  it.skipIf(minor < 22)("applies on the server's side", { timeout: 60_000 }, async () => {
    await kubectlDo("create -f -", JSON.stringify(definitionOf(plural, kind)));
    await kubectlDo(`wait --for=condition=established --timeout=10s crd/${plural}.${group}`);
    const apply = "apply --server-side -f -";
    expect(await kubectlDo(apply, resource("s", { cronSpec: "* * * * 5", replicas: 3 }))).toContain(
      "serverside-applied",
    );
    const other = await kubectlDo(
      "apply --server-side --field-manager=other -f -",
      resource("s", { cronSpec: "* * * * 5", replicas: 4 }),
    );
    expect(other).toContain('conflict with "kubectl": .spec.replicas');
    await kubectlDo(`delete crd ${plural}.${group}`);
  });
});

describe("client-node", () => {
  it("creates, reads, patches and watches them", { timeout: 30_000 }, async () => {
    await server.client.create(customResourceDefinitions, definitionOf("nodes2", "Node2") as never);
    const kube = new KubeConfig();
    kube.loadFromFile(config);
    const api = kube.makeApiClient(CustomObjectsApi);
    const at = { group, version: "v1", namespace: "default", plural: "nodes2" };
    await eventually(async () => void (await api.listNamespacedCustomObject(at)));
    const body = {
      apiVersion: `${group}/v1`,
      kind: "Node2",
      metadata: { name: "n" },
      spec: { cronSpec: "* * * * 5" },
    };
    expect(await api.createNamespacedCustomObject({ ...at, body })).toMatchObject({ spec: { replicas: 1 } });
    const seen: string[] = [];
    const informer = makeInformer(
      kube,
      `/apis/${group}/v1/namespaces/default/nodes2`,
      () => api.listNamespacedCustomObject(at) as never,
    );
    informer.on("add", (object) => seen.push(`add ${object.metadata?.name}`));
    informer.on("delete", (object) => seen.push(`delete ${object.metadata?.name}`));
    await informer.start();
    await api.deleteNamespacedCustomObject({ ...at, name: "n" });
    await eventually(async () => expect(seen).toEqual(["add n", "delete n"]));
    await informer.stop();
  });
});

describe("a conversion webhook", () => {
  let hook: Server;
  let reviews = 0;

  beforeAll(async () => {
    const pair = await server.authority.issue({ commonName: "hook", use: "server", ...local });
    hook = createServer(pair, (request, response) => {
      let text = "";
      request.on("data", (chunk) => {
        text += chunk;
      });
      request.on("end", () => {
        reviews++;
        const review = JSON.parse(text);
        const { desiredAPIVersion, objects, uid } = review.request;
        const convertedObjects = objects.map((object: { spec: Record<string, unknown> }) => {
          const { cronSpec, schedule } = object.spec;
          const spec = desiredAPIVersion.endsWith("/v2") ? { schedule: cronSpec } : { cronSpec: schedule };
          return { ...object, apiVersion: desiredAPIVersion, spec };
        });
        const answer = { uid, convertedObjects, result: { status: "Success" } };
        response.end(JSON.stringify({ apiVersion: review.apiVersion, kind: review.kind, response: answer }));
      });
    });
    await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
  });
  afterAll(() => void hook?.close());

  it("is asked for what is of another version, once for many", { timeout: 30_000 }, async () => {
    const { port } = hook.address() as { port: number };
    const caBundle = Buffer.from(server.authority.cert).toString("base64");
    const loose = { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } };
    const webhook = {
      conversionReviewVersions: ["v1"],
      clientConfig: { url: `https://localhost:${port}/`, caBundle },
    };
    const versions = [
      { name: "v1", served: true, storage: true, schema: loose },
      { name: "v2", served: true, storage: false, schema: loose },
    ];
    const more = { versions, conversion: { strategy: "Webhook", webhook } };
    await server.client.create(customResourceDefinitions, definitionOf("hooked", "Hooked", more) as never);
    const type = (version: string) => ({
      group,
      version,
      resource: "hooked",
      kind: "Hooked",
      namespaced: true,
    });
    await eventually(async () => void (await server.client.list(type("v1"))));
    for (const name of ["a", "b", "c"])
      await server.client.create(type("v1"), {
        metadata: { name, namespace: "default" },
        spec: { cronSpec: name },
      } as never);
    expect(reviews).toBe(0);
    const { items } = await server.client.list(type("v2"));
    expect(items).toMatchObject([
      { spec: { schedule: "a" } },
      { spec: { schedule: "b" } },
      { spec: { schedule: "c" } },
    ]);
    expect(reviews).toBe(1);
    const patch = { spec: { schedule: "z" } };
    await server.client.patch(type("v2"), { name: "a", namespace: "default" }, "merge", patch);
    expect(await server.client.get(type("v1"), { name: "a", namespace: "default" })).toMatchObject({
      apiVersion: `${group}/v1`,
      spec: { cronSpec: "z" },
    });
    const abort = new AbortController();
    const events = server.client.watch(type("v2"), { signal: abort.signal })[Symbol.asyncIterator]();
    expect((await events.next()).value).toMatchObject({ type: "ADDED", object: { spec: { schedule: "z" } } });
    abort.abort();
  });
});

describe("in a cluster", () => {
  it("they own, are owned, and go with their namespace", { timeout: 60_000 }, async () => {
    const { client } = await start(0);
    await client.create(customResourceDefinitions, definitionOf("owners", "Owner") as never);
    const type = { group, version: "v1", resource: "owners", kind: "Owner", namespaced: true };
    await eventually(async () => void (await client.list(type)));
    await client.create(namespaces, { metadata: { name: "n" } });
    const make = (name: string, ownerReferences: object[] = []) =>
      client.create(type, {
        metadata: { name, namespace: "n", ownerReferences },
        spec: { cronSpec: "* * * * 5" },
      } as never);
    await make("top");
    const { metadata } = await client.get(type, { name: "top", namespace: "n" });
    const ownerReferences = [{ apiVersion: `${group}/v1`, kind: "Owner", name: "top", uid: metadata.uid }];
    await make("below", ownerReferences);
    await client.create(configMaps, { metadata: { name: "below", namespace: "n", ownerReferences } });
    await make("stays");
    await client.delete(type, { name: "top", namespace: "n" });
    await eventually(async () => {
      const { items } = await client.list(type, { namespace: "n" });
      expect(items.map((item) => item.metadata.name)).toEqual(["stays"]);
      const maps = await client.list(configMaps, { namespace: "n" });
      expect(maps.items.map((item) => item.metadata.name)).not.toContain("below");
    });
    await client.delete(namespaces, { name: "n" });
    await eventually(async () => {
      expect((await client.list(type)).items).toEqual([]);
      await expect(client.get(namespaces, { name: "n" })).rejects.toThrow("not found");
    });
  });
});
