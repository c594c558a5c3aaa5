/** Whatever clients send as definitions and custom resources: an answer of Kubernetes' own, never a 500. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createWorld, seededRandom, silentLogger, VirtualClock } from "#base";
import { openEmbeddedStore } from "#store";
import { startTestServer, type TestServer } from "../testing/start.ts";

/** On a busy machine fewer are drawn; what was drawn until then has held. */
const patienceMs = 6_000;

const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const path = "/apis/example.com/v1/namespaces/default/things";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  await server.send("POST", definitions, definition({}));
  await settled();
});
afterAll(() => server.stop());

async function settled(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

function definition(more: object, name = "things.example.com") {
  const spec = {
    type: "object",
    properties: {
      text: { type: "string", format: "date-time", pattern: "^a" },
      count: { type: "integer", default: 1 },
      list: {
        type: "array",
        items: { type: "object", properties: { k: { type: "string" } }, required: ["k"] },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
      },
      inner: {
        type: "object",
        "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true,
      },
      map: {
        type: "object",
        additionalProperties: {
          type: "string",
          format: "duration",
          "x-kubernetes-validations": [{ rule: "self > duration('1s')" }],
        },
      },
    },
    "x-kubernetes-validations": [
      { rule: "self.count > 0 && (!has(self.list) || self.list.all(e, e.k != ''))" },
    ],
  };
  const schema = { openAPIV3Schema: { type: "object", properties: { spec, status: { type: "object" } } } };
  const scale = { specReplicasPath: ".spec.count", statusReplicasPath: ".status.count" };
  return {
    metadata: { name },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "things", kind: "Thing" },
      versions: [{ name: "v1", served: true, storage: true, schema, subresources: { status: {}, scale } }],
      ...more,
    },
  };
}

const keys = fc.constantFrom(
  "spec",
  "status",
  "metadata",
  "text",
  "count",
  "list",
  "inner",
  "map",
  "k",
  "name",
  "labels",
  "apiVersion",
  "kind",
  "__proto__",
  "managedFields",
  "ownerReferences",
  "finalizers",
);
const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(null, true, 0, 1, -1, 1.5, 1e30, "", "a", "1h", "example.com/v1", "Thing"),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(keys, tie("value"), { maxKeys: 5 }),
  ),
})).value;

test("custom resources of any shape", async () => {
  const types = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
  ];
  let n = 0;
  await fc.assert(
    fc.asyncProperty(json, json, fc.constantFrom("", "/status", "/scale"), async (spec, body, part) => {
      const name = `t${n++}`;
      const made = await server.send("POST", path, { metadata: { name }, spec });
      expect(made.status, made.body.message).toBeLessThan(500);
      for (const type of types) {
        const at = `${path}/${name}${part}?fieldManager=f`;
        const { status, body: answer } = await server.send("PATCH", at, body, { "content-type": type });
        expect(status, answer.message).toBeLessThan(500);
      }
      const put = await server.send("PUT", `${path}/${name}${part}`, body);
      expect(put.status, put.body.message).toBeLessThan(500);
    }),
    { numRuns: 60, interruptAfterTimeLimit: patienceMs },
  );
  expect((await server.send("GET", path)).status).toBe(200);
}, 60_000);

test("definitions of any shape", async () => {
  const words = fc.constantFrom(
    "type",
    "properties",
    "items",
    "default",
    "x-kubernetes-validations",
    "rule",
    "anyOf",
    "pattern",
    "required",
    "additionalProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
    "format",
    "enum",
  );
  const schema = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      fc.constantFrom(null, true, 1, "object", "string", "array", "integer", "(", "map", "self.a", "1 == 1"),
      fc.array(tie("value"), { maxLength: 2 }),
      fc.dictionary(words, tie("value"), { maxKeys: 4 }),
    ),
  })).value;
  await fc.assert(
    fc.asyncProperty(schema, fc.integer({ min: 0, max: 3 }), async (openAPIV3Schema, which) => {
      const version = { name: "v1", served: true, storage: true, schema: { openAPIV3Schema } };
      const names = { plural: "others", kind: "Other" };
      const more = which === 0 ? { versions: openAPIV3Schema } : { names, versions: [version] };
      const sent = await server.send("POST", definitions, definition(more, "others.example.com"));
      expect(sent.status, sent.body.message).toBeLessThan(500);
      await settled();
      const list = await server.send("GET", "/apis/example.com/v1/others");
      expect(list.status).toBeLessThan(500);
      for (const document of ["/openapi/v2", "/openapi/v3/apis/example.com/v1"])
        expect((await server.send("GET", document)).status).toBe(200);
      await server.send("DELETE", `${definitions}/others.example.com`);
      await settled();
    }),
    { numRuns: 60, interruptAfterTimeLimit: patienceMs },
  );
}, 60_000);

test("a server that starts again serves what was defined before", async () => {
  const world = createWorld({ log: silentLogger, clock: new VirtualClock(), random: seededRandom(1) });
  const store = await openEmbeddedStore({ world, memory: true });
  const first = await startTestServer({ store });
  await first.send("POST", definitions, definition({}));
  await settled();
  await first.send("POST", path, { metadata: { name: "a" }, spec: { count: 3 } });
  await first.api.stop();
  const second = await startTestServer({ store });
  expect((await second.send("GET", `${path}/a`)).body).toMatchObject({ kind: "Thing", spec: { count: 3 } });
  expect(
    (await second.send("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.example.com")).status,
  ).toBe(200);
  await second.stop();
});
