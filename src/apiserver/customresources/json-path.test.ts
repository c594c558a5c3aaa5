import fc from "fast-check";
import { expect, test } from "vitest";
import { parseJsonPath } from "./json-path.ts";

const object = {
  metadata: { annotations: { "example.com/a": "1" } },
  spec: {
    list: [10, 20, 30],
    ports: [
      { name: "a", port: 1 },
      { name: "b", port: 2 },
    ],
  },
};

test.each([
  [".spec.list[0]", [10]],
  [".spec.list[-1]", [30]],
  [".spec.list[0:2]", [10, 20]],
  [".spec.list[::2]", [10, 30]],
  [".spec.list[*]", [10, 20, 30]],
  [".spec.list[0,2]", [10, 30]],
  [".spec['list'][1]", [20]],
  [".metadata.annotations.example\\.com/a", ["1"]],
  ['.spec.ports[?(@.name=="b")].port', [2]],
  [".spec.ports[?(@.port>=1)].name", ["a", "b"]],
  [".spec.ports[?(@.nope)].name", []],
  ["..port", [1, 2]],
  [".spec.nope.deeper", []],
  [".spec.constructor", []],
])("%s", (path, wanted) => {
  expect(parseJsonPath(path)(object)).toEqual(wanted);
});

test("what is no path is refused, and never more than that", () => {
  for (const bad of ["spec", ".a[", ".a[x]", ".a..", '.a[?(@.b=="c]'])
    expect(() => parseJsonPath(bad)).toThrow(Error);
  fc.assert(
    fc.property(fc.string(), fc.json(), (path, text) => {
      try {
        expect(parseJsonPath(path)(JSON.parse(text))).toBeInstanceOf(Array);
      } catch (error) {
        expect(error).toHaveProperty("name", "PathError");
      }
    }),
  );
});
