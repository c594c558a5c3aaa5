/** `fieldValidation=Strict`: fields that nobody knows and fields given twice are refused, each named. */
import { expect } from "vitest";
import { deployments, type metav1 } from "#api";
import { anyObject, type Custom, defineCustom, version } from "../custom-resources.ts";
import type { Answer } from "../kube.ts";
import { conformance, type Given } from "../suite.ts";

const query = { fieldManager: "field_validation_mgr", fieldValidation: "Strict" };

/** Written by hand: a field given twice is lost in an object. */
function deployment(metadata: string, spec: string): string {
  const template =
    '{"metadata":{"labels":{"app":"nginx"}},"spec":{"containers":[{"name":"nginx","image":"nginx"}]}}';
  return `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"my-dep",${metadata}"labels":{"app":"nginx"}},
    "spec":{${spec}"selector":{"matchLabels":{"app":"nginx"}},"template":${template}}}`;
}

async function refused(given: Given, body: string, words: string): Promise<void> {
  const all = given.kube.resource(deployments, given.namespace);
  const answer = await given.kube.send<metav1.Status>("POST", all.path(), { query, body });
  expect([answer.code, answer.body.message]).toEqual([400, expect.stringContaining(words)]);
  expect(await all.find("my-dep")).toBeUndefined();
}

conformance("api-machinery-74a7ed", "Unknown and repeated fields of a Deployment are refused", (given) =>
  refused(
    given,
    deployment("", '"unknownField":"foo","replicas":2,"replicas":3,'),
    'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"',
  ),
);

conformance("api-machinery-a38c97", "Unknown metadata of a Deployment is refused", (given) =>
  refused(
    given,
    deployment('"unknownMeta":"foo",', ""),
    'strict decoding error: unknown field "metadata.unknownMeta"',
  ),
);

const port = (type: string) => ({ type, ...(type === "integer" ? { format: "int32" } : {}) });

const specProperties = {
  foo: { type: "string" },
  cronSpec: { type: "string", pattern: "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$" },
  ports: {
    type: "array",
    "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
    "x-kubernetes-list-type": "map",
    items: {
      type: "object",
      required: ["containerPort", "protocol"],
      properties: { containerPort: port("integer"), name: port("string"), protocol: port("string") },
    },
  },
};

const preserve = { "x-kubernetes-preserve-unknown-fields": true };

const schema = (spec: object) => ({ type: "object", properties: { spec: { type: "object", ...spec } } });

const lines = `  cronSpec: "* * * * */5"
  ports:
  - name: x
    containerPort: 80
    protocol: TCP`;

/** Applied as YAML, by hand. */
async function apply(given: Given, custom: Custom, body: string): Promise<Answer<metav1.Status>> {
  const { group, kind } = custom.type();
  const path = given.kube.resource(custom.type(), given.namespace).path("mytest");
  const whole = `apiVersion: ${group}/v1\nkind: ${kind}\n${body}`;
  const contentType = "application/apply-patch+yaml";
  const answer = await given.kube.send<metav1.Status>("PATCH", path, { query, body: whole, contentType });
  const contentTypeOf = {
    contentType: "application/merge-patch+json",
    body: { metadata: { finalizers: null } },
  };
  if (answer.code < 300) await given.kube.ask("PATCH", path, contentTypeOf);
  return answer;
}

const metadata = "metadata:\n  name: mytest\n  finalizers:\n  - example.com/test-finalizer\n";

conformance("api-machinery-706546", "A valid custom resource is applied", async (given) => {
  const custom = await defineCustom(given, {
    versions: [version("v1", schema({ properties: specProperties }))],
  });
  const answer = await apply(given, custom, `${metadata}spec:\n  foo: foo1\n${lines}\n`);
  expect([answer.code, answer.text]).toEqual([201, expect.stringContaining("foo1")]);
});

conformance(
  "api-machinery-670be5",
  "Without a schema every field of a custom resource is known",
  async (given) => {
    const custom = await defineCustom(given, { versions: [version("v1", anyObject)] });
    const answer = await apply(given, custom, `${metadata}spec:\n  unknown: uk1\n${lines}\n`);
    expect([answer.code, answer.text]).toEqual([201, expect.stringContaining("uk1")]);
  },
);

conformance("api-machinery-fcf4d6", "Unknown fields of a custom resource are refused", async (given) => {
  const custom = await defineCustom(given, {
    versions: [version("v1", schema({ properties: specProperties }))],
  });
  const answer = await apply(
    given,
    custom,
    `${metadata}unknownField: unknown\nspec:\n  foo: foo1\n${lines}\n`,
  );
  expect(answer.code).toBeGreaterThanOrEqual(400);
  expect(answer.text).toContain(".unknownField: field not declared in schema");
});

conformance("api-machinery-f78532", "A field of a custom resource given twice is refused", async (given) => {
  const spec = { ...preserve, properties: specProperties };
  const custom = await defineCustom(given, { versions: [version("v1", schema(spec))] });
  const body = `${metadata}spec:\n  unknown: uk1\n  foo: foo1\n  foo: foo2\n${lines}\n`;
  const answer = await apply(given, custom, body);
  expect(answer.code).toBe(400);
  expect(answer.body.message).toContain('line 10: key "foo" already set in map');
});

conformance(
  "api-machinery-581517",
  "Unknown metadata is refused, of a custom resource and inside it",
  async (given) => {
    const template = {
      type: "object",
      "x-kubernetes-embedded-resource": true,
      properties: {
        metadata: { type: "object", properties: { name: { type: "string" } } },
        spec: { type: "object" },
      },
    };
    const spec = { ...preserve, properties: { template, ...specProperties } };
    const custom = await defineCustom(given, { versions: [version("v1", schema(spec))] });
    const body = `metadata:
  name: mytest
  unknownMeta: unknown
  finalizers:
  - example.com/test-finalizer
spec:
  template:
    apiVersion: foo/v1
    kind: Sub
    metadata:
        unknownSubMeta: unknown
        name: subobject
        namespace: ${given.namespace}
  foo: foo1
${lines}
`;
    const answer = await apply(given, custom, body);
    expect(answer.code).toBeGreaterThanOrEqual(400);
    expect(answer.text).toMatch(
      /\.spec\.template\.metadata\.unknownSubMeta: field not declared in schema|\.metadata\.unknownMeta: field not declared in schema/,
    );
  },
);
