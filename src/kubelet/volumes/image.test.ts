import { expect, test } from "vitest";
import { seededRandom } from "#base";
import { makePod } from "../testing/pods.ts";
import { machineVolumeHost } from "./host.ts";
import { imageVolume } from "./image.ts";

test("an image is mounted by its reference at the volume's folder, and unmounted there", async () => {
  const calls: string[][] = [];
  const plugin = imageVolume({
    mountImage: async (image, target) => void calls.push(["mount", image, target]),
    unmountImage: async (target) => void calls.push(["unmount", target]),
  });
  const volume = { name: "files", image: { reference: "fleet/files:1" } };
  const sources = { configMaps: new Map(), secrets: new Map(), tokens: [] };
  const plan = plugin.plan(volume, sources, {
    pod: makePod(),
    nodeName: "n",
    allocatable: {},
    dataDir: "/data",
    logDir: "/logs",
  });
  const host = machineVolumeHost(seededRandom(1));
  expect(await plugin.mount({ plan, dir: "/pods/u/files" }, host)).toBe("/pods/u/files");
  await plugin.unmount("/pods/u/files", host);
  expect(calls).toEqual([
    ["mount", "fleet/files:1", "/pods/u/files"],
    ["unmount", "/pods/u/files"],
  ]);
});
