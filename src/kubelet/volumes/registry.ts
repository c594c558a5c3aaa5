/** Every kind of volume this node can mount. A new one is one file and one line here. */
import type { corev1 } from "#api";
import type { VolumePlugin } from "#contracts";
import { configMapVolume } from "./config-map.ts";
import { downwardApiVolume } from "./downward-api.ts";
import { emptyDirVolume } from "./empty-dir.ts";
import { hostPathVolume } from "./host-path.ts";
import { projectedVolume } from "./projected.ts";
import { secretVolume } from "./secret.ts";

export const volumePlugins: readonly VolumePlugin[] = [
  configMapVolume,
  downwardApiVolume,
  emptyDirVolume,
  hostPathVolume,
  projectedVolume,
  secretVolume,
];

/** The plugin of a volume; a volume that names no source is an empty folder. */
export function pluginFor(
  plugins: readonly VolumePlugin[],
  volume: Readonly<corev1.Volume>,
): VolumePlugin | undefined {
  const keys = Object.keys(volume).filter(
    (k) => k !== "name" && volume[k as keyof corev1.Volume] !== undefined,
  );
  if (keys.length === 0) return plugins.find((p) => p.name === "emptyDir");
  return plugins.find((p) => keys.includes(p.name));
}
