/**
 * A pod as containerd makes it when nobody but a benchmark asks: the calls that no kubelet can do without, and what each
 * asks for with them (seccomp of the sandbox, masked paths, a cgroup of its own, what every container has mounted).
 */
import type { corev1 } from "#api";
import type { ContainerConfig, ContainerRuntime, Mount, PodSandboxConfig } from "#contracts";
import { containerSecurity, sandboxSecurity } from "../src/kubelet/security-context.ts";

export const rawImage = "busybox:1.36";

/** Of the cluster, so that it goes with it. */
export interface RawPlace {
  cgroupParent: string;
  logDirectory: string;
}

const container = { name: "c", image: rawImage };
const pod = { spec: { containers: [container] } } as unknown as corev1.Pod;
const settings = { seccompDefault: false, seccompProfileRoot: "" };

function mount(hostPath: string, containerPath: string): Mount {
  return { hostPath, containerPath, readonly: true, propagation: "PROPAGATION_PRIVATE" };
}

function sandboxConfig({ cgroupParent, logDirectory }: RawPlace, name: string): PodSandboxConfig {
  return {
    metadata: { name, uid: name, namespace: "bench", attempt: 0 },
    hostname: "raw",
    logDirectory,
    portMappings: [],
    labels: {},
    annotations: {},
    linux: { cgroupParent: `${cgroupParent}/${name}`, securityContext: sandboxSecurity(pod, settings) },
  };
}

function containerConfig({ logDirectory }: RawPlace, name: string): ContainerConfig {
  return {
    metadata: { name: "c", attempt: 0 },
    image: { image: rawImage },
    command: ["sleep", "1000"],
    args: [],
    workingDir: "",
    envs: [],
    mounts: [
      mount("/etc/hosts", "/etc/hosts"),
      mount("/etc/hosts", "/dev/termination-log"),
      mount(logDirectory, "/var/run/secrets/kubernetes.io/serviceaccount"),
    ],
    logPath: `${name}.log`,
    labels: {},
    annotations: {},
    stdin: false,
    stdinOnce: false,
    tty: false,
    linux: { resources: {}, securityContext: containerSecurity(pod, container, { username: "" }, settings) },
  };
}

/** Sandbox, create, start; answers the sandbox. */
export async function startRawPod(runtime: ContainerRuntime, place: RawPlace, name: string): Promise<string> {
  const sandbox = sandboxConfig(place, name);
  const id = await runtime.runPodSandbox(sandbox);
  await runtime.startContainer(await runtime.createContainer(id, containerConfig(place, name), sandbox));
  return id;
}

export async function removeRawPod(runtime: ContainerRuntime, id: string): Promise<void> {
  await runtime.stopPodSandbox(id);
  await runtime.removePodSandbox(id);
}
