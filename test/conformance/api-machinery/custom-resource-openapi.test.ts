/** OpenAPI and discovery tell of custom resources, so that clients check and explain them. */
import { expect } from "vitest";
import { customResourceDefinitions } from "#api";
import { eventually } from "../../eventually.ts";
import { anyObject, type Custom, defineCustom, version } from "../custom-resources.ts";
import { conformance, type Given } from "../suite.ts";

const foo = {
  description: "Foo CRD for Testing",
  type: "object",
  properties: {
    spec: {
      type: "object",
      description: "Specification of Foo",
      properties: {
        bars: {
          description: "List of Bars and their specs.",
          type: "array",
          items: {
            type: "object",
            required: ["name"],
            properties: {
              name: { description: "Name of Bar.", type: "string" },
              age: { description: "Age of Bar.", type: "string" },
              feeling: {
                description: "Whether Bar is feeling great.",
                type: "string",
                enum: ["Great", "Down"],
              },
              bazs: { description: "List of Bazs.", type: "array", items: { type: "string" } },
            },
          },
        },
      },
    },
    status: {
      description: "Status of Foo",
      type: "object",
      properties: { bars: { type: "array", items: { type: "string", description: "One of them." } } },
    },
  },
};

const waldo = {
  description: "Waldo CRD for Testing",
  type: "object",
  properties: {
    spec: {
      description: "Specification of Waldo",
      type: "object",
      properties: { dummy: { description: "Dummy property.", type: "string" } },
    },
  },
};

const preserve = "x-kubernetes-preserve-unknown-fields";

interface Definition {
  properties?: Record<string, unknown>;
  [key: string]: unknown;
}

async function definitions({ kube }: Given): Promise<Record<string, Definition>> {
  return (await kube.ask<{ definitions: Record<string, Definition> }>("GET", "/openapi/v2")).definitions;
}

/** As it stands in OpenAPI: the group from behind, the version, the kind. */
function definitionName(custom: Custom, of: string): string {
  return `${custom.group.split(".").reverse().join(".")}.${of}.${custom.type().kind}`;
}

/** Published as it was given, apart from what every resource has. */
function published(given: Given, custom: Custom, of: string, schema: object): Promise<unknown> {
  const name = definitionName(custom, of);
  return eventually(`the definition ${name}`, async () => {
    const found = (await definitions(given))[name];
    if (!found) return undefined;
    const { "x-kubernetes-group-version-kind": gvk, properties = {}, ...rest } = found;
    expect(gvk).toEqual([{ group: custom.group, version: of, kind: custom.type().kind }]);
    const { apiVersion, kind, metadata, ...own } = properties;
    expect([apiVersion, kind, metadata]).not.toContain(undefined);
    expect({ ...rest, ...(Object.keys(own).length > 0 ? { properties: own } : {}) }).toEqual(schema);
    return true;
  });
}

function unpublished(given: Given, custom: Custom, of: string): Promise<unknown> {
  const name = definitionName(custom, of);
  return eventually(`the end of the definition ${name}`, async () =>
    name in (await definitions(given)) ? undefined : true,
  );
}

/** kubectl creates and applies it. */
async function accepts(given: Given, custom: Custom, fields: object): Promise<void> {
  const { group, kind, resource } = custom.type();
  const object = { apiVersion: `${group}/v1`, kind, metadata: { name: "test" }, ...fields };
  const input = JSON.stringify(object);
  for (const verb of ["create", "apply"]) {
    await given.kubectl.ok([verb, "--namespace", given.namespace, "-f", "-"], { input });
    await given.kubectl.ok(["delete", "--namespace", given.namespace, `${resource}.${group}`, "test"]);
  }
}

async function refuses(given: Given, custom: Custom, fields: object, words: RegExp): Promise<void> {
  const { group, kind } = custom.type();
  const input = JSON.stringify({ apiVersion: `${group}/v1`, kind, metadata: { name: "bad" }, ...fields });
  for (const verb of ["create", "apply"]) {
    const answer = await given.kubectl.try([verb, "--namespace", given.namespace, "-f", "-"], { input });
    expect(answer.code).not.toBe(0);
    expect(answer.stderr).toMatch(words);
  }
}

