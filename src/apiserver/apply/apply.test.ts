/** Server-side apply through the API server. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../testing/start.ts";
import { deployment, deployments, owners } from "./apply.fixture.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

function apply(path: string, manager: string, body: unknown, query = "") {
  return server.send("PATCH", `${path}?fieldManager=${manager}${query}`, body, {
    "content-type": "application/apply-patch+yaml",
  });
}

describe("apply", () => {
  test("creates what is not there, and is one with itself", async () => {
    const config = deployment("applied", { spec: { replicas: 2 } });
    const created = await apply(`${deployments}/applied`, "me", config);
    expect(created.status).toBe(201);
    expect(owners(created)).toMatchObject([{ manager: "me", operation: "Apply", apiVersion: "apps/v1" }]);
    expect(JSON.stringify(owners(created)[0]?.fieldsV1)).toBe(
      '{"f:spec":{"f:replicas":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:app":{}}},' +
        '"f:spec":{"f:containers":{"k:{\\"name\\":\\"web\\"}":{".":{},"f:image":{},"f:name":{}}}}}}}',
    );
    const again = await apply(`${deployments}/applied`, "me", config);
    expect(again.status).toBe(200);
    expect(again.body).toEqual(created.body);
  });

  test("a conflict names the owner and every field; force takes them", async () => {
    const path = `${deployments}/fought`;
    await apply(path, "a", deployment("fought", { spec: { replicas: 1 } }));
    const one = await apply(path, "b", deployment("fought", { spec: { replicas: 2 } }));
    expect(one.status).toBe(409);
    expect(one.body).toMatchObject({
      reason: "Conflict",
      message: 'Apply failed with 1 conflict: conflict with "a": .spec.replicas',
      details: {
        causes: [{ reason: "FieldManagerConflict", message: 'conflict with "a"', field: ".spec.replicas" }],
      },
    });
    const two = await apply(
      path,
      "b",
      deployment("fought", { spec: { replicas: 2 }, container: { image: "x" } }),
    );
    expect(two.body.message).toBe(
      'Apply failed with 2 conflicts: conflicts with "a":\n- .spec.replicas\n' +
        '- .spec.template.spec.containers[name="web"].image',
    );
    const forced = await apply(path, "b", deployment("fought", { spec: { replicas: 2 } }), "&force=true");
    expect(forced.status).toBe(200);
    const [a] = owners(forced).filter((entry) => entry.manager === "a");
    expect(JSON.stringify(a?.fieldsV1)).not.toContain("f:replicas");
    // Same values are shared, not fought over.
    expect((await apply(path, "c", deployment("fought", { spec: { replicas: 2 } }))).status).toBe(200);
  });

  test("updaters are named with their version, and with their subresource", async () => {
    const path = `${deployments}/updated`;
    await server.send("POST", `${deployments}?fieldManager=kubectl-create`, deployment("updated"));
    const merge = { "content-type": "application/merge-patch+json" };
    await server.send("PATCH", `${path}/scale?fieldManager=kubectl`, { spec: { replicas: 5 } }, merge);
    const answer = await apply(
      path,
      "me",
      deployment("updated", { spec: { replicas: 2 }, container: { image: "other" } }),
    );
    expect(answer.body.message).toBe(
      'Apply failed with 2 conflicts: conflicts with "kubectl" with subresource "scale" using apps/v1:\n' +
        '- .spec.replicas\nconflicts with "kubectl-create" using apps/v1:\n' +
        '- .spec.template.spec.containers[name="web"].image',
    );
  });

  test("what is given up and nobody else owns goes", async () => {
    const path = `${deployments}/given`;
    const env = [
      { name: "A", value: "1" },
      { name: "B", value: "2" },
    ];
    await apply(
      path,
      "a",
      deployment("given", { metadata: { labels: { x: "1", y: "2" } }, container: { env } }),
    );
    await apply(path, "b", {
      ...deployment("given"),
      spec: undefined,
      metadata: { name: "given", labels: { y: "2" } },
    });
    const less = await apply(path, "a", deployment("given", { container: { env: env.slice(1) } }));
    expect(less.status).toBe(200);
    expect(less.body.metadata?.labels).toEqual({ y: "2" });
    const { template } = less.body.spec as { template: { spec: { containers: { env: unknown }[] } } };
    expect(template.spec.containers[0]?.env).toEqual([{ name: "B", value: "2" }]);
  });

  test.each([
    [{ kind: "Pod" }, 400, "invalid object type: apps/v1, Kind=Pod"],
    [{ apiVersion: "v1" }, 400, "invalid object type: /v1, Kind=Deployment"],
    [{ metadata: { name: "bad", managedFields: [{}] } }, 400, "metadata.managedFields must be nil"],
    [
      { spec: { nope: 1 } },
      400,
      "failed to create typed patch object (/bad; apps/v1, Kind=Deployment): .spec.nope: field not declared in schema",
    ],
    [
      { spec: { replicas: "many", paused: "yes" } },
      400,
      'failed to create typed patch object (/bad; apps/v1, Kind=Deployment): errors:\n  .spec.replicas: expected numeric (int or float), got string\n  .spec.paused: expected boolean, got &{"yes"}',
    ],
    [
      { spec: { template: { spec: { containers: [{ name: "a" }, { name: "a" }] } } } },
      400,
      'failed to create typed patch object (/bad; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name="a"]',
    ],
    [
      { spec: { template: { spec: { containers: [{ image: "a" }] } } } },
      400,
      'failed to create typed patch object (/bad; apps/v1, Kind=Deployment): .spec.template.spec.containers: element 0: associative list with keys has an element that omits all key fields ["name"] (and doesn\'t have default values for any key fields)',
    ],
    [
      { metadata: { name: "bad", uid: "17" } },
      409,
      'Operation cannot be fulfilled on deployments.apps "bad": uid mismatch: the provided object specified uid 17, and no existing object was found',
    ],
    [
      { metadata: { name: "worse" } },
      400,
      "the name of the object (worse) does not match the name on the URL (bad)",
    ],
  ])("refuses %j", async (more, status, message) => {
    const answer = await apply(`${deployments}/bad`, "me", { ...deployment("bad"), ...more });
    expect([answer.status, answer.body.message]).toEqual([status, message]);
  });

  test("a version or uid in the configuration must be that of the object", async () => {
    const path = `${deployments}/pinned`;
    const { body } = await apply(path, "me", deployment("pinned"));
    const { resourceVersion, uid } = body.metadata!;
    const pinned = (metadata: object) => apply(path, "me", deployment("pinned", { metadata }));
    expect((await pinned({ resourceVersion, labels: { a: "b" } })).status).toBe(200);
    expect((await pinned({ resourceVersion })).status).toBe(409);
    expect((await pinned({ uid: "other" })).status).toBe(409);
    expect((await pinned({ uid })).status).toBe(200);
  });

  test("YAML, repeated keys, dry run, and the query of other patches", async () => {
    const path = "/api/v1/namespaces/default/configmaps/yaml";
    const text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  a: '1'\n  a: '2'\n";
    const strict = await apply(path, "me", text, "&fieldValidation=Strict");
    expect([strict.status, strict.body.message]).toEqual([
      400,
      'error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 7: key "a" already set in map',
    ]);
    const dry = await apply(path, "me", text, "&dryRun=All");
    expect([dry.status, dry.body.data]).toEqual([201, { a: "2" }]);
    expect(dry.headers.warning).toContain("already set in map");
    expect((await server.send("GET", path)).status).toBe(404);
    const broken = await apply(path, "me", "a: [b");
    expect([broken.status, broken.body.message]).toEqual([
      400,
      expect.stringMatching(/^error decoding YAML: /),
    ]);
    const merge = { "content-type": "application/merge-patch+json" };
    const forced = await server.send("PATCH", `${path}?force=true`, {}, merge);
    expect([forced.status, forced.body.message]).toEqual([
      422,
      'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
    ]);
  });

  test("status and scale have owners of their own", async () => {
    const path = `${deployments}/parts`;
    await apply(path, "me", deployment("parts", { spec: { replicas: 1 } }));
    const head = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "parts" } };
    const status = await apply(`${path}/status`, "me", {
      ...head,
      spec: { replicas: 7 },
      status: { replicas: 1 },
    });
    expect(status.status).toBe(200);
    expect(status.body.spec).toMatchObject({ replicas: 1 });
    expect(owners(status).find((entry) => entry.subresource === "status")?.fieldsV1).toEqual({
      "f:status": { "f:replicas": {} },
    });
    const scale = {
      apiVersion: "autoscaling/v1",
      kind: "Scale",
      metadata: { name: "parts" },
      spec: { replicas: 6 },
    };
    const refused = await apply(`${path}/scale`, "hpa", scale);
    expect(refused.body.message).toBe('Apply failed with 1 conflict: conflict with "me": .spec.replicas');
    const taken = await apply(`${path}/scale`, "hpa", scale, "&force=true");
    expect(taken.body.spec).toEqual({ replicas: 6 });
    const now = await server.send("GET", path);
    const hpa = owners(now).find((entry) => entry.manager === "hpa");
    expect(hpa).toMatchObject({ operation: "Apply", apiVersion: "apps/v1", subresource: "scale" });
    expect(hpa?.fieldsV1).toEqual({ "f:spec": { "f:replicas": {} } });
    expect((await apply(`${deployments}/none/status`, "me", head)).status).toBe(404);
  });

  test("kubectl takes over what client-side apply left, and keeps its annotation true", async () => {
    const path = `${deployments}/migrated`;
    const said = deployment("migrated", { spec: { replicas: 2 } });
    const annotations = { "kubectl.kubernetes.io/last-applied-configuration": JSON.stringify(said) };
    await server.send("POST", `${deployments}?fieldManager=kubectl-client-side-apply`, {
      ...said,
      metadata: { ...said.metadata, annotations },
    });
    const wanted = deployment("migrated", { spec: { replicas: 3 } });
    expect((await apply(path, "other", wanted)).status).toBe(409);
    const taken = await apply(path, "kubectl", wanted);
    expect(taken.status).toBe(200);
    const kept = taken.body.metadata?.annotations as Record<string, string>;
    expect(JSON.parse(kept["kubectl.kubernetes.io/last-applied-configuration"]!)).toEqual(wanted);
    // What is no more as client-side apply said is somebody else's.
    const merge = { "content-type": "application/merge-patch+json" };
    await server.send("PATCH", `${path}?fieldManager=human`, { spec: { paused: true } }, merge);
    const refused = await apply(
      path,
      "kubectl",
      deployment("migrated", { spec: { replicas: 3, paused: false } }),
    );
    expect(refused.body.message).toBe(
      'Apply failed with 1 conflict: conflict with "human" using apps/v1: .spec.paused',
    );
  });
});

test("custom resources divide as their schema says; their scale maps to its own path", async () => {
  const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const list = (type: string, items: object, more: object = {}) => ({
    type: "array",
    "x-kubernetes-list-type": type,
    items,
    ...more,
  });
  const item = {
    type: "object",
    properties: { name: { type: "string" }, n: { type: "integer" } },
    required: ["name"],
  };
  const properties = {
    size: { type: "object", properties: { count: { type: "integer" } } },
    parts: list("map", item, { "x-kubernetes-list-map-keys": ["name"] }),
    tags: list("set", { type: "string" }),
    order: { type: "array", items: { type: "string" } },
    any: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
  };
  const openAPIV3Schema = {
    type: "object",
    properties: {
      spec: { type: "object", properties },
      status: { type: "object", properties: { n: { type: "integer" } } },
    },
  };
  const subresources = {
    scale: { specReplicasPath: ".spec.size.count", statusReplicasPath: ".status.n" },
  };
  const made = await server.send("POST", crds, {
    metadata: { name: "ships.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "ships", kind: "Ship" },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema }, subresources }],
    },
  });
  expect(made.status).toBe(201);
  const path = "/apis/example.com/v1/namespaces/default/ships/knarr";
  const ship = (spec: object) => ({
    apiVersion: "example.com/v1",
    kind: "Ship",
    metadata: { name: "knarr" },
    spec,
  });
  const send = () =>
    apply(
      path,
      "a",
      ship({
        size: { count: 1 },
        parts: [{ name: "x", n: 1 }],
        tags: ["t"],
        order: ["1"],
        any: { b: { c: 1 } },
      }),
    );
  let created = await send();
  for (let i = 0; i < 50 && created.status === 404; i++) {
    await server.clock.advance(1000);
    created = await send();
  }
  expect(created.status).toBe(201);
  expect(owners(created)[0]?.fieldsV1).toEqual({
    "f:spec": {
      "f:any": { "f:b": { ".": {}, "f:c": {} } },
      "f:order": {},
      "f:parts": { 'k:{"name":"x"}': { ".": {}, "f:n": {}, "f:name": {} } },
      "f:size": { "f:count": {} },
      "f:tags": { 'v:"t"': {} },
    },
  });
  const merged = await apply(path, "b", ship({ parts: [{ name: "y" }], tags: ["u"] }));
  expect(merged.body.spec).toMatchObject({ parts: [{ name: "x", n: 1 }, { name: "y" }], tags: ["t", "u"] });
  const unknown = await apply(path, "b", ship({ nope: 1 }));
  expect(unknown.body.message).toContain(".spec.nope: field not declared in schema");
  const scale = {
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name: "knarr" },
    spec: { replicas: 4 },
  };
  const refused = await apply(`${path}/scale`, "hpa", scale);
  expect([refused.status, refused.body.message]).toEqual([
    409,
    'Apply failed with 1 conflict: conflict with "a": .spec.replicas',
  ]);
  const scaled = await apply(`${path}/scale`, "hpa", scale, "&force=true");
  expect(scaled.status).toBe(200);
  const now = await server.send("GET", path);
  expect(now.body.spec).toMatchObject({ size: { count: 4 } });
  expect(owners(now).find((entry) => entry.manager === "hpa")?.fieldsV1).toEqual({
    "f:spec": { "f:size": { "f:count": {} } },
  });
});
