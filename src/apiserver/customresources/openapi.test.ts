import { expect, test } from "vitest";
import type { JsonSchema } from "#api";
import { publishedSchema } from "./openapi.ts";

const kind = { group: "example.com", version: "v1", kind: "Thing" };
const gvk = { "x-kubernetes-group-version-kind": [kind] };

test("what version 2 cannot say is left out of it", () => {
  const schema: JsonSchema = {
    type: "object",
    required: ["a", "b"],
    properties: {
      a: { type: "string", nullable: true },
      b: { type: "array", "x-kubernetes-preserve-unknown-fields": true, items: { type: "string" } },
      c: { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] },
      d: {
        type: "object",
        "x-kubernetes-preserve-unknown-fields": true,
        properties: { e: { type: "string" } },
      },
    },
  };
  const { properties, ...rest } = publishedSchema(kind, schema, "v2");
  expect(rest).toEqual({ type: "object", required: ["b"], ...gvk });
  expect(properties).toMatchObject({
    a: {},
    b: { "x-kubernetes-preserve-unknown-fields": true },
    c: { "x-kubernetes-int-or-string": true },
    d: { "x-kubernetes-preserve-unknown-fields": true },
    metadata: { $ref: "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" },
  });
  expect(JSON.stringify(properties)).not.toMatch(/anyOf|nullable|"items"|"e"/);
  expect(publishedSchema(kind, schema, "v3")).toMatchObject({
    required: ["a", "b"],
    properties: schema.properties,
  });
});

test("a schema that keeps everything is an object in version 2", () => {
  const schema: JsonSchema = {
    type: "object",
    "x-kubernetes-preserve-unknown-fields": true,
    description: "d",
  };
  expect(publishedSchema(kind, schema, "v2")).toEqual({ type: "object", ...gvk });
  expect(publishedSchema(kind, schema, "v3")).toMatchObject(schema);
});

test("resources inside resources have their own kind and metadata", () => {
  const inner: JsonSchema = { type: "object", "x-kubernetes-embedded-resource": true, properties: {} };
  const published = publishedSchema(kind, { type: "object", properties: { inner } }, "v2");
  expect(published).toMatchObject({
    properties: {
      inner: { required: ["apiVersion", "kind"], properties: { metadata: {}, kind: { type: "string" } } },
    },
  });
});
