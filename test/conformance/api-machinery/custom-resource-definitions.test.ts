/** CustomResourceDefinitions and their objects: life, status, defaults, watches, conversion, selectors. */
import { ListWatch, Watch } from "@kubernetes/client-node";
import { expect } from "vitest";
import { type apiextensionsv1, customResourceDefinitions, type KubernetesList } from "#api";
import { eventually } from "../../eventually.ts";
import { type CustomObject, defineCustom, version } from "../custom-resources.ts";
import { expectDiscovered } from "../life-cycle.ts";
import { conformance, type Given } from "../suite.ts";
import { patch, serveWebhook, type Thing } from "../webhook-server.ts";

conformance("api-machinery-8bb9a9", "A CustomResourceDefinition is created and deleted", async (given) => {
  const { name } = await defineCustom(given);
  const all = given.kube.resource(customResourceDefinitions);
  await all.delete(name);
  await all.untilGone(name);
});

conformance("api-machinery-f8626e", "CustomResourceDefinitions stand in discovery", ({ kube }) =>
  expectDiscovered(kube, { group: "apiextensions.k8s.io", version: "v1" }, [
    "customresourcedefinitions",
    "customresourcedefinitions/status",
  ]),
);

conformance(
  "api-machinery-d3366a",
  "CustomResourceDefinitions are listed and deleted by label",
  async (given) => {
    const all = given.kube.resource(customResourceDefinitions);
    const labels = { "e2e-list-test": given.namespace };
    for (let i = 0; i < 10; i++) await defineCustom(given, { kind: `Listed${i}`, labels });
    const other = await defineCustom(given, { kind: "Other" });
    const labelSelector = `e2e-list-test=${given.namespace}`;
    expect((await all.list({ labelSelector })).items).toHaveLength(10);
    await all.deleteCollection({ labelSelector });
    await eventually("their end", async () =>
      (await all.list({ labelSelector })).items.length === 0 ? true : undefined,
    );
    expect(await all.find(other.name)).toBeDefined();
  },
);

conformance(
  "api-machinery-1128a4",
  "The status of a CustomResourceDefinition is read, updated and patched",
  async (given) => {
    const { name } = await defineCustom(given);
    const all = given.kube.resource(customResourceDefinitions);
    expect((await all.get(name, "status")).status?.acceptedNames?.kind).toBe("Thing");
    const condition = {
      type: "StatusUpdate",
      status: "True",
      reason: "E2E",
      message: "Set from an e2e test",
    };
    const typed = condition as apiextensionsv1.CustomResourceDefinitionCondition;
    const updated = await all.update(name, ({ status }) => status!.conditions?.push({ ...typed }), "status");
    expect(updated.status?.conditions).toContainEqual(expect.objectContaining(condition));
    const conditions = [...(updated.status?.conditions ?? []), { ...condition, type: "StatusPatched" }];
    const patched = await all.patch(name, "merge", { status: { conditions } }, "status");
    expect(patched.status?.conditions?.map(({ type }) => type)).toContain("StatusPatched");
    expect((await all.get(name)).status?.conditions?.map(({ type }) => type)).toContain("StatusPatched");
  },
);

conformance("api-machinery-f6a0e0", "Custom resources are watched", async (given) => {
  const custom = await defineCustom(given, { scope: "Cluster", kind: "Noxu" });
  const all = given.kube.resource(custom.type());
  using watched = await all.watch();
  for (const name of ["name1", "name2"]) {
    await all.create({ metadata: { name }, content: { key: "value" } });
    await watched.next("ADDED", (object) => object.metadata.name === name);
    await all.patch(name, "merge", { content: { key: "changed" } });
    await watched.next("MODIFIED", (object) => object.metadata.name === name);
  }
  for (const name of ["name1", "name2"]) {
    await all.delete(name);
    await watched.next("DELETED", (object) => object.metadata.name === name);
  }
});

const defaulted = (a?: string, b?: string) => ({
  type: "object",
  properties: {
    a: { type: "string", ...(a ? { default: a } : {}) },
    b: { type: "string", ...(b ? { default: b } : {}) },
  },
});

