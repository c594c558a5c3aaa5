/** https://kubernetes.io/docs/concepts/storage/volumes/#secret */
import { defineVolumePlugin } from "#contracts";
import { defaultFileMode, expectObject, filesVolume, secretData, selectKeys } from "./files.ts";

export const secretVolume = defineVolumePlugin({
  ...filesVolume,
  name: "secret",
  directoryName: "kubernetes.io~secret",
  live: true,
  needs(volume) {
    const { secretName = "", optional = false } = volume.secret!;
    return { configMaps: [], secrets: [{ name: secretName, optional }], tokens: [] };
  },
  plan(volume, sources) {
    const { secretName = "", optional = false, items, defaultMode = defaultFileMode } = volume.secret!;
    const secret = expectObject(sources.secrets.get(secretName), "secret", secretName, optional);
    return {
      kind: "files",
      medium: "memory",
      files: selectKeys(secretData(secret), items, defaultMode, optional, "secret"),
    };
  },
});
