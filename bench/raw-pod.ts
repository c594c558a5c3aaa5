/** A pod as containerd makes it when nobody but a benchmark asks: the calls that no kubelet can do without. */
import type { ContainerConfig, ContainerRuntime, PodSandboxConfig } from "#contracts";

export const rawImage = "busybox:1.36";

/** Of the cluster, so that it goes with it. */
export interface RawPlace {
  cgroupParent: string;
  logDirectory: string;
}

const namespaceOptions = { network: "POD", pid: "CONTAINER", ipc: "POD" } as const;

function sandboxConfig({ cgroupParent, logDirectory }: RawPlace, name: string): PodSandboxConfig {
  return {
    metadata: { name, uid: name, namespace: "bench", attempt: 0 },
    hostname: "raw",
    logDirectory,
    portMappings: [],
    labels: {},
    annotations: {},
    linux: { cgroupParent, securityContext: { namespaceOptions } },
  };
}

function containerConfig(name: string): ContainerConfig {
  return {
    metadata: { name: "c", attempt: 0 },
    image: { image: rawImage },
    command: ["sleep", "1000"],
    args: [],
    workingDir: "",
    envs: [],
    mounts: [],
    logPath: `${name}.log`,
    labels: {},
    annotations: {},
    stdin: false,
    stdinOnce: false,
    tty: false,
    linux: { resources: {}, securityContext: { namespaceOptions } },
  };
}

/** Sandbox, create, start; answers the sandbox. */
export async function startRawPod(runtime: ContainerRuntime, place: RawPlace, name: string): Promise<string> {
  const sandbox = sandboxConfig(place, name);
  const id = await runtime.runPodSandbox(sandbox);
  await runtime.startContainer(await runtime.createContainer(id, containerConfig(name), sandbox));
  return id;
}

export async function removeRawPod(runtime: ContainerRuntime, id: string): Promise<void> {
  await runtime.stopPodSandbox(id);
  await runtime.removePodSandbox(id);
}