conformance("api-machinery-4b3d60", "Defaults hold for requests and for what is stored", async (given) => {
  const custom = await defineCustom(given, { versions: [version("v1", defaulted())] });
  const definitions = given.kube.resource(customResourceDefinitions);
  const all = given.kube.resource(custom.type(), given.namespace);
  const setDefaults = (a?: string, b?: string) =>
    definitions.update(custom.name, ({ spec }) => {
      spec.versions[0]!.schema!.openAPIV3Schema = defaulted(a, b) as never;
    });
  await all.create({ metadata: { name: "first" } });
  expect((await all.get("first")).a).toBeUndefined();
  await setDefaults("A");
  await all.until("first", (object) => object.a === "A");
  expect((await all.create({ metadata: { name: "second" } })).a).toBe("A");
  await setDefaults(undefined, "B");
  await all.until("second", (object) => object.b === "B");
  // It was stored with the object; the first one never had it.
  expect((await all.get("second")).a).toBe("A");
  expect((await all.get("first")).a).toBeUndefined();
});

/** v1 has `hostPort`, v2 has `host` and `port`. */
function converted(object: Thing, desired: string): Thing {
  const result = { ...object, apiVersion: desired };
  if (desired.endsWith("/v2") && typeof object.hostPort === "string") {
    const [host, port] = object.hostPort.split(":");
    Object.assign(result, { host, port, hostPort: undefined });
  } else if (desired.endsWith("/v1") && object.host) {
    Object.assign(result, { hostPort: `${object.host}:${object.port}`, host: undefined, port: undefined });
  }
  return result;
}

const fields = (...names: string[]) => ({
  type: "object",
  properties: Object.fromEntries(names.map((name) => [name, { type: "string" }])),
});

async function convertible(given: Given, more: object = {}) {
  const hook = await serveWebhook(given, ({ objects = [], desiredAPIVersion = "" }) => ({
    result: { status: "Success" },
    convertedObjects: objects.map((object) => converted(object, desiredAPIVersion)),
  }));
  const conversion = {
    strategy: "Webhook",
    webhook: { clientConfig: hook.clientConfig, conversionReviewVersions: ["v1"] },
  };
  return defineCustom(given, {
    versions: [
      version("v1", fields("hostPort"), more),
      version("v2", fields("host", "port"), { storage: false, ...more }),
    ],
    spec: { conversion } as never,
  });
}

conformance(
  "api-machinery-419e43",
  "A webhook converts a custom resource to another version",
  async (given) => {
    const custom = await convertible(given);
    const v1 = given.kube.resource(custom.type("v1"), given.namespace);
    await v1.create({ metadata: { name: "converted" }, hostPort: "localhost:8080" });
    const v2 = await given.kube.resource(custom.type("v2"), given.namespace).get("converted");
    expect(v2).toMatchObject({ apiVersion: `${custom.group}/v2`, host: "localhost", port: "8080" });
    expect(v2.hostPort).toBeUndefined();
  },
);

conformance(
  "api-machinery-4c659c",
  "A list of objects stored in several versions is one of one version",
  async (given) => {
    const custom = await convertible(given);
    const v1 = given.kube.resource(custom.type("v1"), given.namespace);
    const v2 = given.kube.resource(custom.type("v2"), given.namespace);
    await v1.create({ metadata: { name: "in-v1" }, hostPort: "one:1" });
    await given.kube.resource(customResourceDefinitions).patch(custom.name, "json", [
      { op: "replace", path: "/spec/versions/0/storage", value: false },
      { op: "replace", path: "/spec/versions/1/storage", value: true },
    ]);
    await eventually("the new storage version", async () => {
      const { status } = await given.kube.resource(customResourceDefinitions).get(custom.name);
      return status?.storedVersions?.includes("v2") ? true : undefined;
    });
    await v2.create({ metadata: { name: "in-v2" }, host: "two", port: "2" });
    const inV2 = await v2.list();
    expect(inV2.items.map(({ host, port }) => [host, port])).toEqual([
      ["one", "1"],
      ["two", "2"],
    ]);
    const inV1 = await v1.list();
    expect(inV1.items.map(({ hostPort }) => hostPort)).toEqual(["one:1", "two:2"]);
  },
);

