/**
 * Users of pods with user namespaces of their own: each pod has a range of the host's ids that no other pod has.
 * https://kubernetes.io/docs/concepts/workloads/pods/user-namespaces/
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { corev1 } from "#api";
import { codeOf, writeDurably } from "#base";
import type { IdMapping, UserNamespace } from "#contracts";

export interface UserNamespaces {
  /** The same range each time, also after a restart. Throws an `Error` where none is left. */
  rangeFor(podUid: string): Promise<UserNamespace>;
  release(podUid: string): void;
}

export interface UserNamespacesOptions {
  podsDir: string;
  /** How many ids each pod has. */
  idsPerPod: number;
  podsMax: number;
}

const fileName = "userns";

/** The first range that nobody has; the host's own users lie before it. Pure. */
export function freeRange(taken: ReadonlySet<number>, podsMax: number): number | undefined {
  for (let range = 1; range <= podsMax; range++) if (!taken.has(range)) return range;
  return undefined;
}

/** Why a pod cannot have users of its own; in upstream's words. */
export function unsupportedUsers(handler: string): string {
  const who = handler ? `RuntimeClass handler ${JSON.stringify(handler)}` : "runtime";
  return `can't set \`spec.hostUsers: false\`, ${who} does not support user namespaces`;
}

export const wantsOwnUsers = ({ spec }: Readonly<corev1.Pod>): boolean => spec.hostUsers === false;

export function createUserNamespaces(options: UserNamespacesOptions): UserNamespaces {
  const { podsDir, idsPerPod, podsMax } = options;
  const ranges = new Map<string, number>();
  let loading: Promise<void> | undefined;

  async function readRange(uid: string): Promise<void> {
    try {
      const { uidMappings } = JSON.parse(await readFile(join(podsDir, uid, fileName), "utf8")) as {
        uidMappings: IdMapping[];
      };
      const range = (uidMappings[0]?.hostId ?? 0) / idsPerPod;
      if (Number.isInteger(range) && range > 0) ranges.set(uid, range);
    } catch (error) {
      if (codeOf(error) !== "ENOENT" && !(error instanceof SyntaxError)) throw error;
    }
  }

  async function load(): Promise<void> {
    for (const uid of await readdir(podsDir).catch(() => [])) await readRange(uid);
  }

  return {
    async rangeFor(podUid) {
      loading ??= load();
      await loading;
      const range = ranges.get(podUid) ?? freeRange(new Set(ranges.values()), podsMax);
      if (range === undefined) throw new Error("no user namespace is left for the pod");
      const isNew = !ranges.has(podUid);
      ranges.set(podUid, range);
      const mappings = [{ containerId: 0, hostId: range * idsPerPod, length: idsPerPod }];
      if (isNew)
        await writeDurably(
          join(podsDir, podUid, fileName),
          JSON.stringify({ uidMappings: mappings, gidMappings: mappings }),
        );
      return { mode: "POD", uids: mappings, gids: mappings };
    },
    release: (podUid) => void ranges.delete(podUid),
  };
}
