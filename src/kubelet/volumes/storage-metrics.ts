/**
 * How long mounting and unmounting takes, by the kind of volume.
 * https://kubernetes.io/docs/reference/instrumentation/metrics/
 */
import type { World } from "#base";
import type { VolumePlugin } from "#contracts";

const buckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600];

export type TimedStorage = <T>(
  operation: "volume_mount" | "volume_unmount",
  plugin: Pick<VolumePlugin, "directoryName">,
  work: () => Promise<T>,
) => Promise<T>;

export function timedStorage({ metrics, clock }: World): TimedStorage {
  const seconds = metrics.histogram(
    "storage_operation_duration_seconds",
    "[ALPHA] Storage operation duration",
    buckets,
    ["volume_plugin", "operation_name", "status", "migrated"],
  );
  return async (operation_name, { directoryName }, work) => {
    const startedMs = clock.monotonic();
    const tell = (status: string) => {
      const labels = {
        volume_plugin: directoryName.replace("~", "/"),
        operation_name,
        status,
        migrated: "false",
      };
      seconds.observe(labels, (clock.monotonic() - startedMs) / 1000);
    };
    try {
      const result = await work();
      tell("success");
      return result;
    } catch (error) {
      tell("fail-unknown");
      throw error;
    }
  };
}
