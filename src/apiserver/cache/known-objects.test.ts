import fc from "fast-check";
import { expect, test } from "vitest";
import type { KubernetesObject } from "#api";
import { serialize } from "./cached-object.ts";
import { KnownObjects } from "./known-objects.ts";

const facts = { labels: undefined, fields: {} };
const objectOf = (name: string, data = "") =>
  ({ metadata: { name }, data }) as unknown as Readonly<KubernetesObject>;
const parsed = (bytes: Buffer) => JSON.parse(bytes.toString()) as KubernetesObject;

test("what was written or read is parsed once, whatever is superseded in between", () => {
  const step = fc.record({ n: fc.nat(5), what: fc.constantFrom("write", "read", "supersede") });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const known = new KnownObjects();
      const atHand = new Map<number, Buffer>();
      const all = Array.from({ length: 6 }, (_, n) => serialize(objectOf(`o${n}`)));
      for (const { n, what } of steps) {
        const bytes = all[n]!;
        if (what === "write") known.wrote(bytes, facts, objectOf(`o${n}`));
        else if (what === "supersede") known.superseded(bytes);
        else {
          let parses = 0;
          const parse = () => {
            parses++;
            return parsed(bytes);
          };
          expect(known.read(bytes, parse)).toEqual(objectOf(`o${n}`));
          expect(parses).toBe(atHand.has(n) ? 0 : 1);
        }
        if (what === "supersede") atHand.delete(n);
        else atHand.set(n, bytes);
        for (const [i, each] of all.entries()) expect(known.objectOf(each) !== undefined).toBe(atHand.has(i));
      }
    }),
  );
});

test("no more is kept than there is room for: the oldest go first, and nothing is lost", () => {
  const known = new KnownObjects();
  const all = Array.from({ length: 40 }, (_, n) => serialize(objectOf(`o${n}`, "x".repeat(1024 * 1024))));
  for (const bytes of all) known.read(bytes, () => parsed(bytes));
  const kept = all.map((bytes) => known.objectOf(bytes) !== undefined);
  expect(kept.lastIndexOf(false)).toBeLessThan(kept.indexOf(true));
  expect(kept.filter(Boolean)).toHaveLength(15);
  expect(known.read(all[0]!, () => parsed(all[0]!)).metadata.name).toBe("o0");
});

test("entries are forgotten too, however small they are", () => {
  const known = new KnownObjects();
  const all = Array.from({ length: 50_000 }, (_, n) => Buffer.from(`{"metadata":{"name":"${n}"}}`));
  for (const bytes of all) known.wrote(bytes, facts, parsed(bytes));
  expect(all.filter((bytes) => known.objectOf(bytes))).toHaveLength(16_384);
  expect(known.objectOf(all.at(-1)!)?.metadata.name).toBe("49999");
});