/** The kind without its path finds itself by its group, which is this test's own. */
function explained({ kubectl }: Given, custom: Custom, path: string, words: RegExp): Promise<unknown> {
  const { group, resource } = custom.type();
  const args = ["explain", `${resource}${path}`, `--api-version=${group}/v1`];
  return eventually(`an explanation of ${resource}${path}`, async () => {
    const text = await kubectl.ok(args);
    expect(text).toMatch(words);
    return true;
  });
}

/** kubectl keeps discovery for a while: every test has kinds of its own. */
const kindOf = ({ namespace }: Given, name: string) => `E2e${namespace.split("-").at(-1)}${name}`;

conformance(
  "api-machinery-1adca0",
  "A custom resource with a schema is published, checked and explained",
  async (given) => {
    const custom = await defineCustom(given, { kind: kindOf(given, "Foo"), versions: [version("v1", foo)] });
    await published(given, custom, "v1", foo);
    await accepts(given, custom, { spec: { bars: [{ name: "test-bar" }] } });
    const bars = (bar: object) => ({ spec: { bars: [bar] } });
    await refuses(given, custom, bars({ name: "bar", feeling: "None" }), /Unsupported value: "None"/);
    await refuses(given, custom, { spec: { foo: true } }, /unknown field "spec\.foo"/);
    await refuses(given, custom, bars({ age: "10" }), /spec\.bars\[0\]\.name: Required value/);
    await explained(
      given,
      custom,
      "",
      /DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*APIVersion defines.*spec.*<Object>.*Specification of Foo/s,
    );
    await explained(
      given,
      custom,
      ".metadata",
      /DESCRIPTION:.*Standard object's metadata.*FIELDS:.*creationTimestamp.*<string>.*CreationTimestamp is a timestamp/s,
    );
    await explained(
      given,
      custom,
      ".spec",
      /DESCRIPTION:.*Specification of Foo.*FIELDS:.*bars.*<\[\]Object>.*List of Bars and their specs/s,
    );
    await explained(
      given,
      custom,
      ".spec.bars",
      /bars.*<\[\]Object>.*DESCRIPTION:.*List of Bars and their specs.*FIELDS:.*bazs.*<\[\]string>.*List of Bazs.*name.*<string>.*Name of Bar/s,
    );
    const { group, resource } = custom.type();
    const missing = await given.kubectl.try([
      "explain",
      `${resource}.spec.bars2`,
      `--api-version=${group}/v1`,
    ]);
    expect(missing.stderr).toContain('field "bars2" does not exist');
  },
);

conformance("api-machinery-96a81c", "A custom resource without a schema takes everything", async (given) => {
  const custom = await defineCustom(given, {
    kind: kindOf(given, "Empty"),
    versions: [version("v1", anyObject)],
  });
  const name = definitionName(custom, "v1");
  // Version 2 of OpenAPI says nothing of it, or kubectl would refuse what it does not know.
  await eventually(name, async () =>
    (await definitions(given))[name]?.type === "object" ? true : undefined,
  );
  expect((await definitions(given))[name]?.properties ?? {}).not.toHaveProperty("a");
  await accepts(given, custom, { a: { b: [{ c: "d" }] } });
  await explained(given, custom, "", /DESCRIPTION:.*<empty>/s);
});

conformance(
  "api-machinery-011c23",
  "A custom resource that keeps unknown fields takes them",
  async (given) => {
    const properties = { ...foo.properties };
    const schema = { ...foo, properties, [preserve]: true };
    const kind = kindOf(given, "Root");
    const custom = await defineCustom(given, { kind, versions: [version("v1", schema)] });
    await accepts(given, custom, { a: { b: [{ c: "d" }] } });
    await explained(given, custom, "", new RegExp(`KIND:\\s+${kind}`));
  },
);

conformance(
  "api-machinery-a0f637",
  "A field of a custom resource that keeps unknown fields takes them",
  async (given) => {
    const description = "preserve-unknown-properties in nested field for Testing";
    const spec = {
      type: "object",
      description: "Specification",
      [preserve]: true,
      properties: { dummy: { type: "string" } },
    };
    const schema = { description, type: "object", properties: { spec } };
    const kind = kindOf(given, "Nested");
    const custom = await defineCustom(given, { kind, versions: [version("v1", schema)] });
    await accepts(given, custom, { spec: { b: [{ c: "d" }] } });
    await explained(
      given,
      custom,
      "",
      /DESCRIPTION:.*preserve-unknown-properties in nested field for Testing/s,
    );
  },
);

