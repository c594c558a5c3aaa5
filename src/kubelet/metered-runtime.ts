/**
 * A runtime whose calls are counted and timed, by upstream's names of them; cgroups too.
 * https://kubernetes.io/docs/reference/instrumentation/metrics/
 */
import type { Clock } from "#base";
import type { ContainerRuntime } from "#contracts";
import type { Cgroups } from "./cgroups.ts";
import type { KubeletMetrics } from "./metrics.ts";

/** Those that answer later; streams are nobody's to time. */
const operations = {
  version: "version",
  status: "status",
  updatePodCidr: "update_runtime_config",
  runPodSandbox: "run_podsandbox",
  stopPodSandbox: "stop_podsandbox",
  removePodSandbox: "remove_podsandbox",
  podSandboxStatus: "podsandbox_status",
  listPodSandboxes: "list_podsandbox",
  createContainer: "create_container",
  startContainer: "start_container",
  stopContainer: "stop_container",
  removeContainer: "remove_container",
  listContainers: "list_containers",
  containerStatus: "container_status",
  updateContainerResources: "update_container",
  checkpointContainer: "checkpoint_container",
  reopenContainerLog: "reopen_container_log",
  execSync: "exec_sync",
  exec: "exec",
  attach: "attach",
  portForward: "port_forward",
  listContainerStats: "list_container_stats",
  listImages: "list_images",
  imageStatus: "image_status",
  pullImage: "pull_image",
  removeImage: "remove_image",
  imageFsInfo: "image_fs_info",
} as const satisfies Partial<Record<keyof ContainerRuntime, string>>;

type Operation = keyof typeof operations;
type Method = (...args: unknown[]) => Promise<unknown>;

export function meteredRuntime(
  runtime: ContainerRuntime,
  metrics: KubeletMetrics,
  clock: Clock,
): ContainerRuntime {
  const metered = Object.create(runtime) as Record<Operation, Method>;
  for (const name of Object.keys(operations) as Operation[]) {
    const method = runtime[name] as Method | undefined;
    if (!method) continue;
    const label = { operation_type: operations[name] };
    metered[name] = async (...args) => {
      const startedMs = clock.monotonic();
      metrics.operations.inc(label);
      try {
        return await method.apply(runtime, args);
      } catch (error) {
        metrics.operationErrors.inc(label);
        throw error;
      } finally {
        metrics.operationSeconds.observe(label, (clock.monotonic() - startedMs) / 1000);
      }
    };
  }
  metered.runPodSandbox = meteredSandboxes(metered.runPodSandbox, metrics, clock);
  return metered as unknown as ContainerRuntime;
}

/** A pod is started with its sandbox. */
function meteredSandboxes(run: Method, metrics: KubeletMetrics, clock: Clock): Method {
  return async (config, handler) => {
    const label = { runtime_handler: String(handler ?? "") };
    const startedMs = clock.monotonic();
    metrics.startedPods.inc();
    try {
      return await run(config, handler);
    } catch (error) {
      metrics.podErrors.inc();
      metrics.sandboxErrors.inc(label);
      throw error;
    } finally {
      metrics.sandboxSeconds.observe(label, (clock.monotonic() - startedMs) / 1000);
    }
  };
}

/** The same for what pods' limits stand in. */
export function meteredCgroups(cgroups: Cgroups, metrics: KubeletMetrics, clock: Clock): Cgroups {
  const timed = async <T>(operation_type: string, work: Promise<T>): Promise<T> => {
    const startedMs = clock.monotonic();
    try {
      return await work;
    } finally {
      metrics.cgroupSeconds.observe({ operation_type }, (clock.monotonic() - startedMs) / 1000);
    }
  };
  return {
    ...cgroups,
    ensure: (path, figures) => timed("create", cgroups.ensure(path, figures)),
    remove: (path) => timed("destroy", cgroups.remove(path)),
  };
}
