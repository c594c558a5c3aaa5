import fc from "fast-check";
import { expect, test } from "vitest";
import type { Image } from "#contracts";
import { defaultConfig } from "./config/settings.ts";
import { bytesToFree, recorded, removable } from "./image-gc.ts";

const image = (id: string, more: Partial<Image> = {}): Image => ({
  id,
  repoTags: [`${id}:1`],
  repoDigests: [`${id}@sha256:1`],
  size: 10,
  username: "",
  pinned: false,
  ...more,
});
const policy = { imageGcMinAgeMs: 1000 };
const ids = (records: ReturnType<typeof removable>) => records.map((each) => each.image.id);

test("the longest unused go first; what is used, pinned, new or from no registry stays", () => {
  const images = [
    image("old"),
    image("older"),
    image("used"),
    image("pinned", { pinned: true }),
    image("built", { repoDigests: [] }),
  ];
  const first = recorded(new Map(), images, new Set(["old:1", "used:1"]), 100);
  const second = recorded(first, images, new Set(["used"]), 5000);
  expect(ids(removable(second.values(), policy, 5000))).toEqual(["older", "old"]);
  const third = recorded(second, [...images, image("new")], new Set(["used@sha256:1"]), 6000);
  expect(ids(removable(third.values(), policy, 6000))).toEqual(["older", "old"]);
});

test("a disk below its high share is left alone; else as much goes as brings it to the low one", () => {
  const disk = fc.record({ capacityBytes: fc.integer({ min: 10_000, max: 2 ** 50 }), free: fc.nat(100) });
  fc.assert(
    fc.property(disk, ({ capacityBytes, free }) => {
      const availableBytes = Math.floor((capacityBytes * free) / 100);
      const bytes = bytesToFree({ capacityBytes, availableBytes }, defaultConfig);
      expect(bytes).toBeGreaterThanOrEqual(0);
      if (free > 16) expect(bytes).toBe(0);
      if (free < 15) expect(availableBytes + bytes).toBe(Math.floor(capacityBytes * 0.2));
    }),
  );
  expect(
    bytesToFree({ capacityBytes: 100, availableBytes: 0 }, { ...defaultConfig, imageGcHighPercent: 100 }),
  ).toBe(0);
});
