import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jsonPatch, mergePatch, strategicMergePatch } from "./index.ts";

const pod = "io.k8s.api.core.v1.Pod";
const deployment = "io.k8s.api.apps.v1.Deployment";

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null)
    for (const inner of Object.values(Object.freeze(value))) frozen(inner);
  return value;
}

describe("JSON patch", () => {
  const document = frozen({ metadata: { labels: { a: "1" } }, list: [1, 2, 3], none: null });

  test("adds, replaces, removes, moves, copies and tests without touching the document", () => {
    const result = jsonPatch(document, [
      { op: "test", path: "/metadata/labels/a", value: "1" },
      { op: "test", path: "/none", value: null },
      { op: "add", path: "/metadata/labels/b~1c", value: "2" },
      { op: "add", path: "/list/1", value: 9 },
      { op: "add", path: "/list/-", value: 4 },
      { op: "replace", path: "/list/0", value: 0 },
      { op: "copy", from: "/list/0", path: "/copied" },
      { op: "move", from: "/metadata/labels/a", path: "/moved" },
      { op: "remove", path: "/none" },
    ]);
    expect(result).toEqual({
      metadata: { labels: { "b/c": "2" } },
      list: [0, 9, 2, 3, 4],
      copied: 0,
      moved: "1",
    });
  });

  test.each([
    [
      { op: "remove", path: "/nope" },
      422,
      "remove operation does not apply: doc is missing key: /nope: missing value",
    ],
    [{ op: "replace", path: "/nope", value: 1 }, 422, "replace operation does not apply: doc is missing key"],
    [{ op: "add", path: "/nope/deeper", value: 1 }, 422, "doc is missing path"],
    [{ op: "add", path: "/list/7", value: 1 }, 422, "invalid index"],
    [{ op: "add", path: "/x" }, 422, "missing value"],
    [{ op: "test", path: "/list/0", value: 5 }, 422, "testing value /list/0 failed: test failed"],
    [{ op: "frobnicate", path: "/list" }, 422, "unexpected kind: frobnicate"],
    [{ path: "/list" }, 422, "unexpected kind: unknown"],
    [{ op: "add", value: 1 }, 422, "add operation failed to decode path: missing value"],
    ["no operation", 400, "cannot unmarshal string into Go value of type handlers.jsonPatchOp"],
  ])("refuses %j", (operation, code, message) => {
    expect(() => jsonPatch(document, [operation])).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
  });

  test("refuses what is no list, and lists without bound", () => {
    expect(() => jsonPatch(document, {})).toThrow(expect.objectContaining({ code: 400 }));
    const many = new Array(10_001).fill({ op: "test", path: "", value: 1 });
    expect(() => jsonPatch(document, many)).toThrow(expect.objectContaining({ code: 413 }));
  });

  test("a key named __proto__ is only a key", () => {
    const result = jsonPatch({}, [{ op: "add", path: "/__proto__", value: { polluted: true } }]) as object;
    expect(Object.keys(result)).toEqual(["__proto__"]);
    expect((result as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

describe("merge patch", () => {
  test("the examples of the RFC", () => {
    expect(mergePatch({ a: "b" }, { a: "c" })).toEqual({ a: "c" });
    expect(mergePatch({ a: "b", b: "c" }, { a: null })).toEqual({ b: "c" });
    expect(mergePatch({ a: [{ b: "c" }] }, { a: [1] })).toEqual({ a: [1] });
    expect(mergePatch(["a"], { a: "b", c: null })).toEqual({ a: "b" });
    expect(mergePatch({}, { a: { bb: { ccc: null } } })).toEqual({ a: { bb: {} } });
    expect(mergePatch({ e: null }, { a: 1 })).toEqual({ e: null, a: 1 });
  });

  test("applying a patch twice is applying it once", () => {
    fc.assert(
      fc.property(fc.object({ maxDepth: 3 }), fc.jsonValue(), (document, patch) => {
        const once = mergePatch(frozen(document), frozen(patch));
        expect(mergePatch(once, patch)).toEqual(once);
      }),
    );
  });
});

describe("strategic merge patch", () => {
  const before = frozen({
    metadata: { name: "web", labels: { app: "web", old: "x" }, finalizers: ["a.io/1", "a.io/2"] },
    spec: {
      containers: [
        { name: "main", image: "nginx:1", env: [{ name: "A", value: "1" }], args: ["-x", "-y"] },
        { name: "side", image: "busybox" },
      ],
      tolerations: [{ key: "a" }],
    },
  });

  function patched(patch: unknown, typeName = pod): { metadata: unknown; spec: { [k: string]: unknown } } {
    return strategicMergePatch(typeName, before, frozen(patch)) as never;
  }

  test("lists with a merge key merge, atomic lists are replaced, null deletes", () => {
    const { metadata, spec } = patched({
      metadata: { labels: { old: null, fresh: "1" } },
      spec: {
        containers: [
          { name: "main", image: "nginx:2", args: ["-z"], env: [{ name: "B", value: "2" }] },
          { name: "new", image: "c" },
        ],
        tolerations: [{ key: "b" }],
      },
    });
    expect(metadata).toMatchObject({ labels: { app: "web", fresh: "1" } });
    expect(spec.tolerations).toEqual([{ key: "b" }]);
    expect(spec.containers).toEqual([
      {
        name: "main",
        image: "nginx:2",
        env: [
          { name: "A", value: "1" },
          { name: "B", value: "2" },
        ],
        args: ["-z"],
      },
      { name: "side", image: "busybox" },
      { name: "new", image: "c" },
    ]);
  });

  test("$patch: delete takes one element, replace takes the list", () => {
    expect(
      patched({ spec: { containers: [{ $patch: "delete", name: "side" }] } }).spec.containers,
    ).toHaveLength(1);
    const replaced = patched({ spec: { containers: [{ $patch: "replace" }, { name: "only", image: "x" }] } });
    expect(replaced.spec.containers).toEqual([{ name: "only", image: "x" }]);
    expect(patched({ metadata: { labels: { $patch: "replace", a: "b" } } }).metadata).toMatchObject({
      labels: { a: "b" },
    });
    expect(patched({ metadata: { labels: { $patch: "delete" } } }).metadata).toMatchObject({ labels: {} });
  });

  test("$setElementOrder orders, and items only the server has keep their place", () => {
    const { spec } = patched({
      spec: {
        "$setElementOrder/containers": [{ name: "new" }, { name: "main" }],
        containers: [{ name: "new", image: "n" }],
      },
    });
    expect((spec.containers as { name: string }[]).map((c) => c.name)).toEqual(["side", "new", "main"]);
    const only = patched({ spec: { "$setElementOrder/containers": [{ name: "side" }, { name: "main" }] } });
    expect((only.spec.containers as { name: string }[]).map((c) => c.name)).toEqual(["side", "main"]);
  });

  test("sets of strings: union, order and $deleteFromPrimitiveList", () => {
    expect(patched({ metadata: { finalizers: ["a.io/3"] } }).metadata).toMatchObject({
      finalizers: ["a.io/1", "a.io/2", "a.io/3"],
    });
    expect(
      patched({ metadata: { "$deleteFromPrimitiveList/finalizers": ["a.io/1"] } }).metadata,
    ).toMatchObject({
      finalizers: ["a.io/2"],
    });
  });

  test("$retainKeys drops what it does not name", () => {
    const document = { spec: { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } } } };
    const patch = { spec: { strategy: { $retainKeys: ["type"], type: "Recreate" } } };
    expect(strategicMergePatch(deployment, frozen(document), patch)).toEqual({
      spec: { strategy: { type: "Recreate" } },
    });
    const volumes = { spec: { volumes: [{ name: "v", emptyDir: {} }] } };
    const swap = {
      spec: { volumes: [{ $retainKeys: ["name", "hostPath"], name: "v", hostPath: { path: "/x" } }] },
    };
    expect(strategicMergePatch(pod, frozen(volumes), swap)).toEqual({
      spec: { volumes: [{ name: "v", hostPath: { path: "/x" } }] },
    });
  });

  test("directives leave no trace in what is new", () => {
    const { spec } = patched({
      spec: {
        "$setElementOrder/volumes": [{ name: "v" }],
        volumes: [
          { name: "v", $retainKeys: ["name", "emptyDir"], emptyDir: { $patch: "replace", sizeLimit: "1Gi" } },
        ],
      },
    });
    expect(spec.volumes).toEqual([{ name: "v", emptyDir: { sizeLimit: "1Gi" } }]);
  });

  test("items that share a key stay several: ports of one number and two protocols, as kubectl apply sends them", () => {
    const ports = [
      { name: "dns", port: 53, protocol: "UDP", targetPort: 10053 },
      { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 10053 },
    ];
    const patch = {
      spec: {
        "$setElementOrder/ports": [{ port: 53 }, { port: 53 }],
        ports: [
          { port: 53, targetPort: 53 },
          { port: 53, targetPort: 53 },
        ],
      },
    };
    // As upstream: both are for the first one.
    expect(
      strategicMergePatch("io.k8s.api.core.v1.Service", frozen({ spec: { ports } }), frozen(patch)),
    ).toEqual({
      spec: { ports: [{ ...ports[0], targetPort: 53 }, ports[1]] },
    });
  });

  test.each([
    [{ spec: { containers: [{ image: "x" }] } }, 422, "does not contain declared merge key: name"],
    [{ spec: { containers: ["x"] } }, 422, "expected a list of maps"],
    [{ spec: { containers: [[]] } }, 422, "lists of lists are not supported"],
    [{ spec: { $patch: "explode" } }, 422, 'unknown patch type: "explode"'],
    [{ spec: { $retainKeys: "x" } }, 400, "retain keys"],
    [{ metadata: { "$deleteFromPrimitiveList/finalizers": "x" } }, 400, "primitive list"],
    [{ spec: { "$setElementOrder/containers": {}, containers: [] } }, 400, "setElementOrder"],
    [
      { spec: { "$setElementOrder/containers": [{ name: "z" }], containers: [{ name: "main" }] } },
      422,
      "doesn't match",
    ],
    [[], 400, "cannot unmarshal"],
    ["text", 400, "cannot unmarshal"],
  ])("refuses %j", (patch, code, message) => {
    expect(() => strategicMergePatch(pod, before, patch)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
  });

  test("maps of quantities merge by their names", () => {
    const data = { capacity: { cpu: "4", memory: "8Gi" } };
    const patch = { status: { capacity: { cpu: "8", "example.com/a": "1" } } };
    expect(strategicMergePatch("io.k8s.api.core.v1.Node", frozen({ status: data }), patch)).toEqual({
      status: { capacity: { cpu: "8", memory: "8Gi", "example.com/a": "1" } },
    });
  });

  test("never throws anything but a Status, and never changes the document", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.jsonValue({ maxDepth: 4 }), (containers, metadata) => {
        try {
          strategicMergePatch(pod, before, { metadata, spec: { containers } });
        } catch (error) {
          expect(error).toHaveProperty("code");
        }
      }),
    );
  });
});
