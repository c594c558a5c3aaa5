/** The suite every store passes: call it in a test file with a way to open an empty store. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CompactedError, CompareError, type Store, type StoreEvent } from "./contract.ts";

const bytes = (text: string) => () => Buffer.from(text);

export function storeContract(name: string, open: () => Promise<Store>): void {
  describe(`store contract: ${name}`, () => {
    let store: Store;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    const put = (key: string, text: string, expect?: number) =>
      store.write({ key, expect, value: bytes(text) });
    const remove = (key: string, expect?: number) => store.write({ key, expect, value: undefined });

    it("starts at revision 1 and counts every change", async () => {
      expect(store.revision).toBe(1);
      const a = await put("/a", "1");
      expect(a).toMatchObject({ key: "/a", createRevision: 2, modRevision: 2 });
      const again = await put("/a", "2");
      expect(again).toMatchObject({ createRevision: 2, modRevision: 3 });
      const gone = await remove("/a");
      expect(gone?.value.toString()).toBe("2");
      expect(store.revision).toBe(4);
      expect(await store.get("/a")).toBeUndefined();
      expect((await put("/a", "3"))?.createRevision).toBe(5);
    });

    it("tells the value its own revision", async () => {
      const entry = await store.write({
        key: "/k",
        expect: 0,
        value: (revision) => Buffer.from(String(revision)),
      });
      expect(entry?.value.toString()).toBe(String(entry?.modRevision));
    });

    it("compares before it writes, also with writes that are under way", async () => {
      const results = await Promise.allSettled([
        put("/k", "a", 0),
        put("/k", "b", 0),
        put("/k", "c", 2),
        put("/k", "d", 2),
      ]);
      expect(results.map((r) => r.status)).toEqual(["fulfilled", "rejected", "fulfilled", "rejected"]);
      const second = results[1] as PromiseRejectedResult;
      expect(second.reason).toBeInstanceOf(CompareError);
      expect((second.reason as CompareError).actual?.value.toString()).toBe("a");
      expect((await store.get("/k"))?.value.toString()).toBe("c");
      await expect(remove("/k", 1)).rejects.toBeInstanceOf(CompareError);
      await expect(remove("/absent", 4)).rejects.toMatchObject({ actual: undefined });
      expect(await remove("/absent")).toBeUndefined();
      expect(store.revision).toBe(3);
    });

    it("compares with a deletion under way, though an earlier one of the same key is published meanwhile", async () => {
      const { modRevision } = (await put("/k", "1"))!;
      const first = [remove("/k", modRevision), put("/k", "2", 0)];
      // These are on their way to the disk together; what follows waits for them.
      for (let i = 0; i < 5; i++) await Promise.resolve();
      const present = modRevision + 2;
      const last = remove("/k", present);
      await Promise.all(first);
      await expect(put("/k", "3", present)).rejects.toBeInstanceOf(CompareError);
      await last;
      expect(await store.get("/k")).toBeUndefined();
    });

    it("leaves nothing behind when the value cannot be made", async () => {
      const failing = store.write({ key: "/k", expect: 0, value: () => Promise.reject as never as Buffer });
      await expect(failing).rejects.toThrow();
      expect((await put("/k", "x", 0))?.modRevision).toBe(2);
    });

    it("lists a prefix in order and nothing else", async () => {
      await Promise.all(["/p/b", "/p/a", "/pq", "/p/a0", "/o", "/p/"].map((key) => put(key, key)));
      const { entries, revision } = await store.list("/p/");
      expect(entries.map((e) => e.key)).toEqual(["/p/", "/p/a", "/p/a0", "/p/b"]);
      expect(revision).toBe(store.revision);
    });

    it("tells watches the past, then the present, in order and once", async () => {
      await put("/w/a", "1");
      const from = store.revision;
      await put("/w/b", "1");
      await put("/x", "1");
      const seen: StoreEvent[] = [];
      const watch = store.watch("/w/", from, (event) => seen.push(event));
      expect(seen.map((e) => e.key)).toEqual(["/w/b"]);
      let publishedBefore = false;
      await put("/w/a", "2").then(() => {
        publishedBefore = seen.length === 2;
      });
      expect(publishedBefore).toBe(true);
      await remove("/w/a");
      expect(seen.map((e) => [e.entry?.value.toString(), e.previous?.value.toString()])).toEqual([
        ["1", undefined],
        ["2", "1"],
        [undefined, "2"],
      ]);
      watch.stop();
      await put("/w/c", "1");
      expect(seen).toHaveLength(3);
    });

    it("forgets history when compacted, and says so", async () => {
      await put("/k", "1");
      await put("/k", "2");
      await put("/gone", "1");
      await remove("/gone");
      await store.compact(4);
      expect(store.compactedRevision).toBe(4);
      expect(() => store.watch("/", 3, () => {})).toThrow(CompactedError);
      const seen: StoreEvent[] = [];
      store.watch("/", 4, (event) => seen.push(event));
      expect(seen.map((e) => [e.revision, e.previous?.value.toString()])).toEqual([[5, "1"]]);
      await store.compact(1_000_000);
      expect(store.compactedRevision).toBe(5);
      expect((await store.list("/")).entries.map((e) => e.value.toString())).toEqual(["2"]);
    });

    it("refuses writes once closed", async () => {
      await store.close();
      await expect(put("/k", "1")).rejects.toMatchObject({ name: "StoreUnavailableError" });
    });

    it("agrees with a simple model for any sequence of writes", async () => {
      const operation = fc.record({
        key: fc.constantFrom("/m/a", "/m/b", "/m/c"),
        remove: fc.boolean(),
        fresh: fc.boolean(),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 30 }), async (operations) => {
          const model = new Map<string, number>();
          for (const { entries } of [await store.list("/m/")])
            for (const e of entries) model.set(e.key, e.modRevision);
          const watched = new Map(model);
          const watch = store.watch("/m/", store.revision, (event) => {
            if (event.entry) watched.set(event.key, event.revision);
            else watched.delete(event.key);
          });
          for (const { key, remove: deletes, fresh } of operations) {
            const expected = fresh ? 0 : (model.get(key) ?? 0);
            const result = await store
              .write({ key, expect: expected, value: deletes ? undefined : bytes("v") })
              .catch((error: unknown) => error);
            const matches = expected === (model.get(key) ?? 0);
            expect(result instanceof CompareError).toBe(!matches);
            if (matches && deletes) model.delete(key);
            else if (matches) model.set(key, store.revision);
          }
          watch.stop();
          expect([...watched].sort()).toEqual([...model].sort());
        }),
        { numRuns: 20 },
      );
    });
  });
}
