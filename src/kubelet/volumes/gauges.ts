/**
 * What volumes hold, measured in the background: nobody who asks waits for a file server or a driver.
 * https://kubernetes.io/docs/reference/instrumentation/node-metrics/
 */
import { messageOf, type World } from "#base";
import type { VolumeUsage } from "#contracts";

interface Gauge {
  measure(): Promise<VolumeUsage>;
  isMeasuring: boolean;
  againAtMs: number;
  last: VolumeUsage | undefined;
}

export interface Gauges {
  follow(podUid: string, name: string, measure: Gauge["measure"]): void;
  forget(podUid: string): void;
  /** By the volume's name in the pod, as far as it is known. */
  of(podUid: string): ReadonlyMap<string, VolumeUsage>;
}

/** `ageMaxMs` below zero: nothing is measured. */
export function createGauges({ clock, log }: World, ageMaxMs: number): Gauges {
  const pods = new Map<string, Map<string, Gauge>>();

  async function look(name: string, gauge: Gauge): Promise<void> {
    gauge.isMeasuring = true;
    gauge.againAtMs = clock.monotonic() + ageMaxMs;
    try {
      gauge.last = await gauge.measure();
    } catch (error) {
      log.debug({ volume: name, error: messageOf(error) }, "a volume could not be measured");
    } finally {
      gauge.isMeasuring = false;
    }
  }

  return {
    follow(podUid, name, measure) {
      if (ageMaxMs < 0) return;
      const gauges = pods.get(podUid) ?? new Map<string, Gauge>();
      pods.set(podUid, gauges);
      if (!gauges.has(name)) gauges.set(name, { measure, isMeasuring: false, againAtMs: 0, last: undefined });
    },
    forget: (podUid) => void pods.delete(podUid),
    of(podUid) {
      const known = new Map<string, VolumeUsage>();
      for (const [name, gauge] of pods.get(podUid) ?? []) {
        if (gauge.last) known.set(name, gauge.last);
        if (!gauge.isMeasuring && clock.monotonic() >= gauge.againAtMs) void look(name, gauge);
      }
      return known;
    },
  };
}
