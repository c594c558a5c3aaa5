import fc from "fast-check";
import { expect, test } from "vitest";
import { type batchv1, type corev1, jobs, pods } from "#api";
import { jobDraft, type TestWorld, testWorld } from "../kit/world.fixture.ts";
import { formatIndexes, parseIndexes } from "./indexes.ts";

const ref = { namespace: "default", name: "once" };

async function end(
  world: TestWorld,
  pod: corev1.Pod,
  phase: "Succeeded" | "Failed",
  code = phase === "Failed" ? 1 : 0,
): Promise<void> {
  const finishedAt = new Date(world.clock.now()).toISOString();
  const terminated = { exitCode: code, finishedAt };
  const status = { phase, containerStatuses: [{ name: "c", restartCount: 0, state: { terminated } }] };
  await world.client.patch(pods, pod.metadata, "merge", { status }, { subresource: "status" });
}

const active = async (world: TestWorld) =>
  (await world.podsOf()).filter((pod) => !["Succeeded", "Failed"].includes(pod.status?.phase ?? ""));

async function start(spec: Parameters<typeof jobDraft>[0]) {
  const world = testWorld();
  await world.create(jobs, jobDraft(spec));
  const running = await world.run("job-controller", "ttl-after-finished-controller");
  await world.clock.advance(100);
  const job = () => world.client.get(jobs, ref);
  return { world, running, job };
}

test("a Job completes, counts each pod once and lets its pods go", async () => {
  const { world, running, job } = await start({ completions: 3, parallelism: 2 });
  for (let i = 0; i < 3; i++) {
    const open = await active(world);
    expect(open.length).toBeLessThanOrEqual(2);
    for (const pod of open) await end(world, pod, "Succeeded");
    await world.clock.advance(100);
  }
  const { status } = await job();
  expect(status).toMatchObject({ succeeded: 3, active: 0, uncountedTerminatedPods: {} });
  expect(status.completionTime).toBeDefined();
  expect(status.conditions?.map((c) => `${c.type}=${c.status} ${c.reason}`)).toEqual([
    "SuccessCriteriaMet=True CompletionsReached",
    "Complete=True CompletionsReached",
  ]);
  for (const pod of await world.podsOf()) expect(pod.metadata.finalizers).toEqual([]);
  const told = (await world.metrics()).split("\n");
  const mode = 'completion_mode="NonIndexed"';
  expect(told).toContain(`job_controller_job_pods_finished_total{${mode},result="succeeded"} 3`);
  expect(told).toContain(`job_controller_jobs_finished_total{${mode},result="succeeded",reason=""} 1`);
  expect(
    told.some((line) => line.startsWith(`job_controller_job_syncs_total{${mode},result="success"`)),
  ).toBe(true);
  await running.stop();
});

test("failures wait longer each time, and beyond the limit the Job fails", async () => {
  const { world, running, job } = await start({ backoffLimit: 1 });
  for (const pod of await active(world)) await end(world, pod, "Failed");
  await world.clock.advance(5_000);
  expect(await active(world)).toHaveLength(0);
  await world.clock.advance(6_000);
  const [second] = await active(world);
  await end(world, second!, "Failed");
  await world.clock.advance(100);
  const { status } = await job();
  expect(status.failed).toBe(2);
  expect(status.conditions).toContainEqual(
    expect.objectContaining({
      type: "Failed",
      reason: "BackoffLimitExceeded",
      message: "Job has reached the specified backoff limit",
    }),
  );
  await world.clock.advance(600_000);
  expect(await active(world)).toHaveLength(0);
  await running.stop();
});

test("an Indexed Job gives every index its pod, and repeats only what failed", async () => {
  const { world, running, job } = await start({ completions: 3, parallelism: 3, completionMode: "Indexed" });
  const index = (pod: corev1.Pod) => pod.metadata.annotations?.["batch.kubernetes.io/job-completion-index"];
  const first = await active(world);
  expect(first.map(index).sort()).toEqual(["0", "1", "2"]);
  expect(first[0]!.spec.hostname).toMatch(/^once-\d$/);
  expect(first[0]!.spec.containers[0]!.env?.[0]?.name).toBe("JOB_COMPLETION_INDEX");
  for (const pod of first) await end(world, pod, index(pod) === "1" ? "Failed" : "Succeeded");
  await world.clock.advance(100);
  expect((await job()).status.completedIndexes).toBe("0,2");
  await world.clock.advance(11_000);
  const again = await active(world);
  expect(again.map(index)).toEqual(["1"]);
  await end(world, again[0]!, "Succeeded");
  await world.clock.advance(100);
  expect((await job()).status).toMatchObject({ completedIndexes: "0-2", succeeded: 3, failed: 1 });
  await running.stop();
});

test("suspending removes the pods without counting them; resuming makes new ones", async () => {
  const { world, running, job } = await start({ parallelism: 2, completions: 4 });
  await world.startPods();
  await world.client.patch(jobs, ref, "merge", { spec: { suspend: true } });
  for (let i = 0; i < 3; i++) {
    await world.clock.advance(100);
    await world.finishDeletions();
  }
  await world.clock.advance(100);
  expect(await world.podsOf()).toHaveLength(0);
  expect((await job()).status).toMatchObject({ active: 0 });
  expect((await job()).status.failed).toBeUndefined();
  expect((await job()).status.startTime).toBeUndefined();
  await world.client.patch(jobs, ref, "merge", { spec: { suspend: false } });
  await world.clock.advance(100);
  expect(await active(world)).toHaveLength(2);
  await running.stop();
});