conformance("api-machinery-4d83e1", "Custom resources of several groups are published", async (given) => {
  const one = await defineCustom(given, { kind: "Foo", versions: [version("v1", foo)] });
  const group = `${given.namespace}-waldo.example.com`;
  const other = await defineCustom(given, { kind: "Waldo", group, versions: [version("v1beta1", waldo)] });
  await published(given, one, "v1", foo);
  await published(given, other, "v1beta1", waldo);
});

conformance("api-machinery-102dd2", "Several versions of a group are published", async (given) => {
  const other = (schema: object, name: string) => version(name, schema, { storage: false });
  const both = await defineCustom(given, { kind: "Foo", versions: [version("v2", foo), other(foo, "v3")] });
  await published(given, both, "v3", foo);
  await published(given, both, "v2", foo);
  const group = `common-${given.namespace}.example.com`;
  const one = await defineCustom(given, { kind: "Foo", group, versions: [version("v4", foo)] });
  const two = await defineCustom(given, { kind: "Waldo", group, versions: [version("v5", waldo)] });
  await published(given, one, "v4", foo);
  await published(given, two, "v5", waldo);
});

conformance("api-machinery-1925f5", "Several kinds of a group and version are published", async (given) => {
  const one = await defineCustom(given, { kind: "Foo", versions: [version("v6", foo)] });
  const two = await defineCustom(given, { kind: "Waldo", versions: [version("v6", waldo)] });
  await published(given, one, "v6", foo);
  await published(given, two, "v6", waldo);
});

async function twoVersions(given: Given): Promise<Custom> {
  const versions = [version("v2", foo), version("v3", foo, { storage: false })];
  const custom = await defineCustom(given, { kind: "Foo", versions });
  await published(given, custom, "v2", foo);
  await published(given, custom, "v3", foo);
  return custom;
}

conformance(
  "api-machinery-21ac8a",
  "A version that is renamed is published under its new name",
  async (given) => {
    const custom = await twoVersions(given);
    await given.kube.resource(customResourceDefinitions).patch(custom.name, "json", [
      { op: "test", path: "/spec/versions/1/name", value: "v3" },
      { op: "replace", path: "/spec/versions/1/name", value: "v4" },
    ]);
    await published(given, custom, "v4", foo);
    await unpublished(given, custom, "v3");
    await published(given, custom, "v2", foo);
  },
);

conformance(
  "api-machinery-58784d",
  "A version that is no longer served is no longer published",
  async (given) => {
    const custom = await twoVersions(given);
    await given.kube.resource(customResourceDefinitions).update(custom.name, ({ spec }) => {
      spec.versions[1]!.served = false;
    });
    await unpublished(given, custom, "v3");
    await published(given, custom, "v2", foo);
  },
);

interface DiscoveredGroup {
  metadata: { name?: string };
  versions: {
    version: string;
    resources: { resource: string; responseKind: object; scope: string; verbs: string[] }[];
  }[];
}

async function discovered(
  { kube }: Given,
  custom: Custom,
  accept: string,
): Promise<DiscoveredGroup["versions"]> {
  return eventually(`${custom.group} in discovery`, async () => {
    const answer = await kube.send<{ kind: string; items: DiscoveredGroup[] }>("GET", "/apis", {
      headers: { accept },
    });
    expect(answer.headers["content-type"]).toContain("as=APIGroupDiscoveryList");
    expect(answer.body.kind).toBe("APIGroupDiscoveryList");
    return answer.body.items.find(({ metadata }) => metadata.name === custom.group)?.versions;
  });
}

const form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

for (const [id, title, accept] of [
  ["api-machinery-c3106d", "Aggregated discovery names custom resources", `${form},application/json`],
  ["api-machinery-458fd0", "Aggregated discovery in its own media type names custom resources", form],
] as const)
  conformance(id, title, async (given) => {
    const custom = await defineCustom(given, { versions: [version("v1")] });
    const versions = await discovered(given, custom, accept);
    const { group, kind, resource } = custom.type();
    expect(versions).toMatchObject([
      {
        version: "v1",
        resources: [{ resource, responseKind: { group, version: "v1", kind }, scope: "Namespaced" }],
      },
    ]);
    expect(versions[0]?.resources[0]?.verbs).toEqual(
      expect.arrayContaining(["create", "get", "list", "watch"]),
    );
  });
