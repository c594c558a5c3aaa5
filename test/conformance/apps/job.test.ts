/** Job: pods run to completion, by index too, and what their failures come to. */
import { expect } from "vitest";
import { type batchv1, type corev1, type Draft, jobs, pods } from "#api";
import { eventually } from "../../eventually.ts";
import { podSpec, sleeper } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import { isActive, isOwnedBy, podsOf, trueCondition, untilPods, workerNodes } from "./workloads.ts";

const indexAnnotation = "batch.kubernetes.io/job-completion-index";
const ownIndex = "$JOB_COMPLETION_INDEX";

interface JobParts extends Omit<Draft<batchv1.JobSpec>, "template"> {
  /** What the only container does; it waits without. */
  script?: string;
  pod?: Draft<corev1.PodSpec>;
}

function createJob(
  { kube, namespace, image }: Given,
  { script, pod, ...spec }: JobParts,
): Promise<batchv1.Job> {
  const container = script ? sleeper(image, { command: ["sh", "-c", script] }) : sleeper(image);
  const template: Draft<corev1.PodTemplateSpec> = {
    spec: podSpec(image, { restartPolicy: "Never", containers: [container], ...pod }),
  };
  return kube.resource(jobs, namespace).create({ metadata: { name: "sample" }, spec: { ...spec, template } });
}

function untilJob({ kube, namespace }: Given, condition: "Complete" | "Failed"): Promise<batchv1.Job> {
  return kube
    .resource(jobs, namespace)
    .until("sample", (job) => trueCondition(job, condition) !== undefined, 120_000);
}

async function indexesOf({ kube }: Given, job: batchv1.Job): Promise<number[]> {
  const all = await podsOf(kube, job);
  return all.map(({ metadata }) => Number(metadata.annotations?.[indexAnnotation])).sort((a, b) => a - b);
}

conformance(
  "apps-98cc1b",
  "A Job completes whose containers fail once and are started again",
  async (given) => {
    const container = {
      ...sleeper(given.image),
      command: ["sh", "-c", "if [ -f /data/once ]; then exit 0; fi; touch /data/once; exit 1"],
      volumeMounts: [{ name: "data", mountPath: "/data" }],
    };
    const pod: JobParts["pod"] = {
      restartPolicy: "OnFailure",
      containers: [container],
      volumes: [{ name: "data", emptyDir: {} }],
    };
    const job = await createJob(given, { parallelism: 2, completions: 4, pod });
    const { status } = await untilJob(given, "Complete");
    expect(status?.succeeded).toBe(4);
    const all = await podsOf(given.kube, job);
    expect(all.map((each) => each.status?.containerStatuses?.[0]?.restartCount)).toEqual([1, 1, 1, 1]);
  },
);

conformance(
  "apps-9de0af",
  "Each pod of an Indexed Job knows its index and bears it in its host name",
  async (given) => {
    const script = `test "$(hostname)" = "sample-${ownIndex}"`;
    const job = await createJob(given, {
      parallelism: 2,
      completions: 4,
      completionMode: "Indexed",
      script,
    });
    const { status } = await untilJob(given, "Complete");
    expect(status).toMatchObject({ succeeded: 4, completedIndexes: "0-3" });
    expect(await indexesOf(given, job)).toEqual([0, 1, 2, 3]);
    for (const { metadata, spec } of await podsOf(given.kube, job)) {
      const index = metadata.annotations?.[indexAnnotation];
      expect(spec.hostname).toBe(`sample-${index}`);
      expect(metadata.name.startsWith(`sample-${index}-`)).toBe(true);
      expect(metadata.labels?.[indexAnnotation]).toBe(index);
    }
  },
);

conformance("apps-74a0d7", "A Job that is deleted takes its running pods along", async (given) => {
  const { kube, namespace } = given;
  const job = await createJob(given, { parallelism: 2, completions: 4 });
  const all = kube.resource(jobs, namespace);
  await all.until("sample", ({ status }) => status?.active === 2);
  expect((await podsOf(kube, job)).filter(isActive)).toHaveLength(2);
  await all.delete("sample", { propagationPolicy: "Foreground" });
  await all.untilGone("sample");
  expect(await podsOf(kube, job)).toEqual([]);
});

