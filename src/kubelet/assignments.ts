/** Who has what, by container: kept in a file, since containers go on while the kubelet is away. */
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf, messageOf, type World, writeDurably } from "#base";

export interface Assignments<T> {
  get(podUid: string, container: string): T | undefined;
  set(podUid: string, container: string, value: T): Promise<void>;
  /** Of all containers. */
  values(): T[];
  /** Those of pods that have ended go; the pod that asks has not begun yet. */
  keepActive(asking: string): void;
  release(podUid: string): void;
  /** Throws nothing: what cannot be read is told and begun anew. */
  load(): Promise<void>;
}

export function createAssignments<T>(options: {
  file: string;
  world: World;
  isActive(podUid: string): boolean;
}): Assignments<T> {
  const { file, world } = options;
  let assigned = new Map<string, T>();
  const keyOf = (podUid: string, container: string) => `${podUid}/${container}`;
  const uidOf = (key: string) => key.slice(0, key.lastIndexOf("/"));

  return {
    get: (podUid, container) => assigned.get(keyOf(podUid, container)),
    async set(podUid, container, value) {
      assigned.set(keyOf(podUid, container), value);
      await mkdir(dirname(file), { recursive: true, mode: 0o750 });
      await writeDurably(file, JSON.stringify({ assigned: [...assigned] }));
    },
    values: () => [...assigned.values()],
    keepActive(asking) {
      for (const key of assigned.keys()) {
        const uid = uidOf(key);
        if (uid !== asking && !options.isActive(uid)) assigned.delete(key);
      }
    },
    release(podUid) {
      for (const key of assigned.keys()) if (uidOf(key) === podUid) assigned.delete(key);
    },
    async load() {
      try {
        const known = JSON.parse(await readFile(file, "utf8")) as { assigned: [string, T][] };
        assigned = new Map(known.assigned);
      } catch (error) {
        if (codeOf(error) !== "ENOENT")
          world.log.warn({ file, error: messageOf(error) }, "what containers have could not be read");
      }
    },
  };
}
