/** Whatever a client sends, the answer is the client's fault or a success: never a 500, never a crash. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  apiVersionOf,
  type KubernetesObject,
  pathOf,
  type ResourceDefinition,
  resourceDefinitions,
  schemaOf,
  serviceAccounts,
  type TypeSchema,
} from "#api";
import { startTestServer, type TestServer } from "./testing/start.ts";

/** On a busy machine fewer are drawn; what was drawn until then has held. */
const patienceMs = 6_000;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  await server.client.create(serviceAccounts, { metadata: { name: "default", namespace: "default" } });
});
afterAll(() => server.stop());

const texts = [
  "",
  "a",
  "A_b",
  "1",
  "100m",
  "-1",
  "a/b",
  "10.0.0.1",
  "2026-01-01T00:00:00Z",
  "Always",
  "__proto__",
  "x".repeat(300),
];
const numbers = [0, 1, 80, -1, 2 ** 31 - 1];
const anything = fc.constantFrom<unknown>(...texts, ...numbers, 1.5, 1e300, true, false, null);

/** Mostly of the right type: what is not is refused before anything else sees it. */
function scalarFor(kind: string, allowed: readonly string[]): fc.Arbitrary<unknown> {
  if (kind === "bool") return fc.boolean();
  if (/int|double/.test(kind)) return fc.constantFrom(...numbers);
  return fc.constantFrom(...texts, ...allowed);
}

/** Objects with the fields of the type, and now and then with anything at all in them. */
function objectOf(type: TypeSchema, depth: number): fc.Arbitrary<unknown> {
  const fields = [...type.fields.values()].filter((f) => f.name !== "status");
  const entry = fc.constantFrom(...fields).chain((field) => {
    const one: fc.Arbitrary<unknown> =
      field.kind === "message" && depth > 0 && field.type().fields.size > 0
        ? objectOf(field.type(), depth - 1)
        : scalarFor(field.kind, field.enum);
    const shaped: fc.Arbitrary<unknown> =
      field.container === "list"
        ? fc.array(one, { maxLength: 3 })
        : field.container === "map"
          ? fc.dictionary(fc.constantFrom("a", "b", "example.com/c", "__proto__", ""), one, { maxKeys: 3 })
          : one;
    return fc.tuple(
      fc.constant(field.name),
      fc.oneof({ weight: 60, arbitrary: shaped }, { weight: 1, arbitrary: anything }),
    );
  });
  return fc.array(entry, { maxLength: 8 }).map((entries) => Object.fromEntries(entries));
}

function refOf(definition: ResourceDefinition, name?: string): string {
  return pathOf(definition, { namespace: "default", name });
}

it.each(resourceDefinitions.map((d) => [d.resource, d] as const))(
  "%s",
  { timeout: 60_000 },
  async (_, definition) => {
    const type = schemaOf(definition.typeName);
    const object = objectOf(type, 4).map((value) => ({
      ...(value as object),
      apiVersion: apiVersionOf(definition),
      kind: definition.kind,
      metadata: {
        ...(value as KubernetesObject).metadata,
        name: "fuzz",
        namespace: definition.namespaced ? "default" : undefined,
      },
    }));
    const patchType = fc.constantFrom(
      "merge-patch+json",
      "strategic-merge-patch+json",
      "json-patch+json",
      "apply-patch+yaml",
    );
    await fc.assert(
      fc.asyncProperty(object, objectOf(type, 3), patchType, async (body, patch, kind) => {
        const creation = server.send("POST", refOf(definition), body);
        // Pods wait a moment for a service account that may be about to come.
        await server.clock.advance(1000);
        const answers = [await creation];
        const name = String(answers[0]?.body.metadata?.name ?? "fuzz");
        const isApply = kind === "apply-patch+yaml";
        const { apiVersion, kind: of } = body as KubernetesObject;
        const metadata = { ...(patch as unknown as KubernetesObject).metadata, name };
        const added = [{ op: "add", path: "/spec", value: patch }];
        const applied = { ...(patch as object), apiVersion, kind: of, metadata };
        const document = isApply ? applied : kind === "json-patch+json" ? added : patch;
        const query = isApply ? "?fieldManager=fuzz&force=true" : "";
        answers.push(
          await server.send("PATCH", `${refOf(definition, name)}${query}`, document, {
            "content-type": `application/${kind}`,
          }),
          await server.send("PUT", refOf(definition, name), body),
          await server.send("GET", refOf(definition), undefined, {
            accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
          }),
          await server.send("DELETE", refOf(definition, name), { gracePeriodSeconds: 0 }),
        );
        for (const answer of answers) {
          expect([answer.status < 500, answer.body.message]).toEqual([
            true,
            answer.status < 500 ? answer.body.message : "",
          ]);
        }
        const left = await server.send(
          "PATCH",
          refOf(definition, name),
          { metadata: { finalizers: null } },
          { "content-type": "application/merge-patch+json" },
        );
        expect(left.status).toBeLessThan(500);
      }),
      { numRuns: 60, interruptAfterTimeLimit: patienceMs },
    );
  },
);

const template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: "i" }] } };
const workload = { selector: { matchLabels: { a: "b" } }, template };
const valid: [string, Record<string, unknown>][] = [
  ["pods", { spec: template.spec }],
  ["deployments", { spec: workload }],
  ["replicasets", { spec: workload }],
  ["jobs", { spec: { template: { ...template, spec: { ...template.spec, restartPolicy: "Never" } } } }],
  ["services", { spec: { ports: [{ port: 80 }] } }],
  ["endpointslices", { addressType: "IPv4", endpoints: [], ports: [] }],
  ["nodes", {}],
];

it.each(valid)("patches of valid %s", { timeout: 60_000 }, async (resource, fields) => {
  const definition = resourceDefinitions.find((d) => d.resource === resource)!;
  const patchType = fc.constantFrom("merge-patch+json", "strategic-merge-patch+json");
  const path = refOf(definition, "whole");
  await fc.assert(
    fc.asyncProperty(
      objectOf(schemaOf(definition.typeName), 6),
      patchType,
      fc.boolean(),
      async (patch, kind, toStatus) => {
        await server.send("POST", refOf(definition), { ...fields, metadata: { name: "whole" } });
        const subresource = toStatus && "status" in definition.subresources ? "/status" : "";
        const answer = await server.send("PATCH", path + subresource, patch, {
          "content-type": `application/${kind}`,
        });
        expect([answer.status, answer.status >= 500 && answer.body.message]).toEqual([answer.status, false]);
        const table = await server.send("GET", refOf(definition), undefined, {
          accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
        });
        expect(table.status).toBe(200);
        await server.send("DELETE", path, { gracePeriodSeconds: 0 });
      },
    ),
    { numRuns: 100, interruptAfterTimeLimit: patienceMs },
  );
});