conformance("api-machinery-f6cd06", "Custom resources are selected by their fields", async (given) => {
  const { kube, namespace, afterwards } = given;
  const hook = await serveWebhook(given, ({ objects = [], desiredAPIVersion = "" }) => ({
    result: { status: "Success" },
    convertedObjects: objects.map((object) => converted(object, desiredAPIVersion)),
  }));
  const conversion = {
    strategy: "Webhook",
    webhook: { clientConfig: hook.clientConfig, conversionReviewVersions: ["v1"] },
  };
  const custom = await defineCustom(given, {
    versions: [
      version("v1", fields("hostPort"), { selectableFields: [{ jsonPath: ".hostPort" }] }),
      version("v2", fields("host", "port"), {
        storage: false,
        selectableFields: [{ jsonPath: ".host" }, { jsonPath: ".port" }],
      }),
    ],
    spec: { conversion } as never,
  });
  const v1 = kube.resource(custom.type("v1"), namespace);
  const v2 = kube.resource(custom.type("v2"), namespace);
  using watched = await v2.watch({ fieldSelector: "host=host1,port=80" });
  const listed = () =>
    kube.ask<KubernetesList<CustomObject>>("GET", v1.path(), {
      query: { fieldSelector: "hostPort=host1:80" },
    });
  const seen = new Set<string>();
  const informer = new ListWatch(
    v1.path(),
    new Watch(kube.config),
    listed as never,
    false,
    undefined,
    "hostPort=host1:80",
  );
  informer.on("add", (object) => seen.add(object.metadata?.name ?? ""));
  informer.on("delete", (object) => seen.delete(object.metadata?.name ?? ""));
  await informer.start();
  afterwards(() => informer.stop());

  await v1.create({ metadata: { name: "one" }, hostPort: "host1:80" });
  await v1.create({ metadata: { name: "two" }, hostPort: "host2:80" });
  await v2.create({ metadata: { name: "three" }, host: "host1", port: "80" });
  const named = (name: string) => (object: CustomObject) => object.metadata.name === name;
  await watched.next("ADDED", named("one"));
  await watched.next("ADDED", named("three"));
  const names = (list: KubernetesList<CustomObject>) => list.items.map(({ metadata }) => metadata.name);
  expect(names(await listed())).toEqual(["one", "three"]);
  expect(names(await v2.list({ fieldSelector: "host=host2" }))).toEqual(["two"]);
  await eventually("the informer's view", async () => (seen.size === 2 ? true : undefined));
  await v2.delete("one");
  await watched.next("DELETED", named("one"));
  await v2.patch("three", "merge", { port: "81" });
  await watched.next("DELETED", named("three"));
  await eventually("the informer's view", async () => (seen.size === 0 ? true : undefined));
  expect(names(await listed())).toEqual([]);
  expect(watched.events.some(({ object }) => object.metadata.name === "two")).toBe(false);
});

async function mutatingThings(given: Given, schema: object): Promise<CustomObject> {
  const custom = await defineCustom(given, { versions: [version("v1", schema)] });
  const stage = (data: Record<string, unknown>) =>
    data["mutation-stage-1"] ? "mutation-stage-2" : "mutation-stage-1";
  const hook = await serveWebhook(given, ({ object }) =>
    patch({ op: "add", path: `/data/${stage(object?.data ?? {})}`, value: "yes" }),
  );
  const webhooks = ["first", "second"].map((name) => ({
    name: `${name}.conformance.example.com`,
    clientConfig: hook.clientConfig,
    rules: [
      { apiGroups: [custom.group], apiVersions: ["v1"], operations: ["CREATE"], resources: ["things"] },
    ],
    sideEffects: "None",
    admissionReviewVersions: ["v1"],
  }));
  const path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
  const name = given.unique("things");
  await given.kube.ask("POST", path, { body: { metadata: { name }, webhooks } });
  given.afterwards(() => given.kube.ask("DELETE", `${path}/${name}`));
  const all = given.kube.resource(custom.type(), given.namespace);
  return eventually("the webhooks' work", async () => {
    const made = await all.create({ metadata: { generateName: "cr-" }, data: { "mutation-start": "yes" } });
    return made.data?.["mutation-stage-1"] ? made : undefined;
  });
}

conformance("api-machinery-808857", "Webhooks change custom resources", async (given) => {
  const made = await mutatingThings(given, { type: "object", "x-kubernetes-preserve-unknown-fields": true });
  expect(made.data).toEqual({
    "mutation-start": "yes",
    "mutation-stage-1": "yes",
    "mutation-stage-2": "yes",
  });
});

