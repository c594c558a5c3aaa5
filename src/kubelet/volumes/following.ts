/**
 * How the kubelet hears that ConfigMaps and Secrets which pods mount have changed. Pure.
 * https://kubernetes.io/docs/concepts/configuration/configmap/#mounted-configmaps-are-updated-automatically
 */
import type { KubeletConfig } from "../config/settings.ts";

export interface Following {
  /** It is told at once. */
  readonly isWatching: boolean;
  /** What was read is good for so long where nothing is told; 0: everything is read whenever a pod is looked at. */
  readonly refreshMs: number;
}

/** As upstream's cache, where the node says nothing else. */
const cacheMs = 60_000;

export function followingOf({
  changeDetection,
  syncMs,
}: Pick<KubeletConfig, "changeDetection" | "syncMs">): Following {
  if (changeDetection === "Watch") return { isWatching: true, refreshMs: syncMs };
  return { isWatching: false, refreshMs: changeDetection === "Cache" ? cacheMs : 0 };
}
