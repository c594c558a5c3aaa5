/** https://kubernetes.io/docs/concepts/storage/volumes/#configmap */
import { defineVolumePlugin } from "#contracts";
import { configMapData, defaultFileMode, expectObject, filesVolume, selectKeys } from "./files.ts";

export const configMapVolume = defineVolumePlugin({
  ...filesVolume,
  name: "configMap",
  directoryName: "kubernetes.io~configmap",
  live: true,
  needs(volume) {
    const { name = "", optional = false } = volume.configMap!;
    return { configMaps: [{ name, optional }], secrets: [], tokens: [] };
  },
  plan(volume, sources) {
    const { name = "", optional = false, items, defaultMode = defaultFileMode } = volume.configMap!;
    const map = expectObject(sources.configMaps.get(name), "configmap", name, optional);
    return {
      kind: "files",
      medium: "disk",
      files: selectKeys(configMapData(map), items, defaultMode, optional, "configmap"),
    };
  },
});