conformance("api-machinery-26a707", "What webhooks add to custom resources is pruned", async (given) => {
  const data = fields("mutation-start", "mutation-stage-1");
  const made = await mutatingThings(given, { type: "object", properties: { data } });
  expect(made.data).toEqual({ "mutation-start": "yes", "mutation-stage-1": "yes" });
});

conformance(
  "api-machinery-bce0a1",
  "Webhooks change custom resources while the stored version changes",
  async (given) => {
    const { kube, namespace } = given;
    const custom = await defineCustom(given, {
      versions: [version("v1"), version("v2", undefined, { storage: false })],
    });
    const hook = await serveWebhook(given, ({ object }) =>
      patch({
        op: "add",
        path: "/metadata/annotations",
        value: { ...object?.metadata.annotations, mutated: "yes" },
      }),
    );
    const webhook = {
      name: "versions.conformance.example.com",
      clientConfig: hook.clientConfig,
      rules: [
        {
          apiGroups: [custom.group],
          apiVersions: ["*"],
          operations: ["CREATE", "UPDATE"],
          resources: ["things"],
        },
      ],
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
    };
    const path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    const name = given.unique("versions");
    await kube.ask("POST", path, { body: { metadata: { name }, webhooks: [webhook] } });
    given.afterwards(() => kube.ask("DELETE", `${path}/${name}`));
    const v1 = kube.resource(custom.type("v1"), namespace);
    await v1.create({ metadata: { name: "cr" }, data: { k: "v" } });
    await kube.resource(customResourceDefinitions).patch(custom.name, "json", [
      { op: "replace", path: "/spec/versions/0/storage", value: false },
      { op: "replace", path: "/spec/versions/1/storage", value: true },
    ]);
    await eventually("the changed object", async () => {
      const patched = await v1.patch("cr", "merge", { data: { dummy: "test" } });
      return patched.data?.dummy === "test" && patched.metadata.annotations?.mutated === "yes"
        ? true
        : undefined;
    });
    expect((await kube.resource(custom.type("v2"), namespace).get("cr")).data).toEqual({
      k: "v",
      dummy: "test",
    });
  },
);

conformance("api-machinery-fe4adc", "Webhooks refuse custom resources", async (given) => {
  const { kube, namespace } = given;
  const custom = await defineCustom(given);
  const hook = await serveWebhook(given, ({ object, oldObject }) => {
    const isBad =
      object?.data?.["webhook-e2e-test"] === "webhook-disallow" ||
      (!object && oldObject?.data?.["webhook-e2e-test"] !== "webhook-nondeletable-released");
    return isBad
      ? { allowed: false, status: { message: "the custom resource contains unwanted data" } }
      : { allowed: true };
  });
  const webhook = {
    name: "refuse.conformance.example.com",
    clientConfig: hook.clientConfig,
    rules: [
      {
        apiGroups: [custom.group],
        apiVersions: ["*"],
        operations: ["CREATE", "UPDATE", "DELETE"],
        resources: ["things"],
      },
    ],
    sideEffects: "None",
    admissionReviewVersions: ["v1"],
  };
  const path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
  const name = given.unique("refuse");
  await kube.ask("POST", path, { body: { metadata: { name }, webhooks: [webhook] } });
  given.afterwards(() => kube.ask("DELETE", `${path}/${name}`));
  const all = kube.resource(custom.type(), namespace);
  const bad = { "webhook-e2e-test": "webhook-disallow" };
  await eventually("the refusal", () =>
    all.create({ metadata: { generateName: "bad-" }, data: bad }, { dryRun: "All" }).then(
      () => undefined,
      () => Promise.resolve(true),
    ),
  );
  await expect(all.create({ metadata: { name: "bad" }, data: bad })).rejects.toThrow(/unwanted data/);
  await all.create({ metadata: { name: "kept" }, data: { "webhook-e2e-test": "webhook-nondeletable" } });
  await expect(all.patch("kept", "merge", { data: bad })).rejects.toThrow(/unwanted data/);
  await expect(all.delete("kept")).rejects.toThrow(/unwanted data/);
  await all.patch("kept", "merge", { data: { "webhook-e2e-test": "webhook-nondeletable-released" } });
  await all.delete("kept");
});
