import { expect, test } from "vitest";
import { Metrics, VirtualClock } from "#base";
import { type ContainerRuntime, RuntimeError } from "#contracts";
import type { Cgroups } from "./cgroups.ts";
import { meteredCgroups, meteredRuntime } from "./metered-runtime.ts";
import { kubeletMetrics } from "./metrics.ts";

test("calls are counted by upstream's names, timed, and answered as they are", async () => {
  const clock = new VirtualClock();
  const registry = new Metrics();
  const runtime = {
    listContainers: async (labels: object) => [labels],
    runPodSandbox: async () => {
      throw new RuntimeError("INTERNAL", "no room");
    },
    mountImage: async () => "not counted",
  } as unknown as ContainerRuntime;
  const metered = meteredRuntime(runtime, kubeletMetrics(registry), clock);
  expect(await metered.listContainers({ a: "b" })).toEqual([{ a: "b" }]);
  expect(await metered.mountImage("web", "/target")).toBe("not counted");
  await expect(metered.runPodSandbox({} as never, "crun")).rejects.toThrow("no room");
  const text = await registry.text();
  for (const line of [
    'kubelet_runtime_operations_total{operation_type="list_containers"} 1',
    'kubelet_runtime_operations_duration_seconds_count{operation_type="list_containers"} 1',
    'kubelet_runtime_operations_errors_total{operation_type="run_podsandbox"} 1',
    'kubelet_run_podsandbox_errors_total{runtime_handler="crun"} 1',
    "kubelet_started_pods_total 1",
    "kubelet_started_pods_errors_total 1",
  ])
    expect(text).toContain(line);
  expect(text).not.toContain("mount_image");
});

test("cgroups that are made and removed are timed", async () => {
  const registry = new Metrics();
  const cgroups = { ensure: async () => {}, remove: async () => true } as unknown as Cgroups;
  const metered = meteredCgroups(cgroups, kubeletMetrics(registry), new VirtualClock());
  await metered.ensure("/pods/1", {} as never);
  expect(await metered.remove("/pods/1")).toBe(true);
  const text = await registry.text();
  for (const operation of ["create", "destroy"])
    expect(text).toContain(`kubelet_cgroup_manager_duration_seconds_count{operation_type="${operation}"} 1`);
});
