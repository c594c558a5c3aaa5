/** Pods are resized while they run. https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/ */
import { expect } from "vitest";
import { type corev1, type Draft, pods } from "#api";
import { eventually } from "../../eventually.ts";
import { sleeper } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";

interface Size {
  requests?: Record<string, string>;
  limits?: Record<string, string>;
}

/** Containers by name, with what they have and what they get. */
type Plan = Record<string, { from: Size; to: Size; restarts?: boolean }>;

const size = (cpu: string, memory: string, cpuLimit = cpu, memoryLimit = memory): Size => ({
  requests: { cpu, memory },
  limits: { cpu: cpuLimit, memory: memoryLimit },
});

const milli = (cpu: string) => (cpu.endsWith("m") ? Number.parseInt(cpu, 10) : Number(cpu) * 1000);

/** The kernel's word on a container's limit, whichever version of cgroups the node has. */
async function cpuQuota(given: Given, container: string): Promise<number> {
  const script = "cat /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us";
  const text = await given.kubectl.ok([
    "exec",
    "-n",
    given.namespace,
    "resized",
    "-c",
    container,
    "--",
    "sh",
    "-c",
    script,
  ]);
  return Number(text.trim().split(/\s/)[0]?.replace("max", "-1"));
}

async function resizes(given: Given, plan: Plan, verb: "patch" | "replace" = "patch"): Promise<void> {
  const all = given.kube.resource(pods, given.namespace);
  const containers = Object.entries(plan).map(([name, { from, restarts }]): Draft<corev1.Container> => {
    const restartPolicy = restarts ? ("RestartContainer" as const) : ("NotRequired" as const);
    const resizePolicy = ["cpu", "memory"].map((resourceName) => ({ resourceName, restartPolicy }));
    return { ...sleeper(given.image), name, resources: from, resizePolicy };
  });
  await all.create({ metadata: { name: "resized" }, spec: { containers, terminationGracePeriodSeconds: 0 } });
  const running = await all.until(
    "resized",
    ({ status }) => status?.containerStatuses?.every(({ ready }) => ready) ?? false,
  );
  expect(running.status?.containerStatuses?.map(({ resources }) => resources)).toEqual(
    containers.map(({ resources }) => resources),
  );
  const wanted = Object.entries(plan).map(([name, { to }]) => ({ name, resources: to }));
  if (verb === "patch") await all.patch("resized", "strategic", { spec: { containers: wanted } }, "resize");
  else {
    const current = await all.get("resized");
    for (const container of current.spec.containers) container.resources = plan[container.name]!.to as never;
    await all.replace(current, "resize");
  }
  const done = await all.until("resized", ({ metadata, spec, status }) =>
    Boolean(
      status?.observedGeneration === metadata.generation &&
        !status?.conditions?.some(({ type }) => type === "PodResizeInProgress") &&
        spec.containers.every(({ name, resources }) => {
          const found = status?.containerStatuses?.find((each) => each.name === name);
          return (
            found?.ready && JSON.stringify(found.resources?.limits) === JSON.stringify(resources?.limits)
          );
        }),
    ),
  );
  for (const [name, { to, restarts }] of Object.entries(plan)) {
    const status = done.status?.containerStatuses?.find((each) => each.name === name);
    expect(status?.resources).toEqual(to);
    expect(status?.restartCount).toBe(restarts ? 1 : 0);
    if (to.limits?.cpu)
      await eventually(`the limit of ${name}`, async () =>
        (await cpuQuota(given, name)) === Math.max(1_000, milli(to.limits!.cpu!) * 100) ? true : undefined,
      );
  }
  expect(done.status?.conditions?.filter(({ type }) => type.startsWith("PodResize"))).toEqual([]);
  if (verb === "replace")
    expect((await all.get("resized", "resize")).spec).toEqual((await all.get("resized")).spec);
}

conformance("node-63f74e", "Six containers of a burstable pod, each in its way", (given) =>
  resizes(given, {
    c1: { from: size("10m", "20Mi", "20m", "30Mi"), to: size("20m", "30Mi", "30m", "40Mi") },
    c2: { from: size("20m", "30Mi", "30m", "40Mi"), to: size("10m", "30Mi", "20m", "40Mi") },
    c3: { from: size("10m", "20Mi", "20m", "30Mi"), to: size("10m", "20Mi", "40m", "50Mi") },
    c4: { from: size("10m", "20Mi", "20m", "30Mi"), to: size("10m", "20Mi", "20m", "30Mi") },
    c5: { from: size("10m", "20Mi", "20m", "30Mi"), to: size("20m", "20Mi", "20m", "30Mi") },
    c6: { from: size("10m", "20Mi", "20m", "30Mi"), to: size("15m", "25Mi", "30m", "40Mi"), restarts: true },
  }),
);

conformance(
  "node-6d4213",
  "Amounts that the kernel takes for the same are told as they were written",
  (given) =>
    resizes(given, { c1: { from: size("2m", "20Mi", "10m", "30Mi"), to: size("1m", "20Mi", "5m", "30Mi") } }),
);

conformance("node-c6add0", "Three containers of a guaranteed pod grow together", (given) =>
  resizes(given, {
    c1: { from: size("10m", "20Mi"), to: size("20m", "30Mi") },
    c2: { from: size("20m", "30Mi"), to: size("15m", "30Mi") },
    c3: { from: size("10m", "20Mi"), to: size("30m", "40Mi") },
  }),
);

conformance("node-c34889", "Three containers of a guaranteed pod shrink together", (given) =>
  resizes(given, {
    c1: { from: size("30m", "30Mi"), to: size("10m", "30Mi") },
    c2: { from: size("20m", "30Mi"), to: size("25m", "30Mi") },
    c3: { from: size("40m", "40Mi"), to: size("20m", "40Mi") },
  }),
);

conformance("node-0e2fab", "Three containers of a guaranteed pod, some with a restart", (given) =>
  resizes(given, {
    c1: { from: size("10m", "20Mi"), to: size("20m", "30Mi"), restarts: true },
    c2: { from: size("20m", "30Mi"), to: size("10m", "30Mi") },
    c3: { from: size("10m", "20Mi"), to: size("10m", "30Mi") },
  }),
);

conformance("node-4bb4ab", "A pod is resized by replacing it", (given) =>
  resizes(given, { c1: { from: size("10m", "20Mi"), to: size("20m", "30Mi") } }, "replace"),
);