conformance(
  "apps-247472",
  "A Job takes back an orphan that matches and lets go of a pod that does not",
  async (given) => {
    const { kube, namespace } = given;
    const job = await createJob(given, { parallelism: 2, completions: 4 });
    const [orphan] = await untilPods(kube, job, "two pods", (own) => own.filter(isActive).length === 2);
    const { name } = orphan!.metadata;
    const all = kube.resource(pods, namespace);
    await all.update(name, ({ metadata }) => {
      metadata.ownerReferences = [];
    });
    await all.until(name, (pod) => isOwnedBy(pod, job));
    await all.update(name, ({ metadata }) => {
      metadata.labels = {};
    });
    await all.until(name, (pod) => !isOwnedBy(pod, job));
  },
);

conformance(
  "apps-312bc4",
  "An exit code that the pod failure policy names fails the Job at once",
  async (given) => {
    const job = await createJob(given, {
      parallelism: 2,
      completions: 2,
      completionMode: "Indexed",
      backoffLimit: 2,
      podFailurePolicy: {
        rules: [{ action: "FailJob", onExitCodes: { containerName: "main", operator: "In", values: [3] } }],
      },
      script: `if [ ${ownIndex} = 0 ]; then exit 3; fi; sleep 3600 & trap 'exit 0' TERM; wait`,
    });
    const failed = await untilJob(given, "Failed");
    expect(trueCondition(failed, "Failed")?.reason).toBe("PodFailurePolicy");
    expect(failed.status?.failed).toBeGreaterThanOrEqual(1);
    expect((await podsOf(given.kube, job)).filter(isActive)).toEqual([]);
  },
);

/** Each index leaves a mark on the node, waits to be evicted, and succeeds where it finds the mark. */
async function markedBeforeEviction(given: Given): Promise<JobParts> {
  const [node] = await workerNodes(given.kube);
  const folder = `/tmp/${given.unique("evicted")}`;
  const script = [
    `mark=/data/${ownIndex}`,
    "if [ -f $mark ]; then exit 0; fi",
    "touch $mark; sleep 3600 & trap 'exit 1' TERM; wait",
  ].join("; ");
  const container = {
    ...sleeper(given.image),
    command: ["sh", "-c", script],
    volumeMounts: [{ name: "data", mountPath: "/data" }],
  };
  const nodeSelector = { "kubernetes.io/hostname": node?.metadata.labels?.["kubernetes.io/hostname"] ?? "" };
  const volumes = [{ name: "data", hostPath: { path: folder, type: "DirectoryOrCreate" as const } }];
  return { pod: { nodeSelector, containers: [container], volumes } };
}

