import { expect, it } from "vitest";
import { withoutObjectLiterals } from "./object-literals.ts";

it.each([
  ['JSONPatch{op: "add", path: "/a", value: 1}', '{"op": "add", "path": "/a", "value": 1}'],
  [
    "Object{spec: Object.spec{replicas: object.spec.replicas + 1}}",
    '{"spec": {"replicas": object.spec.replicas + 1}}',
  ],
  ['[JSONPatch{op: "add"}, JSONPatch{op: "x"}]', '[{"op": "add"}, {"op": "x"}]'],
  ['{"a": b, c: d}', '{"a": b, c: d}'],
  [
    'Object{metadata: Object.metadata{labels: {"a": "b{c: d}"}}}',
    '{"metadata": {"labels": {"a": "b{c: d}"}}}',
  ],
  ["Object{a: has(x.y) ? x.y : z, ?b: x.?y}", '{"a": has(x.y) ? x.y : z, ?"b": x.?y}'],
  ["r'Object{a: 1}' + \"x\"", "r'Object{a: 1}' + \"x\""],
  ["object.spec.replicas > 3", "object.spec.replicas > 3"],
  ["Object{a: 1 // b: {\n}", '{"a": 1 // b: {\n}'],
])("%s", (expression, wanted) => {
  expect(withoutObjectLiterals(expression)).toBe(wanted);
});
