import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../testing/start.ts";

const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

interface Version {
  name: string;
  [more: string]: unknown;
}

/** A definition whose only schema is `spec`, with what else a test asks for. */
function definition(plural: string, kind: string, versions: Version[], more: object = {}) {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.example.com` },
    spec: { group: "example.com", scope: "Namespaced", names: { plural, kind }, versions, ...more },
  };
}

function version(name: string, spec: object, more: object = {}): Version {
  const openAPIV3Schema = {
    type: "object",
    properties: {
      spec: { type: "object", ...spec },
      status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
    },
  };
  return { name, served: true, storage: name === "v1", schema: { openAPIV3Schema }, ...more };
}

/** Real time: what follows a write runs on promises alone. */
async function settled(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

async function define(body: ReturnType<typeof definition>): Promise<void> {
  const { status, body: answer } = await server.send("POST", definitions, body);
  expect(answer.message).toBeUndefined();
  expect(status).toBe(201);
  await settled();
}

function path(plural: string, name = "", at = "v1"): string {
  return `/apis/example.com/${at}/namespaces/default/${plural}${name ? `/${name}` : ""}`;
}

function thing(kind: string, name: string, more: object, at = "v1") {
  return { apiVersion: `example.com/${at}`, kind, metadata: { name }, ...more };
}

async function messageOf(method: string, at: string, body: unknown, headers = {}): Promise<string> {
  const { body: answer } = await server.send(method, at, body, headers);
  return answer.message ?? "";
}

describe("a definition", () => {
  test("is established, served and told by discovery and OpenAPI; then it takes its objects with it", async () => {
    const spec = { properties: { size: { type: "integer" } } };
    await define(definition("boxes", "Box", [version("v1", spec)]));
    const { body } = await server.send("GET", `${definitions}/boxes.example.com`);
    expect(body.status).toMatchObject({
      acceptedNames: { plural: "boxes", singular: "box", kind: "Box", listKind: "BoxList" },
      conditions: [
        { type: "NamesAccepted", status: "True", reason: "NoConflicts" },
        { type: "Established", status: "True", reason: "InitialNamesAccepted" },
      ],
      storedVersions: ["v1"],
    });
    expect((await server.send("GET", "/apis/example.com/v1")).body.resources).toMatchObject([
      { name: "boxes", kind: "Box", singularName: "box", namespaced: true },
    ]);
    const openapi = await server.send("GET", "/openapi/v3/apis/example.com/v1");
    expect(openapi.body).toMatchObject({
      components: { schemas: { "com.example.v1.Box": { properties: { spec: { type: "object" } } } } },
    });
    const tag = { "if-none-match": openapi.headers.etag! };
    expect((await server.send("GET", "/openapi/v3/apis/example.com/v1", undefined, tag)).status).toBe(304);
    await server.send("POST", path("boxes"), thing("Box", "a", { spec: { size: 1 } }));
    const held = thing("Box", "b", { metadata: { name: "b", finalizers: ["example.com/hold"] } });
    await server.send("POST", path("boxes"), held);
    await server.send("DELETE", `${definitions}/boxes.example.com`);
    await settled();
    const { body: list } = await server.send("GET", path("boxes"));
    expect(list.items).toHaveLength(1);
    expect((await server.send("POST", path("boxes"), thing("Box", "c", {}))).status).toBe(405);
    const patch = { metadata: { finalizers: null } };
    await server.send("PATCH", path("boxes", "b"), patch, { "content-type": "application/merge-patch+json" });
    await server.clock.advance(1_000);
    await settled();
    expect((await server.send("GET", `${definitions}/boxes.example.com`)).status).toBe(404);
    expect((await server.send("GET", path("boxes"))).status).toBe(404);
    expect((await server.send("GET", "/apis/example.com")).status).toBe(404);
  });

  test("that takes a name of another one waits for it", async () => {
    await define(definition("cups", "Cup", [version("v1", {})]));
    await define(definition("mugs", "Cup", [version("v1", {})]));
    const read = async () => (await server.send("GET", `${definitions}/mugs.example.com`)).body.status;
    expect(await read()).toMatchObject({
      conditions: [
        {
          type: "NamesAccepted",
          status: "False",
          reason: "ListKindConflict",
          message: '"CupList" is already in use',
        },
        { type: "Established", status: "False", reason: "NotAccepted" },
      ],
    });
    await server.send("DELETE", `${definitions}/cups.example.com`);
    await settled();
    expect(await read()).toMatchObject({
      conditions: [{ status: "True" }, { type: "Established", status: "True" }],
    });
    await server.send("DELETE", `${definitions}/mugs.example.com`);
  });

  test.each([
    [
      definition("wrong", "Wrong", [version("v1", { properties: { a: {} } })]),
      "spec.validation.openAPIV3Schema.properties[spec].properties[a].type: Required value: must not be empty for specified object fields",
    ],
    [
      definition("wrong", "Wrong", [{ ...version("v1", {}), storage: false }]),
      "must have exactly one version marked as storage version",
    ],
    [
      definition("wrong", "Wrong", [version("v1", { properties: { a: { type: "string", pattern: "(" } } })]),
      "must be a valid regular expression, but isn't",
    ],
    [
      definition("wrong", "Wrong", [version("v1", { properties: { a: { type: "integer", default: "x" } } })]),
      'properties[a].default: Invalid value: "string": spec.validation.openAPIV3Schema.properties[spec].properties[a].default in body must be of type integer: "string"',
    ],
    [
      definition("wrong", "Wrong", [
        version("v1", { "x-kubernetes-validations": [{ rule: "self.nope == 1" }] }),
      ]),
      "compilation failed: ERROR: <input>:1:5: undefined field 'nope'",
    ],
    [
      definition("wrong", "Wrong", [version("v1", { "x-kubernetes-validations": [{ rule: "1 + 1" }] })]),
      "cel expression must evaluate to a bool",
    ],
    [
      { ...definition("wrong", "Wrong", [version("v1", {})]), metadata: { name: "x" } },
      'must be spec.names.plural+"."+spec.group',
    ],
  ])("with mistakes is refused", async (body, wanted) => {
    expect(await messageOf("POST", definitions, body)).toContain(wanted);
  });
});

test("what was stored before a schema forbids it is shown as it is", async () => {
  const free = { properties: { inner: { type: "object", "x-kubernetes-preserve-unknown-fields": true } } };
  await define(definition("loose", "Loose", [version("v1", free)]));
  const spec = { inner: { metadata: 5 } };
  await server.send("POST", path("loose"), thing("Loose", "a", { spec }));
  const at = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/inner";
  const embedded = [{ op: "add", path: `${at}/x-kubernetes-embedded-resource`, value: true }];
  const json = { "content-type": "application/json-patch+json" };
  expect((await server.send("PATCH", `${definitions}/loose.example.com`, embedded, json)).status).toBe(200);
  await settled();
  expect((await server.send("GET", path("loose", "a"))).body).toMatchObject({ spec });
  expect((await server.send("GET", path("loose"))).body.items).toHaveLength(1);
  expect((await server.send("POST", path("loose"), thing("Loose", "b", { spec }))).status).toBe(400);
  await server.send("DELETE", `${definitions}/loose.example.com`);
});

describe("custom resources", () => {
  const spec = {
    required: ["schedule"],
    properties: {
      schedule: { type: "string", pattern: "^\\d+$", maxLength: 5 },
      replicas: { type: "integer", minimum: 1, maximum: 10, default: 2 },
      size: { "x-kubernetes-int-or-string": true },
      free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      names: { type: "array", items: { type: "string" }, "x-kubernetes-list-type": "set" },
      ports: {
        type: "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port"],
        items: {
          type: "object",
          required: ["port"],
          properties: { port: { type: "integer" }, name: { type: "string", nullable: true } },
          "x-kubernetes-validations": [{ rule: "self.port >= oldSelf.port", message: "ports only grow" }],
        },
      },
    },
    "x-kubernetes-validations": [
      {
        rule: "self.replicas < 5 || has(self.free)",
        messageExpression: "'too many: ' + string(self.replicas)",
      },
      {
        rule: "self.schedule == oldSelf.schedule",
        message: "schedule is immutable",
        reason: "FieldValueForbidden",
        fieldPath: ".schedule",
      },
    ],
  };
  const merge = { "content-type": "application/merge-patch+json" };

  beforeAll(async () => {
    const columns = [
      { name: "Schedule", type: "string", jsonPath: ".spec.schedule" },
      { name: "Ready", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    ];
    const scale = { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" };
    await define(
      definition("jobs2", "Job2", [
        version("v1", spec, {
          subresources: { status: {}, scale },
          additionalPrinterColumns: columns,
          selectableFields: [{ jsonPath: ".spec.schedule" }],
        }),
        version("v2", spec, { deprecated: true }),
      ]),
    );
    const body = thing("Job2", "a", { spec: { schedule: "1", junk: 1, free: { a: 1 } }, status: { x: 1 } });
    expect((await server.send("POST", path("jobs2"), body)).body).toMatchObject({
      metadata: { generation: 1 },
      spec: { schedule: "1", replicas: 2, free: { a: 1 } },
    });
  });

  test("keep what the schema knows, and nothing else", async () => {
    const { body } = await server.send("GET", path("jobs2", "a"));
    expect(body).not.toHaveProperty("spec.junk");
    expect(body).not.toHaveProperty("status");
    const strict = `${path("jobs2")}?fieldValidation=Strict`;
    const text =
      '{"apiVersion":"example.com/v1","kind":"Job2","metadata":{"name":"b","x":1},"spec":{"schedule":"1","schedule":"2","y":1}}';
    expect(await messageOf("POST", strict, text)).toBe(
      'Job2 in version "v1" cannot be handled as a Job2: strict decoding error: duplicate field "spec.schedule", unknown field "metadata.x", unknown field "spec.y"',
    );
  });

  test.each([
    [{}, "spec.schedule: Required value"],
    [
      { schedule: 1 },
      'spec.schedule: Invalid value: "integer": spec.schedule in body must be of type string: "integer"',
    ],
    [{ schedule: "x" }, "spec.schedule: Invalid value: \"x\": spec.schedule in body should match '^\\d+$'"],
    [{ schedule: "123456" }, "spec.schedule: Too long: may not be more than 5 bytes"],
    [
      { schedule: "1", replicas: 11 },
      "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
    ],
    [
      { schedule: "1", size: true },
      'spec.size: Invalid value: "boolean": spec.size in body must be of type integer,string: "boolean"',
    ],
    [{ schedule: "1", names: ["a", "a"] }, 'spec.names[1]: Duplicate value: "a"'],
    [{ schedule: "1", ports: [{ port: 1 }, { port: 1 }] }, 'spec.ports[1]: Duplicate value: {"port":1}'],
    [{ schedule: "1", replicas: 7 }, 'spec: Invalid value: "object": too many: 7'],
    [{ schedule: 1, replicas: 7 }, "<nil>: Invalid value: null: some validation rules were not checked"],
  ])("are validated: %j", async (bad, wanted) => {
    const message = await messageOf("POST", path("jobs2"), thing("Job2", "bad", { spec: bad }));
    expect(message).toContain(wanted);
  });

  test("rules about changes see what was there", async () => {
    const ports = { spec: { ports: [{ port: 5, name: null }] } };
    expect((await server.send("PATCH", path("jobs2", "a"), ports, merge)).status).toBe(200);
    const change = { spec: { schedule: "2" } };
    expect(await messageOf("PATCH", path("jobs2", "a"), change, merge)).toBe(
      'Job2.example.com "a" is invalid: spec.schedule: Forbidden: schedule is immutable',
    );
  });

  test("have status and scale", async () => {
    const before = (await server.send("GET", path("jobs2", "a"))).body.metadata!.generation as number;
    const status = {
      status: { replicas: 3, conditions: [{ type: "Ready", status: "True" }] },
      spec: { replicas: 9 },
    };
    const written = await server.send("PATCH", `${path("jobs2", "a")}/status`, status, merge);
    expect(written.body).toMatchObject({
      metadata: { generation: before },
      spec: { replicas: 2 },
      status: { replicas: 3 },
    });
    const scaled = await server.send(
      "PATCH",
      `${path("jobs2", "a")}/scale`,
      { spec: { replicas: 4 } },
      merge,
    );
    expect(scaled.body).toMatchObject({ kind: "Scale", spec: { replicas: 4 }, status: { replicas: 3 } });
    const { body } = await server.send("GET", path("jobs2", "a"));
    expect(body).toMatchObject({ metadata: { generation: before + 1 }, spec: { replicas: 4 } });
  });

  test("have tables, selectable fields and no other formats", async () => {
    const table = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };
    const selected = `${path("jobs2")}?fieldSelector=spec.schedule%3D1`;
    const { body } = await server.send("GET", selected, undefined, table);
    expect(body.rows).toMatchObject([{ cells: ["a", "1", "True"] }]);
    const none = await server.send("GET", `${path("jobs2")}?fieldSelector=spec.schedule%3D2`);
    expect(none.body).toMatchObject({ kind: "Job2List", items: [] });
    expect(await messageOf("GET", `${path("jobs2")}?fieldSelector=spec.replicas%3D2`, undefined)).toBe(
      "field label not supported: spec.replicas",
    );
    const protobuf = "application/vnd.kubernetes.protobuf";
    expect((await server.send("GET", path("jobs2"), undefined, { accept: protobuf })).status).toBe(406);
    const sent = await server.send("POST", path("jobs2"), "k8s\0", { "content-type": protobuf });
    expect(sent.status).toBe(415);
    const strategic = { "content-type": "application/strategic-merge-patch+json" };
    expect((await server.send("PATCH", path("jobs2", "a"), {}, strategic)).status).toBe(415);
  });

  test("are served in every version, and deprecated ones say so", async () => {
    const { body, headers } = await server.send("GET", path("jobs2", "a", "v2"));
    expect(body).toMatchObject({ apiVersion: "example.com/v2", spec: { schedule: "1" } });
    expect(headers.warning).toBe('299 - "example.com/v2 Job2 is deprecated"');
    const made = await server.send(
      "POST",
      path("jobs2", "", "v2"),
      thing("Job2", "v2", { spec: { schedule: "3" } }, "v2"),
    );
    expect(made.body).toMatchObject({ apiVersion: "example.com/v2" });
    expect((await server.send("GET", path("jobs2", "v2"))).body).toMatchObject({
      apiVersion: "example.com/v1",
    });
  });

  test("are seen with defaults that came later, and by watches in their version", async () => {
    const abort = new AbortController();
    const type = { group: "example.com", version: "v2", resource: "jobs2", kind: "Job2", namespaced: true };
    const events = server.client.watch(type, { signal: abort.signal });
    const first = await events[Symbol.asyncIterator]().next();
    expect(first.value).toMatchObject({
      type: "ADDED",
      object: { apiVersion: "example.com/v2", metadata: { name: "a" } },
    });
    abort.abort();
    const added = [
      {
        op: "add",
        path: "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/color",
        value: { type: "string", default: "red" },
      },
    ];
    const json = { "content-type": "application/json-patch+json" };
    expect((await server.send("PATCH", `${definitions}/jobs2.example.com`, added, json)).status).toBe(200);
    await settled();
    expect((await server.send("GET", path("jobs2", "a"))).body).toMatchObject({ spec: { color: "red" } });
  });
});
