/** CronJob: whether a Job may start while an earlier one runs, and that none does while suspended. */
import { expect } from "vitest";
import { type batchv1, cronJobs, jobs } from "#api";
import { eventually, never } from "../../eventually.ts";
import { podSpec } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import { isOwnedBy } from "./workloads.ts";

const minutes = (count: number) => count * 60_000;
/** Three starts, however the minute stands. */
const patienceMs = minutes(4);
const timeoutMs = minutes(7);

function createEveryMinute(
  { kube, namespace, image }: Given,
  spec: Partial<batchv1.CronJobSpec>,
): Promise<batchv1.CronJob> {
  const template = { spec: podSpec(image, { restartPolicy: "OnFailure" }) };
  return kube.resource(cronJobs, namespace).create({
    metadata: { name: "every-minute" },
    spec: {
      schedule: "*/1 * * * ?",
      ...spec,
      jobTemplate: { spec: { parallelism: 1, completions: 1, template } },
    },
  });
}

async function jobsOf({ kube, namespace }: Given, owner: batchv1.CronJob): Promise<batchv1.Job[]> {
  const { items } = await kube.resource(jobs, namespace).list();
  return items.filter((job) => isOwnedBy(job, owner));
}

function untilActive({ kube, namespace }: Given, count: number): Promise<batchv1.CronJob> {
  return kube
    .resource(cronJobs, namespace)
    .until("every-minute", ({ status }) => (status?.active?.length ?? 0) >= count, patienceMs);
}

conformance(
  "apps-2dde53",
  "A CronJob with policy Allow runs several Jobs at a time",
  async (given) => {
    const cronJob = await createEveryMinute(given, { concurrencyPolicy: "Allow" });
    await untilActive(given, 2);
    const unfinished = (await jobsOf(given, cronJob)).filter(({ status }) => !status?.completionTime);
    expect(unfinished.length).toBeGreaterThanOrEqual(2);
  },
  { timeoutMs },
);

conformance(
  "apps-10291d",
  "A CronJob with policy Forbid starts none while one runs",
  async (given) => {
    const cronJob = await createEveryMinute(given, { concurrencyPolicy: "Forbid" });
    const { status } = await untilActive(given, 1);
    expect(status?.active).toHaveLength(1);
    const [first] = await jobsOf(given, cronJob);
    const another = async () => ((await jobsOf(given, cronJob)).length > 1 ? true : undefined);
    await never("a second Job", another, minutes(1.25));
    const active = (await given.kube.resource(cronJobs, given.namespace).get("every-minute")).status?.active;
    expect(active?.map(({ name }) => name)).toEqual([first?.metadata.name]);
  },
  { timeoutMs },
);

conformance(
  "apps-e93aa6",
  "A CronJob with policy Replace ends the running Job for the next",
  async (given) => {
    const cronJob = await createEveryMinute(given, { concurrencyPolicy: "Replace" });
    const { status } = await untilActive(given, 1);
    const first = status?.active?.[0]?.name;
    const replaced = async () => {
      const all = await jobsOf(given, cronJob);
      return all.length === 1 && all[0]?.metadata.name !== first ? all[0] : undefined;
    };
    const second = await eventually("another Job instead of the first", replaced, patienceMs);
    await given.kube
      .resource(cronJobs, given.namespace)
      .until("every-minute", (each) => each.status?.active?.[0]?.name === second.metadata.name);
  },
  { timeoutMs },
);

conformance(
  "apps-0ecff7",
  "A suspended CronJob starts nothing",
  async (given) => {
    const cronJob = await createEveryMinute(given, { suspend: true });
    const started = async () => ((await jobsOf(given, cronJob)).length > 0 ? true : undefined);
    await never("a Job", started, minutes(1.25));
    const { status } = await given.kube.resource(cronJobs, given.namespace).get("every-minute");
    expect(status?.active ?? []).toEqual([]);
  },
  { timeoutMs },
);
