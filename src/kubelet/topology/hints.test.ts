import fc from "fast-check";
import { expect, test } from "vitest";
import {
  decide,
  type Hint,
  type Hints,
  hintsBySize,
  type TopologyPolicy,
  type TopologyRules,
} from "./hints.ts";
import { averageDistance, countOf, maskOf, masksOf, nodesIn } from "./numa.ts";

/** Two sockets of two nodes each. */
const nodes = [
  { id: 0, distances: [10, 12, 20, 20] },
  { id: 1, distances: [12, 10, 20, 20] },
  { id: 2, distances: [20, 20, 10, 12] },
  { id: 3, distances: [20, 20, 12, 10] },
];
const rules = (policy: TopologyPolicy, count = 4, preferClosest = false): TopologyRules => ({
  policy,
  preferClosest,
  nodes: nodes.slice(0, count),
});
const hint = (preferred: boolean, ...ids: number[]): Hint => ({ mask: maskOf(ids), preferred });
const of = (...lists: (readonly Hint[] | undefined)[]): Hints[] =>
  lists.map((list, i) => new Map([[`r${i}`, list]]));

test("sets of nodes are gone through from the smallest", () => {
  expect(masksOf([0, 1, 2])).toEqual([1, 2, 4, 3, 5, 6, 7]);
  expect(nodesIn(maskOf([0, 3]))).toEqual([0, 3]);
  expect(averageDistance(maskOf([0, 1]), nodes)).toBe(11);
});

const processors = [hint(true, 0), hint(true, 1), hint(false, 0, 1)];

test.each([
  ["none", { mask: undefined, preferred: true }, true],
  ["best-effort", hint(true, 1), true],
  ["restricted", hint(true, 1), true],
  ["single-numa-node", hint(true, 1), true],
] as const)("a device on one node draws the processors there: %s", (policy, wanted, admitted) => {
  expect(decide(rules(policy, 2), of(processors, [hint(true, 1)]))).toEqual({ hint: wanted, admitted });
});

test.each([
  ["best-effort", true],
  ["restricted", false],
  ["single-numa-node", false],
] as const)("what lies apart: %s", (policy, admitted) => {
  expect(decide(rules(policy, 2), of([hint(true, 0)], [hint(true, 1)])).admitted).toBe(admitted);
});

test("what nobody cares about is taken anywhere; what is nowhere to be had is not preferred", () => {
  expect(decide(rules("single-numa-node", 2), [new Map()])).toEqual({
    hint: { mask: undefined, preferred: true },
    admitted: true,
  });
  expect(decide(rules("restricted", 2), of([])).admitted).toBe(false);
  expect(decide(rules("best-effort", 2), of([]))).toEqual({ hint: hint(false, 0, 1), admitted: true });
});

test("two nodes that are needed may be those that lie near each other", () => {
  const pairs = [hint(true, 0, 2), hint(true, 1, 3), hint(true, 2, 3)];
  expect(decide(rules("best-effort"), of(pairs)).hint).toEqual(hint(true, 0, 2));
  expect(decide(rules("best-effort", 4, true), of(pairs)).hint).toEqual(hint(true, 2, 3));
});

test("of bad choices the one nearest to what is needed wins", () => {
  const wide = [hint(false, 0, 1, 2, 3), hint(false, 0, 1)];
  expect(decide(rules("best-effort"), of(wide, [hint(false, 0, 1)])).hint).toEqual(hint(false, 0, 1));
  const narrow = [hint(true, 0), hint(true, 1), hint(false, 0, 1)];
  expect(decide(rules("best-effort"), of(narrow, [hint(true, 0, 1)])).hint).toEqual(hint(false, 0, 1));
});

/** The definition: every combination, compared one after the other. */
function slowly(lists: readonly (readonly Hint[])[], count: number): Hint {
  let chosen: { mask: number; preferred: boolean } | undefined;
  const visit = (i: number, picked: Hint[]): void => {
    if (i < lists.length) {
      for (const each of lists[i]!) visit(i + 1, [...picked, each]);
      return;
    }
    const masks = picked.flatMap(({ mask }) => (mask === undefined ? [] : [mask]));
    const mask = masks.reduce((a, b) => a & b, 2 ** count - 1);
    const preferred = picked.every((each) => each.preferred) && new Set(masks).size <= 1;
    if (mask === 0 || (chosen?.preferred && !preferred)) return;
    const isBetter = !chosen || (preferred && !chosen.preferred) || countOf(mask) < countOf(chosen.mask);
    if (isBetter && (preferred || !chosen)) chosen = { mask, preferred };
  };
  visit(0, []);
  return chosen ?? { mask: 2 ** count - 1, preferred: false };
}

const someHints = fc.array(fc.record({ mask: fc.integer({ min: 1, max: 7 }), preferred: fc.boolean() }), {
  minLength: 1,
  maxLength: 5,
});

test("a good choice is found exactly where there is one, and is as narrow as can be", () => {
  fc.assert(
    fc.property(fc.array(someHints, { minLength: 1, maxLength: 4 }), (lists) => {
      const { hint: found } = decide(rules("restricted", 3), of(...lists));
      const wanted = slowly(lists, 3);
      expect(found.preferred).toBe(wanted.preferred);
      if (wanted.preferred) expect(countOf(found.mask!)).toBe(countOf(wanted.mask!));
    }),
  );
});

test("many resources on eight nodes are decided at once", () => {
  const eight = Array.from({ length: 8 }, (_, id) => ({ id, distances: [] }));
  const all = masksOf(eight.map(({ id }) => id)).map((mask) => ({ mask, preferred: countOf(mask) === 1 }));
  const { hint: found } = decide(
    { policy: "restricted", preferClosest: false, nodes: eight },
    of(all, all, all, all, [{ mask: 128, preferred: true }]),
  );
  expect(found).toEqual({ mask: 128, preferred: true });
});

test("sets that have enough, preferred where no smaller one could ever have it", () => {
  const capacity = [4, 4];
  const free = [1, 4];
  const sum = (of: number[], mask: number) => nodesIn(mask).reduce((total, id) => total + of[id]!, 0);
  const hints = hintsBySize(masksOf([0, 1]), 2, {
    total: (mask) => sum(capacity, mask) >= 3,
    free: (mask) => sum(free, mask) >= 3,
  });
  expect(hints).toEqual([hint(true, 1), hint(false, 0, 1)]);
});
