import { expect, test } from "vitest";
import { memoryJournal, type Row } from "./journal.ts";

const rows = (count: number): Row[] =>
  Array.from({ length: count }, (_, i) => ({
    revision: i + 1,
    key: `k${i}`,
    createRevision: 1,
    value: undefined,
  }));

test("many writers to memory leave timers and sockets their turn; a single one does not wait for it", async () => {
  let turned = false;
  setImmediate(() => {
    turned = true;
  });
  await memoryJournal.append(rows(1));
  expect(turned).toBe(false);
  await memoryJournal.append(rows(32));
  expect(turned).toBe(true);
});
