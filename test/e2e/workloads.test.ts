/** Deployments, Jobs, Services and scheduling, where they go wrong as much as where they go well. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { appsv1, batchv1, corev1 } from "#api";
import { eventually, get, needsRecentKubectl, newestKubectl, nodeAddress } from "./harness.ts";

const kubectl = newestKubectl();
const namespace = "workloads";
const k = (...args: string[]) => kubectl.ok(["-n", namespace, ...args]);
const apply = (yaml: string) => kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input: yaml });
const object = <T>(...args: string[]) => kubectl.json<T>(["-n", namespace, "get", ...args]);

const shell = (script: string) => `image: "busybox:1.36", command: [sh, -c, ${JSON.stringify(script)}]`;
const server = "mkdir /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www";

beforeAll(async () => {
  await kubectl.ok(["create", "namespace", namespace]);
  await apply(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  progressDeadlineSeconds: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, ${shell(server)}, ports: [{name: http, containerPort: 8080}], readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, ${shell("exec sleep 6000")}}]}
`);
  await k("rollout", "status", "deployment/web", "--timeout=60s");
});

afterAll(() => kubectl.ok(["delete", "namespace", namespace, "--timeout=90s"]));

describe("a Deployment", () => {
  const condition = async (type: string) =>
    (await object<appsv1.Deployment>("deployment", "web")).status.conditions?.find((c) => c.type === type);

  test("keeps serving while a bad image does not come up, says so, and goes back", async () => {
    await k("set", "image", "deployment/web", "c=nosuch.invalid/x:1");
    await eventually(
      "the deadline",
      async () => (await condition("Progressing"))?.reason === "ProgressDeadlineExceeded" || undefined,
    );
    expect(await condition("Available")).toMatchObject({
      status: "True",
      reason: "MinimumReplicasAvailable",
    });
    const refused = await kubectl.try(["-n", namespace, "rollout", "status", "deployment/web"]);
    expect(refused.stderr).toContain('deployment "web" exceeded its progress deadline');
    await k("rollout", "undo", "deployment/web");
    await k("rollout", "status", "deployment/web", "--timeout=60s");
    expect(await k("rollout", "history", "deployment/web")).toMatch(/\n2 .*\n3 /);
  });

  test("waits while it is paused, and recreates when told so", async () => {
    await k("rollout", "pause", "deployment/web");
    await k("set", "env", "deployment/web", "A=b");
    await eventually(
      "the pause",
      async () => (await condition("Progressing"))?.reason === "DeploymentPaused" || undefined,
    );
    await k(
      "patch",
      "deployment",
      "web",
      "-p",
      '{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}',
    );
    await k("rollout", "resume", "deployment/web");
    await k("rollout", "status", "deployment/web", "--timeout=60s");
    const { items } = await object<{ items: corev1.Pod[] }>("pods", "-l", "app=web");
    const live = items.filter((p) => !p.metadata.deletionTimestamp);
    expect(live.map((p) => p.spec.containers[0]?.env)).toEqual(Array(2).fill([{ name: "A", value: "b" }]));
  });
});

describe("Jobs", () => {
  const job = (name: string, spec: string, script: string) => `---
apiVersion: batch/v1
kind: Job
metadata: {name: ${name}}
spec:
  ${spec.replaceAll("\n", "\n  ")}
  template: {spec: {restartPolicy: Never, terminationGracePeriodSeconds: 2, containers: [{name: c, ${shell(script)}}]}}
`;
  const ended = (name: string) =>
    eventually(`the end of ${name}`, async () => {
      const { status } = await object<batchv1.Job>("job", name);
      return status.conditions?.find((c) => c.type === "Complete" || c.type === "Failed")
        ? status
        : undefined;
    });
  const reasons = (status: batchv1.JobStatus) => status.conditions?.map((c) => `${c.type} ${c.reason}`);

  beforeAll(() =>
    apply(
      [
        job(
          "indexed",
          "completions: 3\nparallelism: 2\ncompletionMode: Indexed",
          "echo index $JOB_COMPLETION_INDEX",
        ),
        job("failing", "backoffLimit: 0", "exit 1"),
        // Deaf to the signal: it takes its whole grace, and everything else has to go on meanwhile.
        job("late", "activeDeadlineSeconds: 1", "exec sleep 6000"),
        job("held", "suspend: true", "true"),
        job("brief", "ttlSecondsAfterFinished: 1", "true"),
        job("long", "parallelism: 2\ncompletions: 2", "exec sleep 6000"),
      ].join(""),
    ),
  );

  test("give every index its pod", async () => {
    const status = await ended("indexed");
    expect(status).toMatchObject({ succeeded: 3, completedIndexes: "0-2" });
    expect(reasons(status)).toEqual(["SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached"]);
  });

  test("fail at their limits", async () => {
    expect(reasons(await ended("failing"))).toEqual([
      "FailureTarget BackoffLimitExceeded",
      "Failed BackoffLimitExceeded",
    ]);
    expect(reasons(await ended("late"))).toEqual([
      "FailureTarget DeadlineExceeded",
      "Failed DeadlineExceeded",
    ]);
  });

  needsRecentKubectl("wait while they are suspended, and go when their time is over", async () => {
    expect((await object<batchv1.Job>("job", "held")).status.conditions?.[0]).toMatchObject({
      type: "Suspended",
      status: "True",
    });
    await k("patch", "job", "held", "-p", '{"spec":{"suspend":false}}');
    await k("wait", "--for=condition=complete", "job/held", "--timeout=60s");
    await k("wait", "--for=delete", "job/brief", "--timeout=60s");
  });

  test("leave no pod behind when they are deleted while they run", async () => {
    await k("wait", "--for=condition=Ready", "pod", "-l", "job-name=long", "--timeout=60s");
    await k("delete", "job", "long", "--timeout=60s");
    await k("wait", "--for=delete", "pod", "-l", "job-name=long", "--timeout=60s");
  });
});

describe("Services", () => {
  const inside = (script: string) => k("exec", "client", "--", "sh", "-c", script);

  test("by name, by alias, from outside, always the same server, and of pods that are not ready", async () => {
    await k("wait", "--for=condition=Ready", "pod/client", "--timeout=60s");
    await apply(`apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, sessionAffinity: ClientIP, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: web.${namespace}.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: eager}
spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: eager}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: eager, labels: {app: eager}}
spec: {hostname: one, subdomain: eager, terminationGracePeriodSeconds: 0, containers: [{name: c, ${shell("exec sleep 6000")}, readinessProbe: {exec: {command: ["false"]}}}]}
`);
    const answers = await eventually("answers", () =>
      inside("for i in 1 2 3 4 5 6; do wget -qO- http://web || exit 1; done"),
    );
    expect(new Set(answers.trim().split("\n")).size).toBe(1);
    expect(await inside("wget -qO- http://alias")).toMatch(/^web-/);
    const { spec } = await object<corev1.Service>("service", "web");
    const url = `http://${await nodeAddress(kubectl)}:${spec.ports![0]!.nodePort}/`;
    expect(await eventually("an answer from outside", () => get(url))).toMatch(/^web-/);
    await eventually("a name of the pod that is not ready", () =>
      inside(`nslookup -type=srv _http._tcp.eager.${namespace}.svc.cluster.local | grep one.eager`),
    );
  });
});

describe("scheduling", () => {
  test("a pod that fits nowhere is told why, and is bound as soon as it fits", async () => {
    const node = (await k("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")).trim();
    const pod = (name: string, spec: string) => `---
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec: {terminationGracePeriodSeconds: 0, ${spec}, containers: [{name: c, ${shell("exec sleep 6000")}}]}
`;
    await apply(
      pod("picky", "nodeSelector: {disk: fast}") +
        pod("gated", "schedulingGates: [{name: example.com/wait}]"),
    );
    const why = await eventually("the reason", async () => {
      const { status } = await object<corev1.Pod>("pod", "picky");
      return status?.conditions?.find((c) => c.type === "PodScheduled" && c.status === "False");
    });
    expect(why).toMatchObject({ reason: "Unschedulable" });
    expect(why.message).toContain("node(s) didn't match Pod's node affinity/selector");
    expect(await k("get", "pod", "gated")).toContain("SchedulingGated");
    await kubectl.ok(["label", "node", node, "disk=fast"]);
    await k("patch", "pod", "gated", "--type=json", "-p", '[{"op":"remove","path":"/spec/schedulingGates"}]');
    await k("wait", "--for=condition=Ready", "pod/picky", "pod/gated", "--timeout=60s");
    await kubectl.ok(["label", "node", node, "disk-"]);
  });
});
