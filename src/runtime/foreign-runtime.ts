/**
 * A container runtime that the machine already has (CRI-O, a containerd of its own), spoken to at its socket like every
 * kubelet's: it is neither configured nor started nor ended here.
 * https://kubernetes.io/docs/setup/production-environment/container-runtimes/
 */
import { forComponent, messageOf, UserError, type World } from "#base";
import type { ContainerRuntime } from "#contracts";
import { endPods } from "./containerd-end.ts";
import { connectRuntime } from "./cri-client.ts";

/** What runs the pods of a node. */
export interface NodeRuntime {
  readonly runtime: ContainerRuntime;
  /** Undefined where the runtime chooses one, and keeps it, by itself. */
  readonly sandboxImage?: string;
  /** Ends what we have of it; its containers go on. */
  release(): Promise<void>;
}

const readyTimeoutMs = 30_000;
const askEveryMs = 250;

/** `unix:///run/crio/crio.sock`, or the path alone. Throws `UserError`. */
export function socketPathOf(endpoint: string): string {
  const path = endpoint.startsWith("unix://") ? endpoint.slice("unix://".length) : endpoint;
  if (!path.startsWith("/") || path.includes("\0"))
    throw new UserError(
      `containerRuntimeEndpoint is ${JSON.stringify(endpoint)}`,
      "give the runtime's socket, such as unix:///run/crio/crio.sock",
    );
  return path;
}

interface ConnectOptions {
  timeoutMs?: number;
  /** How long it may take over what takes no long time by its nature. */
  requestMs?: number | undefined;
}

/** Waits until the runtime answers, and sees to it that its cgroups are where the kubelet makes those of pods. */
export async function connectForeignRuntime(
  endpoint: string,
  world: World,
  { timeoutMs = readyTimeoutMs, requestMs }: ConnectOptions = {},
): Promise<NodeRuntime> {
  const { clock, log } = forComponent(world, "runtime");
  const runtime = connectRuntime({ socketPath: socketPathOf(endpoint), clock, requestMs });
  try {
    const deadlineMs = clock.monotonic() + timeoutMs;
    while (!(await Promise.race([isReady(runtime), clock.sleep(askEveryMs).then(() => false)]))) {
      if (clock.monotonic() > deadlineMs)
        throw new UserError(
          `the container runtime at ${endpoint} does not answer`,
          "start it (systemctl start crio), or take containerRuntimeEndpoint out of the kubelet's configuration",
        );
      await clock.sleep(askEveryMs);
    }
    const { runtimeName, runtimeVersion } = await runtime.version();
    log.info({ endpoint, runtime: `${runtimeName}://${runtimeVersion}` }, "the machine's own runtime");
    if ((await runtime.cgroupDriver()) === "SYSTEMD") throw systemdRefusal(runtimeName);
  } catch (error) {
    runtime.close();
    throw error;
  }
  return { runtime, release: async () => runtime.close() };
}

const isReady = (runtime: ContainerRuntime) =>
  runtime.status().then(
    ({ conditions }) => conditions.some(({ type, status }) => type === "RuntimeReady" && status),
    () => false,
  );

/** Slices of systemd would hold pods in other places than those where their limits are set. */
function systemdRefusal(runtimeName: string): UserError {
  const mend =
    runtimeName === "cri-o"
      ? 'set cgroup_manager = "cgroupfs" and conmon_cgroup = "pod" in a file of /etc/crio/crio.conf.d, and restart CRI-O'
      : "set SystemdCgroup = false in its configuration, and restart it";
  return new UserError(`${runtimeName} leaves the cgroups of containers to systemd`, mend);
}

/** Ends every pod of the runtime; one that does not answer is left alone. */
export async function endForeignPods(endpoint: string, world: World, timeoutMs?: number): Promise<void> {
  try {
    const { runtime, release } = await connectForeignRuntime(endpoint, world, { timeoutMs });
    await endPods(world, runtime);
    await release();
  } catch (error) {
    const { log } = forComponent(world, "runtime");
    log.warn({ endpoint, error: messageOf(error) }, "the runtime could not end its pods");
  }
}
