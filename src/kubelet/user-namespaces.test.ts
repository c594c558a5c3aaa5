import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { createUserNamespaces, freeRange, unsupportedUsers } from "./user-namespaces.ts";

const podsDir = mkdtempSync(join(tmpdir(), "knarr-userns-"));
afterAll(() => rmSync(podsDir, { recursive: true, force: true }));
const make = () => createUserNamespaces({ podsDir, idsPerPod: 65_536, podsMax: 3 });

test("each pod has a range of its own, also after a restart, until it is gone", async () => {
  for (const uid of ["a", "b", "c", "d"]) mkdirSync(join(podsDir, uid), { recursive: true });
  const ranges = make();
  const hostId = async (of: typeof ranges, uid: string) => (await of.rangeFor(uid)).uids?.[0]?.hostId;
  expect(await hostId(ranges, "a")).toBe(65_536);
  expect(await hostId(ranges, "b")).toBe(131_072);
  const again = make();
  expect(await hostId(again, "c")).toBe(196_608);
  expect(await hostId(again, "b")).toBe(131_072);
  await expect(again.rangeFor("d")).rejects.toThrow("no user namespace is left for the pod");
  again.release("a");
  expect(await hostId(again, "d")).toBe(65_536);
});

test("a free range is nobody's and not the host's own", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 20 })), (taken) => {
      const range = freeRange(new Set(taken), 20);
      if (range === undefined) expect(taken).toHaveLength(20);
      else expect(taken).not.toContain(range);
      expect(range).not.toBe(0);
    }),
  );
});

test("a runtime that has none is told of", () => {
  expect(unsupportedUsers("")).toBe(
    "can't set `spec.hostUsers: false`, runtime does not support user namespaces",
  );
  expect(unsupportedUsers("kata")).toContain('RuntimeClass handler "kata" does not support');
});
