/** The laws of field sets and of apply, whatever the objects are. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isObject } from "#api";
import { compare } from "./compare.ts";
import {
  difference,
  type FieldSet,
  intersection,
  isEmptySet,
  parseSet,
  pathsOf,
  recursiveDifference,
  union,
} from "./field-set.ts";
import { storedManagers } from "./managed-fields.ts";
import { shapeOfType } from "./shape.ts";
import { fieldsOf } from "./typed.ts";
import { applyConfig, ownersAfterUpdate, type Writer } from "./updater.ts";
import type { Json } from "./walk.ts";

const shape = shapeOfType("io.k8s.api.apps.v1.Deployment");
const letter = fc.constantFrom("a", "b", "c");
const texts = fc.dictionary(letter, letter, { maxKeys: 3 });

const container = fc.record(
  {
    image: letter,
    args: fc.array(letter, { maxLength: 2 }),
    env: fc.uniqueArray(fc.record({ name: letter, value: letter }), { selector: (e) => e.name }),
    resources: fc.record({ limits: texts }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
);
const containers = fc
  .dictionary(letter, container, { maxKeys: 3 })
  .map((byName) => Object.entries(byName).map(([name, rest]) => ({ name, ...rest })));

/** Configurations as people write them: scalars, maps, lists by key, sets, atomic structs and lists. */
const anyConfig: fc.Arbitrary<Json> = fc.record(
  {
    metadata: fc.record(
      { labels: texts, annotations: texts, finalizers: fc.uniqueArray(letter) },
      { requiredKeys: [] },
    ),
    spec: fc.record(
      {
        replicas: fc.nat(2),
        paused: fc.boolean(),
        selector: fc.record({ matchLabels: texts }),
        template: fc.record({ spec: fc.record({ containers }, { requiredKeys: [] }) }, { requiredKeys: [] }),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
);

/** Decoding drops what is empty: no stored object has it. */
function filled(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map(filled);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, filled(inner)] as const);
  const left = entries.filter(([, inner]) => inner !== undefined);
  return left.length === 0 ? undefined : Object.fromEntries(left);
}

const config = anyConfig.map((value) => (filled(value) ?? {}) as Json);

const set: fc.Arbitrary<FieldSet> = config.map((value) => fieldsOf(shape, value));
const paths = (fields: FieldSet) => pathsOf(fields).sort();

describe("field sets", () => {
  test("union, difference and intersection are those of their paths", () => {
    fc.assert(
      fc.property(set, set, (a, b) => {
        const [inA, inB] = [new Set(paths(a)), new Set(paths(b))];
        expect(paths(union(a, b))).toEqual([...new Set([...inA, ...inB])].sort());
        expect(paths(difference(a, b))).toEqual([...inA].filter((path) => !inB.has(path)).sort());
        expect(paths(intersection(a, b))).toEqual([...inA].filter((path) => inB.has(path)).sort());
        const below = (path: string) =>
          [...inB].some((p) => path === p || path.startsWith(`${p}.`) || path.startsWith(`${p}[`));
        expect(paths(recursiveDifference(a, b))).toEqual([...inA].filter((path) => !below(path)).sort());
      }),
    );
  });

  test("what is written is read back word for word, in one order", () => {
    fc.assert(
      fc.property(set, set, (a, b) => {
        for (const each of [a, union(a, b), difference(a, b)]) {
          expect(JSON.stringify(parseSet(JSON.parse(JSON.stringify(each))))).toBe(JSON.stringify(each));
        }
        expect(JSON.stringify(union(a, b))).toBe(JSON.stringify(union(b, a)));
        expect(union(a, a)).toBe(a);
        expect(isEmptySet(difference(a, a))).toBe(true);
      }),
    );
  });

  test("keys are read in any form and are one", () => {
    const read = parseSet({ 'k:{"protocol":"TCP", "containerPort":80}': { ".": {}, "f:name": {} } });
    expect(read).toEqual({ 'k:{"containerPort":80,"protocol":"TCP"}': { ".": {}, "f:name": {} } });
    for (const bad of [
      { x: {} },
      { "k:7": {} },
      { "v:{}": {} },
      { "i:x": {} },
      { "f:a": 7 },
      { ".": { "f:a": {} } },
      [],
    ]) {
      expect(parseSet(bad)).toBeUndefined();
    }
  });
});

const writer = (name: string, operation: Writer["operation"]): Writer => ({
  name,
  operation,
  apiVersion: "apps/v1",
  subresource: "",
  time: "2026-01-01T00:00:00Z",
});
/** One apply after the other, each with force. */
function applied(steps: readonly (readonly [string, Json])[]) {
  let live: Json = {};
  let managers = storedManagers(undefined) as ReturnType<typeof applyConfig>["managers"];
  for (const [name, each] of steps) {
    const result = applyConfig(shape, live, each, managers, writer(name, "Apply"), undefined);
    live = result.object;
    managers = result.managers;
  }
  return { live, managers };
}

describe("apply", () => {
  test("what is applied is there, and its writer owns it", () => {
    fc.assert(
      fc.property(config, config, (first, second) => {
        const { live, managers } = applied([
          ["a", first],
          ["b", second],
        ]);
        const own = managers.find((manager) => manager.name === "b");
        expect(paths(own?.set ?? {})).toEqual(
          paths(fieldsOf(shape, second)).filter((path) => path !== ".metadata"),
        );
        const again = applyConfig(shape, live, second, managers, writer("b", "Apply"), undefined);
        expect(compare(shape, live, again.object)).toBeUndefined();
        expect(again.managers).toEqual(managers);
      }),
    );
  });

  test("giving everything up leaves what the others own", () => {
    fc.assert(
      fc.property(config, config, (first, second) => {
        const shared = applied([
          ["a", first],
          ["b", {}],
        ]);
        const quiet = applyConfig(
          shape,
          shared.live,
          second,
          shared.managers,
          writer("b", "Apply"),
          undefined,
        );
        // Where they want the same or different things, nothing is given back.
        fc.pre(quiet.conflicts.length === 0);
        const left = applied([
          ["a", first],
          ["b", second],
          ["b", {}],
        ]);
        const owned = paths(fieldsOf(shape, first));
        expect(paths(fieldsOf(shape, left.live))).toEqual(expect.arrayContaining(owned));
        expect(left.managers.map((manager) => manager.name)).not.toContain("b");
      }),
    );
  });

  test("writers of different fields never meet", () => {
    fc.assert(
      fc.property(config, config, (first, second) => {
        const [a, b] = [fieldsOf(shape, first), fieldsOf(shape, second)];
        fc.pre(isEmptySet(intersection(a, b)));
        const { live, managers } = applied([["a", first]]);
        const { conflicts } = applyConfig(shape, live, second, managers, writer("b", "Apply"), undefined);
        expect(conflicts).toEqual([]);
      }),
    );
  });

  test("an update takes exactly what it changes", () => {
    fc.assert(
      fc.property(config, config, (first, second) => {
        const { live, managers } = applied([["a", first]]);
        const now = applied([["x", second]]).live;
        const after = ownersAfterUpdate(shape, live, now, managers, writer("u", "Update"), undefined);
        const { changed = {}, removed = {} } = compare(shape, live, now) ?? {};
        const kept = after.find((manager) => manager.name === "a")?.set ?? {};
        expect(isEmptySet(intersection(kept, changed))).toBe(true);
        expect(isEmptySet(intersection(kept, removed))).toBe(true);
        expect(ownersAfterUpdate(shape, now, now, after, writer("v", "Update"), undefined)).toBe(after);
      }),
    );
  });
});
