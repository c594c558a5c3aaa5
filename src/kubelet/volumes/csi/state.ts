/** What the parts of the CSI plugin share: what this process has asked of drivers, and where it lies. */
import { join } from "node:path";
import type { corev1 } from "#api";
import type { World } from "#base";
import type { Client, EventKind } from "#client";
import type { TokenSource } from "../tokens.ts";
import type { CsiDrivers } from "./drivers.ts";
import { handleFolder } from "./requests.ts";

export interface CsiVolumesOptions {
  client: Client;
  world: World;
  drivers: CsiDrivers;
  tokens: TokenSource;
  /** The kubelet's folder. */
  root: string;
  podsDir: string;
  /** Another attachable volume is held: the node's status has to say so. */
  inUseChanged(): void;
  say(pod: Readonly<corev1.Pod>, kind: EventKind, reason: string, message: string): void;
}

export interface CsiState extends CsiVolumesOptions {
  csiDir: string;
  /** What is asked of one volume is asked one thing after another. */
  hold<T>(key: string, work: () => Promise<T>): Promise<T>;
  /** By the folder of the pod's volume. */
  published: Set<string>;
  /** By the folder that volumes are staged in. */
  staged: Set<string>;
  /** The name of each attachable volume, by the folder of the pod's volume. */
  inUse: Map<string, string>;
}

export function createLocks(): CsiState["hold"] {
  const last = new Map<string, Promise<unknown>>();
  return async function hold<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = last.get(key);
    const mine = (async () => {
      await before?.catch(() => {});
      return work();
    })();
    last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (last.get(key) === mine) last.delete(key);
    }
  };
}

/** Where a pod's volume is published; what is known of it lies beside. */
export const targetIn = (dir: string) => join(dir, "mount");

export function stageDir(state: CsiState, { driver, handle }: { driver: string; handle: string }): string {
  return join(state.csiDir, driver, handleFolder(handle), "globalmount");
}
