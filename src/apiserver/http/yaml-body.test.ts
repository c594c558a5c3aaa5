import fc from "fast-check";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { yamlParser } from "./yaml-body.ts";

const parse = await yamlParser();

test("plain words mean what they mean to Kubernetes", () => {
  const text =
    "mode: 0644\nport: 80:80\non: yes\nhex: 0x1F\ndate: 2026-01-01\nnothing: ~\n1: one\nversion: 1.20\n";
  expect(parse(text).value).toEqual({
    mode: 420,
    port: "80:80",
    true: true,
    hex: 31,
    date: "2026-01-01",
    nothing: null,
    "1": "one",
    version: 1.2,
  });
});

test("keys that stand twice are told by their lines, and the last one counts", () => {
  const { value, problem } = parse("a: 1\nb: {c: 2, c: 3}\nlist:\n- x: 1\n  z: [a, b]\n  x: 2\na: 4\n");
  expect(value).toEqual({ a: 4, b: { c: 3 }, list: [{ x: 2, z: ["a", "b"] }] });
  expect(problem?.split("\n")).toEqual([
    "yaml: unmarshal errors:",
    '  line 2: key "c" already set in map',
    '  line 6: key "x" already set in map',
    '  line 7: key "a" already set in map',
  ]);
});

test("aliases stand for values of their own, of which there are not too many", () => {
  const { value } = parse("a: &x {k: [1]}\nb: *x\nc: {<<: *x, l: 2}\n");
  expect(value).toEqual({ a: { k: [1] }, b: { k: [1] }, c: { k: [1], l: 2 } });
  expect((value as Record<string, unknown>).a).not.toBe((value as Record<string, unknown>).b);
  const levels = Array.from({ length: 7 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(9)}]`);
  expect(() => parse(["a0: &a0 [x]", ...levels].join("\n"))).toThrow(
    "yaml: document contains excessive aliasing",
  );
  expect(() => parse("a: &a [*a]")).toThrow(/alias/);
});

test.each(["a: [", "\tx", "a: b: c", "--- a\n--- b", "!!js/function x", "&a", "*a", "[".repeat(1100)])(
  "%.20j is refused or read, in one line",
  (text) => {
    let message = "";
    try {
      expect(parse(text)).toHaveProperty("value");
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(/^$|^yaml: [^\n]+$/);
  },
);

test("reads back what YAML was made of", () => {
  // Who wrote the text forgets to quote the one key that merges, and octals as YAML 1.2 has them.
  const values = fc.jsonValue().filter((value) => !/"<<":|"[-+]?0o/.test(JSON.stringify(value)));
  fc.assert(
    fc.property(values, (value) => {
      const { value: read } = parse(stringify(value, { version: "1.1" }));
      // There is no zero below zero in JSON.
      expect(JSON.stringify(read)).toBe(JSON.stringify(value));
    }),
  );
});
