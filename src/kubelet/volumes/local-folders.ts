/**
 * The folders of this node that serve as PersistentVolumes: made and removed when the provisioner asks through the API
 * server. https://kubernetes.io/docs/concepts/storage/volumes/#local
 */
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, UserError } from "#base";

export interface LocalFolders {
  /** Answers the path. What lies in it already stays. */
  create(name: string): Promise<string>;
  /** With all it holds. Answers where it was. */
  delete(name: string): Promise<string>;
}

/** What a PersistentVolume can be called: never a path. */
const nameShape = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

export function createLocalFolders(root: string): LocalFolders {
  const pathOf = (name: string) => {
    if (!nameShape.test(name))
      throw new UserError(
        `${JSON.stringify(name.slice(0, 300))} cannot be a volume's name`,
        "use the name of a PersistentVolume",
      );
    return join(root, name);
  };
  return {
    async create(name) {
      const path = pathOf(name);
      await mkdir(root, { recursive: true, mode: 0o711 });
      await mkdir(path, { recursive: true });
      // Whoever the pod runs as may write; nobody else of the machine can look into the folder's parent.
      await chmod(path, 0o777);
      return path;
    },
    async delete(name) {
      const path = pathOf(name);
      // Out of sight at once: what is left of a removal that was cut short is nobody's volume.
      const doomed = join(root, `_${name}`);
      await rm(doomed, { recursive: true, force: true });
      await rename(path, doomed).catch((error: unknown) => {
        if (codeOf(error) !== "ENOENT") throw error;
      });
      await rm(doomed, { recursive: true, force: true });
      return path;
    },
  };
}
