/** StatefulSets, DaemonSets, CronJobs, priorities and disruption budgets on real containers, with stock kubectl. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, needsRecentKubectl, newestKubectl } from "./harness.ts";

const kubectl = newestKubectl();
const namespace = "stateful";
const k = (...args: string[]) => kubectl.ok(["-n", namespace, ...args]);
const refused = async (...args: string[]) => (await kubectl.try(["-n", namespace, ...args])).stderr;
const apply = (input: string) => kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input });
const read = (kind: string, path: string) => k("get", ...kind.split(" "), "-o", `jsonpath={${path}}`);

const serve = (text: string) =>
  `["sh", "-c", "mkdir /www && echo ${text} $(hostname) > /www/index.html && exec httpd -f -p 8080 -h /www"]`;

const template = (app: string, text: string) => `
    metadata: {labels: {app: ${app}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: c
          image: busybox:1.36
          command: ${serve(text)}
          readinessProbe: {httpGet: {port: 8080, path: /}, periodSeconds: 1}`;

const statefulSet = (text: string) => `
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:${template("db", text)}
`;

const daemonSet = (text: string) => `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:${template("agent", text)}
`;

beforeAll(() => kubectl.ok(["create", "namespace", namespace]));
afterAll(() => kubectl.ok(["delete", "namespace", namespace, "--timeout=120s"]));

test("a StatefulSet: names that last, DNS for each pod, scale, rollout, history and undo", async () => {
  await apply(statefulSet("one"));
  await k("rollout", "status", "statefulset/db", "--timeout=60s");
  expect(await k("get", "statefulset", "db")).toMatch(/^NAME\s+READY\s+AGE\ndb\s+2\/2\s/);
  const ask = (from: string, to: string) => k("exec", from, "--", "wget", "-qO-", `http://${to}.db:8080/`);
  expect(await eventually("the name of the other", () => ask("db-0", "db-1"))).toBe("one db-1\n");
  await apply(statefulSet("two"));
  await k("rollout", "status", "statefulset/db", "--timeout=60s");
  expect(await eventually("the new page", () => ask("db-1", "db-0"))).toBe("two db-0\n");
  expect(await k("rollout", "history", "statefulset/db")).toMatch(/\n1\s+<none>\n2\s+<none>\n/);
  await k("rollout", "undo", "statefulset/db");
  await k("rollout", "status", "statefulset/db", "--timeout=60s");
  expect(await eventually("the old page", () => ask("db-0", "db-1"))).toBe("one db-1\n");
  await k("scale", "statefulset/db", "--replicas=1");
  await eventually("one pod", async () =>
    (await k("get", "pods", "-l", "app=db", "-o", "name")) === "pod/db-0\n" ? true : undefined,
  );
  expect(await refused("patch", "statefulset", "db", "-p", '{"spec":{"serviceName":"x"}}')).toContain(
    "updates to statefulset spec for fields other than",
  );
});

test("a DaemonSet: a pod on every node, rollout, history and undo", async () => {
  await apply(daemonSet("one"));
  await k("rollout", "status", "daemonset/agent", "--timeout=60s");
  expect(await k("get", "daemonset", "agent")).toMatch(
    /^NAME\s+DESIRED\s+CURRENT\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+NODE SELECTOR\s+AGE\nagent\s+1\s+1\s+1\s+1\s+1\s+<none>\s/,
  );
  await apply(daemonSet("two"));
  await k("rollout", "status", "daemonset/agent", "--timeout=60s");
  expect(await k("rollout", "history", "daemonset/agent")).toMatch(/\n1\s+<none>\n2\s+<none>\n/);
  expect(await k("rollout", "history", "daemonset/agent", "--revision=1")).toContain("echo one");
  await k("rollout", "undo", "daemonset/agent", "--to-revision=1");
  await k("rollout", "status", "daemonset/agent", "--timeout=60s");
  expect(await read("daemonset agent", ".spec.template.spec.containers[0].command[2]")).toContain("echo one");
  await k("rollout", "restart", "daemonset/agent");
  await k("rollout", "status", "daemonset/agent", "--timeout=60s");
  expect(await k("get", "controllerrevisions")).toMatch(/agent-\S+\s+daemonset\.apps\/agent\s+4\s/);
  const described = await k("describe", "daemonset", "agent");
  expect(described).toContain("SuccessfulCreate");
  const all = await k("get", "all");
  for (const name of ["statefulset.apps/db", "daemonset.apps/agent"]) expect(all).toContain(name);
});

needsRecentKubectl("a CronJob: by hand and by the clock", async () => {
  const command = ["--", "echo", "on board"];
  await k("create", "cronjob", "bell", "--image=busybox:1.36", "--schedule=0 0 29 2 *", ...command);
  expect(await k("get", "cronjob", "bell")).toMatch(/bell\s+0 0 29 2 \*\s+(<none>\s+)?False\s+0\s+<none>\s/);
  await k("create", "job", "rung", "--from=cronjob/bell");
  await k("wait", "--for=condition=complete", "job/rung", "--timeout=60s");
  expect(await k("logs", "job/rung")).toBe("on board\n");
  await k("patch", "cronjob", "bell", "-p", '{"spec":{"schedule":"@every 2s"}}');
  await eventually("a job of its own", async () =>
    (await read("cronjob bell", ".status.lastScheduleTime")) ? true : undefined,
  );
  await k("delete", "cronjob", "bell");
  expect(
    await refused("create", "cronjob", "bad", "--image=x", "--schedule=61 * * * *", "--", "true"),
  ).toContain("end of range (61) above maximum (59): 61");
});

test("a PriorityClass gives its pods their priority", async () => {
  expect(await kubectl.ok(["get", "priorityclasses"])).toMatch(/system-node-critical\s+2000001000\s+false\s/);
  await k("create", "priorityclass", "urgent", "--value=1000");
  const overrides = '{"spec":{"priorityClassName":"urgent"}}';
  await k("run", "first", "--image=busybox:1.36", `--overrides=${overrides}`, "--", "sleep", "60");
  expect(await read("pod first", ".spec.priority")).toBe("1000");
  await k("delete", "pod", "first", "--now");
  await k("delete", "priorityclass", "urgent");
});

needsRecentKubectl("a PodDisruptionBudget holds drain back until it can bear it", async () => {
  await apply(statefulSet("one"));
  await k("rollout", "status", "statefulset/db", "--timeout=60s");
  await k("create", "poddisruptionbudget", "db", "--selector=app=db", "--min-available=2");
  await eventually("its status", async () =>
    (await read("pdb db", ".status.currentHealthy")) === "2" ? true : undefined,
  );
  const node = (await read("pod db-0", ".spec.nodeName")).trim();
  const drain = ["drain", node, "--ignore-daemonsets", "--force", `--pod-selector=app=db`];
  try {
    const held = await kubectl.try([...drain, "--timeout=4s"]);
    expect(held.code).not.toBe(0);
    expect(held.stderr).toContain("Cannot evict pod as it would violate the pod's disruption budget.");
    expect(await k("get", "pods", "-l", "app=db", "--no-headers")).toMatch(/db-0\s+1\/1.*\ndb-1\s+1\/1/);
    await k("patch", "pdb", "db", "-p", '{"spec":{"minAvailable":0}}');
    const drained = await kubectl.ok([...drain, "--timeout=60s"]);
    expect(drained).toContain("drained");
  } finally {
    await kubectl.ok(["uncordon", node]);
  }
  await k("rollout", "status", "statefulset/db", "--timeout=60s");
});
