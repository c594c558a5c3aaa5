import { describe, expect, test } from "vitest";
import { apiVersionOf, loadDescriptions, resourceDefinitions, WireReader } from "#api";
import { openapiV2, openapiV2Proto, openapiV3, openapiV3Root } from "./index.ts";

const options = { version: "v1.36.0" };

interface Operation {
  "x-kubernetes-group-version-kind": { group: string; version: string; kind: string };
  parameters: { name: string; in: string }[];
  operationId: string;
}
type Paths = Record<string, Record<string, Operation>>;
type Schemas = Record<
  string,
  { properties?: Record<string, Record<string, unknown>>; [key: string]: unknown }
>;

function referencesIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([k, v]) =>
    k === "$ref" && typeof v === "string" ? [v] : referencesIn(v),
  );
}

function operationsIn(paths: Paths): [string, string, Operation][] {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([method]) => method !== "parameters")
      .map(([method, operation]) => [path, method, operation] as [string, string, Operation]),
  );
}

describe("OpenAPI v2", () => {
  const document = openapiV2(resourceDefinitions, options);
  const definitions = document.definitions as Schemas;
  const paths = document.paths as Paths;

  test("every reference leads somewhere", () => {
    const missing = referencesIn(document).filter((r) => !definitions[r.replace("#/definitions/", "")]);
    expect(missing).toEqual([]);
  });

  test("every kind is found by its group, version and kind", () => {
    for (const d of resourceDefinitions) {
      expect(definitions[d.typeName]).toMatchObject({
        "x-kubernetes-group-version-kind": [{ group: d.group, version: d.version, kind: d.kind }],
      });
    }
  });

  test("PATCH says that it validates fields, for every kind: clients look for it", () => {
    const patches = operationsIn(paths).filter(
      ([path, method]) => method === "patch" && path.endsWith("{name}"),
    );
    expect(patches).toHaveLength(resourceDefinitions.filter((d) => d.verbs.includes("patch")).length);
    for (const [, , operation] of patches) {
      expect(operation.parameters.map((p) => p.name)).toContain("fieldValidation");
      expect(operation["x-kubernetes-group-version-kind"].kind).toBeTruthy();
    }
  });

  test("operations have names of their own", () => {
    const ids = operationsIn(paths).map(([, , o]) => o.operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("lists say how they merge", () => {
    expect(definitions["io.k8s.api.core.v1.PodSpec"]!.properties!.containers).toMatchObject({
      type: "array",
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["name"],
      "x-kubernetes-patch-merge-key": "name",
      "x-kubernetes-patch-strategy": "merge",
    });
    const port = definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"];
    expect(port).toMatchObject({ type: "string", format: "int-or-string" });
  });

  test("the protobuf form holds every schema and path by name", () => {
    const reader = new WireReader(openapiV2Proto(document));
    const names: Record<number, string[]> = { 8: [], 9: [] };
    while (!reader.done) {
      const field = reader.varint() >> 3;
      const part = reader.part();
      while (names[field] && !part.done) {
        part.varint();
        const pair = part.part();
        pair.varint();
        names[field].push(pair.text());
      }
    }
    expect(names[9]).toEqual(Object.keys(definitions));
    expect(names[8]).toEqual(Object.keys(paths));
  });
});

describe("OpenAPI v3", () => {
  test("the root names a document for each group version that has one, with its hash", () => {
    const hashOf = (group: string, version: string) =>
      group === "policy" ? "" : `${group || "core"}-${version}`;
    const { paths } = openapiV3Root(resourceDefinitions, hashOf) as {
      paths: Record<string, { serverRelativeURL: string }>;
    };
    const all = resourceDefinitions.filter((d) => d.group !== "policy");
    expect(new Set(Object.keys(paths))).toEqual(
      new Set(all.map((d) => `${d.group ? "apis" : "api"}/${apiVersionOf(d)}`)),
    );
    expect(paths["apis/apps/v1"]!.serverRelativeURL).toBe("/openapi/v3/apis/apps/v1?hash=apps-v1");
  });

  test("documents stand for themselves", () => {
    for (const [group, version] of [
      ["", "v1"],
      ["apps", "v1"],
      ["batch", "v1"],
    ] as const) {
      const document = openapiV3(resourceDefinitions, group, version, options)!;
      const { schemas } = document.components as { schemas: Schemas };
      expect(referencesIn(document).filter((r) => !schemas[r.replace("#/components/schemas/", "")])).toEqual(
        [],
      );
    }
    expect(openapiV3(resourceDefinitions, "nope", "v1", options)).toBeUndefined();
  });

  test("a kind is found by the path of its collection, as explain does", () => {
    const { paths } = openapiV3(resourceDefinitions, "apps", "v1", options) as { paths: Paths };
    expect(paths["/apis/apps/v1/deployments"]!.get!["x-kubernetes-group-version-kind"].kind).toBe(
      "Deployment",
    );
    expect(
      paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]!.patch![
        "x-kubernetes-group-version-kind"
      ],
    ).toEqual({
      group: "autoscaling",
      version: "v1",
      kind: "Scale",
    });
  });

  test("documentation and enums are there", async () => {
    const descriptions = await loadDescriptions();
    const document = openapiV3(resourceDefinitions, "", "v1", { ...options, descriptions })!;
    const { schemas } = document.components as { schemas: Schemas };
    const { properties } = schemas["io.k8s.api.core.v1.PodSpec"]!;
    expect(properties!.restartPolicy).toMatchObject({
      enum: ["Always", "Never", "OnFailure"],
      type: "string",
    });
    expect(properties!.nodeName!.description).toContain("node");
    for (const d of resourceDefinitions.filter((r) => r.group === ""))
      expect(schemas[d.typeName]!.description).toBeTruthy();
  });
});
