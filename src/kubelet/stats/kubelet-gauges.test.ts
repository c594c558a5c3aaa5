import { expect, test } from "vitest";
import type { Container, PodSandbox } from "#contracts";
import { podUidLabel } from "../labels.ts";
import { makePod } from "../testing/pods.ts";
import { kubeletGauges } from "./kubelet-gauges.ts";

const pod = (uid: string, annotations: Record<string, string> = {}) => {
  const made = makePod();
  return { ...made, metadata: { ...made.metadata, uid, annotations } };
};
const sandbox = (uid: string, state: PodSandbox["state"]) =>
  ({ state, labels: { [podUidLabel]: uid } }) as unknown as PodSandbox;
const container = (state: Container["state"]) => ({ state }) as unknown as Container;

test("pods and containers are counted by what they are", () => {
  const text = kubeletGauges({
    nodeName: "node-a",
    pods: [
      pod("1"),
      pod("2"),
      pod("3", { "kubernetes.io/config.source": "file" }),
      pod("4", { "kubernetes.io/config.mirror": "hash" }),
    ],
    isActive: (uid) => uid !== "2",
    sandboxes: [
      sandbox("1", "SANDBOX_READY"),
      sandbox("1", "SANDBOX_READY"),
      sandbox("2", "SANDBOX_NOTREADY"),
    ],
    containers: [
      container("CONTAINER_RUNNING"),
      container("CONTAINER_RUNNING"),
      container("CONTAINER_EXITED"),
    ],
    process: { startedMs: 1_000_000, cpuSeconds: 2.5, residentBytes: 4096, openFiles: 7 },
  });
  expect(text.split("\n").filter((line) => line && !line.startsWith("#"))).toEqual([
    'kubelet_node_name{node="node-a"} 1',
    "kubelet_running_pods 1",
    'kubelet_running_containers{container_state="running"} 2',
    'kubelet_running_containers{container_state="exited"} 1',
    'kubelet_desired_pods{static=""} 2',
    'kubelet_desired_pods{static="true"} 1',
    'kubelet_active_pods{static=""} 1',
    'kubelet_active_pods{static="true"} 1',
    "kubelet_mirror_pods 1",
    "kubelet_managed_ephemeral_containers 0",
    "process_cpu_seconds_total 2.5",
    "process_resident_memory_bytes 4096",
    "process_open_fds 7",
    "process_start_time_seconds 1000",
  ]);
});
