import { expect, test } from "vitest";
import type { Container, ContainerRuntime, ContainerStatus, PodSandbox, PodSandboxStatus } from "#contracts";
import { containerNameLabel, podUidLabel } from "./labels.ts";
import { killedContainerOf, systemVictimOf } from "./oom-log.ts";
import { stateReader } from "./pod-state.ts";

/** A runtime with pods of one container each; counts what it is asked. */
function fixture() {
  const boxes = new Map<string, PodSandbox>();
  const containers = new Map<string, Container>();
  const asked: string[] = [];
  const of = <T extends { labels: Record<string, string> }>(all: Iterable<T>, labels = {}) =>
    [...all].filter((each) => Object.entries(labels).every(([name, value]) => each.labels[name] === value));
  const runtime = {
    listPodSandboxes: async (labels?: Record<string, string>) => of(boxes.values(), labels),
    listContainers: async (labels?: Record<string, string>) => of(containers.values(), labels),
    podSandboxStatus: async (id: string) => {
      asked.push(id);
      return { ...boxes.get(id)! } as unknown as PodSandboxStatus;
    },
    containerStatus: async (id: string) =>
      ({ ...containers.get(id)!, annotations: {} }) as unknown as ContainerStatus,
  } as unknown as ContainerRuntime;
  const addSandbox = (uid: string) =>
    boxes.set(`${uid}-box`, {
      id: `${uid}-box`,
      metadata: { name: uid, uid, namespace: "default", attempt: 0 },
      state: "SANDBOX_READY",
      createdAt: 1,
      labels: { [podUidLabel]: uid },
      annotations: {},
    } as unknown as PodSandbox);
  const killed = new Set<string>();
  const addContainer = (uid: string, state: Container["state"], more: Partial<ContainerStatus> = {}) =>
    containers.set(`${uid}-c`, {
      id: `${uid}-c`,
      podSandboxId: `${uid}-box`,
      metadata: { name: "c", attempt: 0 },
      state,
      createdAt: 2,
      labels: { [podUidLabel]: uid, [containerNameLabel]: "c" },
      annotations: {},
      ...more,
    } as unknown as Container);
  return {
    reader: stateReader(runtime, (id) => killed.has(id)),
    killed,
    boxes,
    asked,
    addSandbox,
    addContainer,
  };
}

test("a pod that was read as it is listed is no news, and every change of it is", async () => {
  const { reader, addSandbox, addContainer } = fixture();
  const listed = async () => (await reader.relist()).get("u")!;
  addSandbox("u");
  expect(reader.isRead(await listed())).toBe(false);
  await reader.read("u");
  expect(reader.isRead(await listed())).toBe(true);
  for (const state of ["CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED"] as const) {
    addContainer("u", state);
    expect(reader.isRead(await listed())).toBe(false);
    await reader.read("u");
    expect(reader.isRead(await listed())).toBe(true);
  }
});

test("what others look at is still news for the pod's worker", async () => {
  const { reader, addSandbox, addContainer } = fixture();
  addSandbox("u");
  await reader.read("u");
  addContainer("u", "CONTAINER_EXITED");
  expect((await reader.look("u")).containers).toMatchObject([{ state: "CONTAINER_EXITED" }]);
  expect(reader.isRead((await reader.relist()).get("u")!)).toBe(false);
});

test("the first sandbox of a pod is asked for once, and nothing is listed for it", async () => {
  const { reader, asked, addSandbox } = fixture();
  addSandbox("u");
  const state = await reader.readNew("u", "u-box");
  expect(state).toMatchObject({ uid: "u", sandboxes: [{ id: "u-box" }], containers: [] });
  expect(reader.isRead((await reader.relist()).get("u")!)).toBe(true);
  expect((await reader.read("u")).sandboxes).toEqual(state.sandboxes);
  expect(asked).toEqual(["u-box"]);
});

test("a pod of which nothing is left is forgotten", async () => {
  const { reader, boxes, addSandbox } = fixture();
  addSandbox("u");
  await reader.read("u");
  const before = (await reader.relist()).get("u")!;
  boxes.clear();
  await reader.relist();
  expect(reader.isRead(before)).toBe(false);
});

test("whom the kernel has killed for want of memory is known from its log, whatever the runtime has heard", async () => {
  const { reader, killed, addSandbox, addContainer } = fixture();
  const ended = async (uid: string, exitCode: number) => {
    addSandbox(uid);
    addContainer(uid, "CONTAINER_EXITED", { exitCode, reason: "Error" });
    return (await reader.read(uid)).containers.map(({ reason }) => reason);
  };
  killed.add("a-c").add("b-c");
  expect(await ended("a", 137)).toEqual(["OOMKilled"]);
  // A child of it was killed, and it ended as it liked.
  expect(await ended("b", 1)).toEqual(["Error"]);
  expect(await ended("c", 137)).toEqual(["Error"]);
});

test("a record of the kernel's log names the container, under cgroups of any driver", () => {
  const id = "b12f4b0e72e01abf754cbb63bf52f55ecbb0727e95d26e44b1cbe91cd4af40f3";
  const record = (group: string) =>
    `6,2101,55782340370,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/k/pod1,task_memcg=${group},task=dd,pid=1,uid=0\n`;
  expect(killedContainerOf(record(`/k/burstable/pod1/${id}`))).toBe(id);
  expect(killedContainerOf(record(`/k.slice/k-pod1.slice/cri-containerd-${id}.scope`))).toBe(id);
  expect(killedContainerOf(record("/k/pod1"))).toBeUndefined();
  expect(killedContainerOf(`4,1,1,-;dd invoked oom-killer: task_memcg=/k/${id},`)).toBeUndefined();
});

test("what the kernel kills of the machine's own is told apart from containers, and from what was before", () => {
  const record = (group: string) =>
    `6,1234,5000000,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=${group},task=node, v=1,pid=77,uid=0`;
  expect(systemVictimOf(record("/"), 4_000_000)).toEqual({ process: "node, v=1", pid: 77 });
  expect(systemVictimOf(record("/"), 6_000_000)).toBeUndefined();
  expect(systemVictimOf(record("/kubepods/podx/abc"), 0)).toBeUndefined();
  expect(systemVictimOf("6,1,5000000,-;something else", 0)).toBeUndefined();
});
