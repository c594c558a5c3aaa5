import { expect, test } from "vitest";
import { createWorld, silentLogger } from "#base";
import { timedStorage } from "./storage-metrics.ts";

test("mounts and unmounts are timed by kind and by how they went", async () => {
  const world = createWorld({ log: silentLogger });
  const timed = timedStorage(world);
  const plugin = { directoryName: "kubernetes.io~projected" };
  expect(await timed("volume_mount", plugin, async () => "/there")).toBe("/there");
  const failing = async () => {
    throw new Error("busy");
  };
  await expect(timed("volume_unmount", plugin, failing)).rejects.toThrow("busy");
  const text = await world.metrics.text();
  const line = (operation: string, status: string) =>
    `storage_operation_duration_seconds_count{volume_plugin="kubernetes.io/projected",operation_name="${operation}",status="${status}",migrated="false"} 1`;
  expect(text).toContain(line("volume_mount", "success"));
  expect(text).toContain(line("volume_unmount", "fail-unknown"));
});
