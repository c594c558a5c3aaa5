/** https://kubernetes.io/docs/concepts/storage/volumes/#downwardapi */
import { defineVolumePlugin, noNeeds } from "#contracts";
import { defaultFileMode, downwardFiles, filesVolume } from "./files.ts";

export const downwardApiVolume = defineVolumePlugin({
  ...filesVolume,
  name: "downwardAPI",
  directoryName: "kubernetes.io~downward-api",
  live: true,
  needs: () => noNeeds,
  plan(volume, _sources, context) {
    const { items = [], defaultMode = defaultFileMode } = volume.downwardAPI!;
    return { kind: "files", medium: "disk", files: downwardFiles(items, defaultMode, context) };
  },
});