test("past its deadline a Job waits in peace for pods that take their time to end", async () => {
  const { world, running, job } = await start({ activeDeadlineSeconds: 30 });
  await world.startPods();
  await world.clock.advance(40_000);
  expect((await job()).status.conditions?.map((c) => c.type)).toEqual(["FailureTarget"]);
  await world.clock.advance(600_000);
  const before = world.api.writes.length;
  await world.clock.advance(600_000);
  expect(world.api.writes.length).toBe(before);
  await world.finishDeletions();
  await world.clock.advance(100);
  expect((await job()).status.conditions?.map((c) => c.type)).toEqual(["FailureTarget", "Failed"]);
  await running.stop();
});

test("pods that outlive their Job are let go; those of a living one are not", async () => {
  const { world, running, job } = await start({ completions: 2, parallelism: 2 });
  const letting = await world.run("job-orphan-pod-controller");
  await world.startPods();
  await world.clock.advance(1_000);
  const finalizers = async () => (await world.podsOf()).map((pod) => pod.metadata.finalizers?.length ?? 0);
  expect(await finalizers()).toEqual([1, 1]);
  await world.client.delete(jobs, (await job()).metadata);
  await world.clock.advance(1_000);
  expect(await finalizers()).toEqual([0, 0]);
  await letting.stop();
  await running.stop();
});

test("a Job past its deadline fails and takes its pods with it; its time to live removes it", async () => {
  const { world, running, job } = await start({ activeDeadlineSeconds: 30, ttlSecondsAfterFinished: 100 });
  await world.clock.advance(31_000);
  await world.finishDeletions();
  await world.clock.advance(100);
  expect((await job()).status.conditions).toContainEqual(
    expect.objectContaining({ type: "Failed", reason: "DeadlineExceeded" }),
  );
  await world.clock.advance(101_000);
  const gone = await job().catch((error: Error) => error);
  expect(gone instanceof Error || gone.metadata.deletionTimestamp).toBeTruthy();
  await running.stop();
});

const indexOf = (pod: corev1.Pod) => pod.metadata.annotations?.["batch.kubernetes.io/job-completion-index"];
const told = (job: batchv1.Job) => job.status.conditions?.map((c) => `${c.type} ${c.reason}`);

test("a pod failure policy fails the Job at once, or lets failures pass", async () => {
  const rules: batchv1.PodFailurePolicyRule[] = [
    { action: "FailJob", onExitCodes: { containerName: "c", operator: "In", values: [42] } },
    { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget" }] },
  ];
  const { world, running, job } = await start({
    backoffLimit: 0,
    podFailurePolicy: { rules },
    podReplacementPolicy: "Failed",
  });
  const [first] = await active(world);
  const status = { conditions: [{ type: "DisruptionTarget", status: "True" }] };
  await world.client.patch(pods, first!.metadata, "merge", { status }, { subresource: "status" });
  await end(world, first!, "Failed");
  await world.clock.advance(11_000);
  expect((await job()).status.failed).toBeUndefined();
  const [second] = await active(world);
  await end(world, second!, "Failed", 42);
  await world.clock.advance(1_000);
  const ended = await job();
  expect(told(ended)).toEqual(["FailureTarget PodFailurePolicy", "Failed PodFailurePolicy"]);
  expect(ended.status.conditions?.[0]?.message).toBe(
    `Container c for pod default/${second!.metadata.name} failed with exit code 42 matching FailJob rule at index 0`,
  );
  await running.stop();
});

test("failures counted by index: one index is given up, the others go on, and the Job tells", async () => {
  const { world, running, job } = await start({
    completions: 2,
    parallelism: 2,
    completionMode: "Indexed",
    backoffLimit: 2 ** 31 - 1,
    backoffLimitPerIndex: 1,
  });
  for (let round = 0; round < 2; round++) {
    const open = await active(world);
    const bad = open.find((pod) => indexOf(pod) === "0")!;
    expect(bad.metadata.annotations?.["batch.kubernetes.io/job-index-failure-count"]).toBe(String(round));
    await end(world, bad, "Failed");
    await world.clock.advance(21_000);
  }
  expect((await job()).status).toMatchObject({ failedIndexes: "0", failed: 2, active: 1 });
  const [good] = await active(world);
  await end(world, good!, "Succeeded");
  await world.clock.advance(1_000);
  const ended = await job();
  expect(told(ended)).toEqual(["FailureTarget FailedIndexes", "Failed FailedIndexes"]);
  expect(ended.status).toMatchObject({ succeeded: 1, completedIndexes: "1" });
  for (const pod of await world.podsOf()) expect(pod.metadata.finalizers).toEqual([]);
  await running.stop();
});

test("a success policy ends the Job when enough has succeeded", async () => {
  const { world, running, job } = await start({
    completions: 3,
    parallelism: 3,
    completionMode: "Indexed",
    successPolicy: { rules: [{ succeededIndexes: "1-2", succeededCount: 1 }] },
  });
  await world.startPods();
  const leader = (await active(world)).find((pod) => indexOf(pod) === "2")!;
  await end(world, leader, "Succeeded");
  for (let i = 0; i < 3; i++) {
    await world.clock.advance(200);
    await world.finishDeletions();
  }
  await world.clock.advance(200);
  expect(told(await job())).toEqual(["SuccessCriteriaMet SuccessPolicy", "Complete SuccessPolicy"]);
  expect(await active(world)).toHaveLength(0);
  await running.stop();
});

test("indexes survive being written down", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(60)), (indexes) => {
      expect([...parseIndexes(formatIndexes(indexes))]).toEqual([...indexes].sort((a, b) => a - b));
    }),
  );
  expect(formatIndexes([0, 2, 3, 4, 7, 8])).toBe("0,2-4,7,8");
});