conformance(
  "apps-dd39a9",
  "Evictions do not count where the pod failure policy ignores the disruption of pods",
  async (given) => {
    const { kube, namespace } = given;
    const job = await createJob(given, {
      parallelism: 2,
      completions: 2,
      completionMode: "Indexed",
      backoffLimit: 0,
      podFailurePolicy: {
        rules: [
          { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
          { action: "FailJob", onExitCodes: { operator: "NotIn", values: [0] } },
        ],
      },
      ...(await markedBeforeEviction(given)),
    });
    const isRunning = (pod: corev1.Pod) => pod.status?.phase === "Running";
    const running = await untilPods(
      kube,
      job,
      "two running pods",
      (own) => own.every(isRunning) && own.length === 2,
    );
    const all = kube.resource(pods, namespace);
    for (const { metadata } of running) {
      await given.kubectl.ok([
        "exec",
        "-n",
        namespace,
        metadata.name,
        "--",
        "sh",
        "-c",
        `until [ -f /data/${metadata.annotations?.[indexAnnotation]} ]; do :; done`,
      ]);
      const eviction = {
        apiVersion: "policy/v1",
        kind: "Eviction",
        metadata: { name: metadata.name, namespace },
      };
      await kube.ask("POST", all.path(metadata.name, "eviction"), { body: eviction });
    }
    const { status } = await untilJob(given, "Complete");
    expect(status).toMatchObject({ succeeded: 2, completedIndexes: "0,1" });
    expect(status?.failed ?? 0).toBe(0);
  },
);

const oddFails = `exit $(( ${ownIndex} % 2 ))`;

conformance(
  "apps-ebd7f4",
  "With backoffLimitPerIndex every index is tried, though some fail",
  async (given) => {
    await createJob(given, {
      parallelism: 2,
      completions: 4,
      completionMode: "Indexed",
      backoffLimitPerIndex: 1,
      script: oddFails,
    });
    const failed = await untilJob(given, "Failed");
    expect(trueCondition(failed, "Failed")?.reason).toBe("FailedIndexes");
    expect(failed.status).toMatchObject({
      succeeded: 2,
      failed: 4,
      completedIndexes: "0,2",
      failedIndexes: "1,3",
    });
  },
);

conformance("apps-0debfd", "More failed indexes than maxFailedIndexes end the Job", async (given) => {
  const job = await createJob(given, {
    parallelism: 10,
    completions: 10,
    completionMode: "Indexed",
    backoffLimitPerIndex: 0,
    maxFailedIndexes: 4,
    script: `if [ ${ownIndex} -lt 5 ]; then exit 1; fi; sleep 3600 & trap 'exit 0' TERM; wait`,
  });
  const failed = await untilJob(given, "Failed");
  expect(trueCondition(failed, "Failed")?.reason).toBe("MaxFailedIndexesExceeded");
  expect(failed.status?.failedIndexes).toMatch(/^0-4/);
  expect(failed.status?.completedIndexes ?? "").toBe("");
  expect((await podsOf(given.kube, job)).filter(isActive)).toEqual([]);
});

conformance("apps-0ebb51", "The action FailIndex gives up an index without another try", async (given) => {
  await createJob(given, {
    parallelism: 2,
    completions: 4,
    completionMode: "Indexed",
    backoffLimitPerIndex: 1,
    podFailurePolicy: {
      rules: [{ action: "FailIndex", onExitCodes: { containerName: "main", operator: "In", values: [1] } }],
    },
    script: oddFails,
  });
  const failed = await untilJob(given, "Failed");
  expect(trueCondition(failed, "Failed")?.reason).toBe("FailedIndexes");
  expect(failed.status).toMatchObject({
    succeeded: 2,
    failed: 2,
    completedIndexes: "0,2",
    failedIndexes: "1,3",
  });
});

/** The success policy has been met, and nothing of the Job runs any more. */
async function expectSuccessByPolicy(given: Given, completedIndexes: string): Promise<void> {
  const { status } = await untilJob(given, "Complete");
  for (const type of ["SuccessCriteriaMet", "Complete"])
    expect(trueCondition({ status: status! }, type)?.reason).toBe("SuccessPolicy");
  expect(status?.completedIndexes).toBe(completedIndexes);
  expect(status?.active ?? 0).toBe(0);
}

const firstSucceeds = `if [ ${ownIndex} = 0 ]; then exit 0; fi; sleep 3600 & trap 'exit 1' TERM; wait`;

conformance("apps-457ae6", "A success policy is met when all indexes have succeeded", async (given) => {
  await createJob(given, {
    parallelism: 2,
    completions: 2,
    completionMode: "Indexed",
    successPolicy: { rules: [{ succeededIndexes: "0-1" }] },
    script: "exit 0",
  });
  await expectSuccessByPolicy(given, "0,1");
});

conformance(
  "apps-c315b2",
  "A success policy is met by the indexes it names while others run",
  async (given) => {
    const job = await createJob(given, {
      parallelism: 2,
      completions: 5,
      completionMode: "Indexed",
      successPolicy: { rules: [{ succeededIndexes: "0" }] },
      script: firstSucceeds,
    });
    await expectSuccessByPolicy(given, "0");
    await eventually("the end of the others", async () =>
      (await podsOf(given.kube, job)).some(isActive) ? undefined : true,
    );
  },
);

conformance(
  "apps-bcf6b9",
  "A success policy is met by a number of indexes while others run",
  async (given) => {
    await createJob(given, {
      parallelism: 2,
      completions: 5,
      completionMode: "Indexed",
      successPolicy: { rules: [{ succeededCount: 1 }] },
      script: firstSucceeds,
    });
    await expectSuccessByPolicy(given, "0");
  },
);
