/**
 * In which order pods end when the machine shuts down, and how long each group of them has. Pure.
 * https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#graceful-node-shutdown
 */
import type { corev1 } from "#api";
import type { KubeletConfig, ShutdownPeriod } from "../config/settings.ts";
import { systemCritical } from "../critical.ts";

type Pod = Readonly<corev1.Pod>;

export interface ShutdownGroup extends ShutdownPeriod {
  pods: Pod[];
}

type Periods = Pick<KubeletConfig, "shutdownGraceMs" | "shutdownGraceCriticalMs" | "shutdownGraceByPriority">;

/** The lowest priority first; none: the machine does not wait for pods. */
export function shutdownPeriods(config: Periods): ShutdownPeriod[] {
  if (config.shutdownGraceByPriority.length > 0)
    return config.shutdownGraceByPriority.toSorted((a, b) => a.priority - b.priority);
  if (config.shutdownGraceMs === 0) return [];
  const seconds = (ms: number) => Math.floor(ms / 1000);
  return [
    {
      priority: 0,
      shutdownGracePeriodSeconds: seconds(config.shutdownGraceMs - config.shutdownGraceCriticalMs),
    },
    { priority: systemCritical, shutdownGracePeriodSeconds: seconds(config.shutdownGraceCriticalMs) },
  ];
}

/** Whoever is below the lowest priority or between two belongs to the lower one. */
export function shutdownGroups(periods: readonly ShutdownPeriod[], pods: readonly Pod[]): ShutdownGroup[] {
  const groups = periods.map((period): ShutdownGroup => ({ ...period, pods: [] }));
  for (const pod of pods) {
    const own = pod.spec.priority ?? 0;
    const group = groups.findLast(({ priority }) => priority <= own) ?? groups[0];
    group?.pods.push(pod);
  }
  return groups.filter((group) => group.pods.length > 0);
}

export function graceOf(group: ShutdownPeriod, pod: Pod): number {
  return Math.min(
    group.shutdownGracePeriodSeconds,
    pod.spec.terminationGracePeriodSeconds ?? Number.POSITIVE_INFINITY,
  );
}
