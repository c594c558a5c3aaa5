import fc from "fast-check";
import { expect, test } from "vitest";
import { type corev1, jobs, pods } from "#api";
import { jobDraft, type TestWorld, testWorld } from "../kit/world.fixture.ts";
import { formatIndexes, parseIndexes } from "./indexes.ts";

const ref = { namespace: "default", name: "once" };

async function end(world: TestWorld, pod: corev1.Pod, phase: "Succeeded" | "Failed"): Promise<void> {
  const finishedAt = new Date(world.clock.now()).toISOString();
  const terminated = { exitCode: phase === "Failed" ? 1 : 0, finishedAt };
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

test("indexes survive being written down", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(60)), (indexes) => {
      expect([...parseIndexes(formatIndexes(indexes))]).toEqual([...indexes].sort((a, b) => a - b));
    }),
  );
  expect(formatIndexes([0, 2, 3, 4, 7, 8])).toBe("0,2-4,7,8");
});
