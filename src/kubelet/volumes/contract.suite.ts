/** What every volume plugin must keep, whatever it mounts: run by a test on each registered plugin. */
import { join } from "node:path";
import { expect, test } from "vitest";
import type { MountableVolume, VolumeHost, VolumePlugin, VolumeSources } from "#contracts";
import { makePod } from "../testing/pods.ts";

export interface VolumeCase {
  plugin: VolumePlugin;
  volume: MountableVolume;
  sources: VolumeSources;
}

export function volumeContract(
  { plugin, volume, sources }: VolumeCase,
  setUp: () => { host: VolumeHost; root: string },
): void {
  const context = {
    pod: makePod(),
    nodeName: "n1",
    allocatable: { cpu: "1" },
    dataDir: "/data",
    logDir: "/logs",
  };
  const plan = () => plugin.plan(volume, sources, context);

  test("plans the same for the same input, and says what it needs", () => {
    expect(plan()).toEqual(plan());
    const needs = plugin.needs(volume, makePod());
    for (const { name } of needs.configMaps) expect(sources.configMaps.has(name)).toBe(true);
    for (const { name } of needs.secrets) expect(sources.secrets.has(name)).toBe(true);
    expect(needs.tokens.length).toBe(sources.tokens.length);
  });

  test("mounts twice as once, is found again, and leaves nothing", async () => {
    const { host, root } = setUp();
    const dir = join(root, plugin.directoryName, volume.name);
    const request = { plan: plan(), dir };
    const path = await plugin.mount(request, host);
    expect(await plugin.mount(request, host)).toBe(path);
    expect(await plugin.inspect(request, host)).toEqual({ mounted: true });
    expect(await host.pathType(path)).not.toBe("absent");
    if (path === dir) expect(await plugin.rebuild(dir, host)).toEqual({ path, mounted: true });
    expect((await plugin.usage({ dir, path }, host)).usedBytes).toBeGreaterThanOrEqual(0);
    await plugin.unmount(dir, host);
    await plugin.unmount(dir, host);
    expect(await host.pathType(dir)).toBe("absent");
  });
}
