/** What workload controllers promise, in random histories: bounds at every write, and the right end of every story. */
import { expect, test } from "vitest";
import { deployments, jobs, pods, replicaSets, statefulSets } from "#api";
import type { TransportRequest } from "#client";
import { History, isReady, type Pod, play, seeds } from "./history.ts";

const file = "workloads.test.ts";
const histories = seeds(12);
const labels = { app: "web" };

const template = (version: number) => ({
  metadata: { labels },
  spec: { containers: [{ name: "c", image: `web:${version}` }] },
});
const imageOf = (pod: Pod) => pod.spec.containers[0]?.image;
const isFrom = ({ method, path }: TransportRequest, verb: string, resource: string) =>
  method === verb && new RegExp(`/${resource}(/[^/?]+)?(\\?|$)`).test(path);

test("a Deployment stays within its surge at every write, and never falls short by its own hand", async () => {
  const [replicas, maxSurge, maxUnavailable] = [6, 2, 1];
  for (const seed of histories)
    await play(file, seed, async (random) => {
      let started = false;
      const history = new History({
        random,
        controllers: ["deployment-controller", "replicaset-controller"],
        async check(past, request) {
          if (isFrom(request, "PUT", "replicasets") || isFrom(request, "PATCH", "replicasets")) {
            const sizes = (await past.list(replicaSets)).map(({ spec }) => spec.replicas ?? 0);
            const total = sizes.reduce((sum, size) => sum + size, 0);
            expect(total, "replicas of all ReplicaSets").toBeLessThanOrEqual(replicas + maxSurge);
          }
          if (!started || !isFrom(request, "DELETE", "pods")) return;
          const ready = (await past.list(pods)).filter(isReady).length;
          expect(ready, "ready pods").toBeGreaterThanOrEqual(replicas - maxUnavailable);
        },
      });
      await history.begin();
      const strategy = { type: "RollingUpdate" as const, rollingUpdate: { maxSurge, maxUnavailable } };
      const spec = { replicas, selector: { matchLabels: labels }, template: template(0), strategy };
      await history.create(deployments, { metadata: { namespace: "default", name: "web" }, spec });
      const ready = async () => (await history.list(pods)).filter(isReady).length;
      for (let i = 0; i < 100 && (await ready()) < replicas; i++) {
        await history.step(2_000);
        await history.live();
      }
      started = true;
      let version = 0;
      for (let i = 0; i < 60; i++) {
        if (history.chance(0.1)) {
          version = 1 + random.int(5);
          const ref = { namespace: "default", name: "web" };
          await history.client.patch(deployments, ref, "merge", { spec: { template: template(version) } });
        }
        await history.step();
        await history.live();
      }
      await history.calmDown();
      for (let i = 0; i < 60; i++) {
        await history.step(15_000);
        await history.live(1);
      }
      expect((await history.list(pods)).map(imageOf)).toEqual(Array(replicas).fill(`web:${version}`));
      await history.end();
    });
});

test("a StatefulSet makes a pod only after all before it, and replaces only after all behind it", async () => {
  const replicas = 4;
  const ordinal = (pod: Pod) => Number(pod.metadata.name.split("-").at(-1));
  for (const seed of histories)
    await play(file, seed, async (random) => {
      const history = new History({
        random,
        controllers: ["statefulset-controller"],
        async check(past, request) {
          const all = await past.list(pods);
          const names = all.map(({ metadata }) => metadata.name);
          expect(new Set(names).size, "pods of one name").toBe(names.length);
          if (!isFrom(request, "POST", "pods")) return;
          const { metadata } = JSON.parse(Buffer.from(request.body ?? []).toString()) as Pod;
          const created = Number(metadata.name.split("-").at(-1));
          const before = all.filter((pod) => ordinal(pod) < created && isReady(pod));
          expect(before.length, `ready pods before ${metadata.name}`).toBe(created);
        },
      });
      await history.begin();
      const spec = {
        replicas,
        serviceName: "web",
        selector: { matchLabels: labels },
        template: template(0),
        podManagementPolicy: "OrderedReady" as const,
        updateStrategy: { type: "RollingUpdate" as const, rollingUpdate: { partition: 0 } },
      };
      const ref = { namespace: "default", name: "web" };
      await history.create(statefulSets, { metadata: ref, spec });
      let version = 0;
      let size = replicas;
      for (let i = 0; i < 90; i++) {
        if (history.chance(0.06)) {
          version = random.int(4);
          await history.client.patch(statefulSets, ref, "merge", { spec: { template: template(version) } });
        }
        if (history.chance(0.06)) {
          size = 1 + random.int(5);
          await history.client.patch(statefulSets, ref, "merge", { spec: { replicas: size } });
        }
        await history.step();
        await history.live();
      }
      await history.calmDown();
      for (let i = 0; i < 60; i++) {
        await history.step(15_000);
        await history.live(1);
      }
      const left = (await history.list(pods)).map((pod) => [pod.metadata.name, imageOf(pod)]).sort();
      expect(left).toEqual(Array.from({ length: size }, (_, i) => [`web-${i}`, `web:${version}`]));
      await history.end();
    });
});

test("a Job counts each completion once, whatever is lost on the way", async () => {
  const completions = 6;
  for (const seed of histories)
    await play(file, seed, async (random) => {
      const ref = { namespace: "default", name: "once" };
      let highest = 0;
      const history = new History({
        random,
        controllers: ["job-controller", "tracking-finalizer-orphan-controller"].slice(0, 1),
        async check(past, request) {
          if (!request.path.includes("/jobs/")) return;
          const { status } = await past.client.get(jobs, ref);
          expect(status.succeeded ?? 0, "counted").toBeLessThanOrEqual(completions);
          expect(status.succeeded ?? 0, "counted").toBeGreaterThanOrEqual(highest);
          highest = status.succeeded ?? 0;
        },
      });
      await history.begin();
      const job = { metadata: { labels: { job: "once" } } };
      const selector = { matchLabels: { job: "once" } };
      const spec = {
        parallelism: 3,
        completions,
        backoffLimit: 1_000,
        completionMode: "Indexed" as const,
        selector,
        template: {
          ...job,
          spec: { restartPolicy: "Never" as const, containers: [{ name: "c", image: "job:1" }] },
        },
      };
      await history.create(jobs, { metadata: ref, spec });
      const finish = async (failures: number) => {
        for (const pod of await history.list(pods)) {
          if (pod.status?.phase !== "Running" || pod.metadata.deletionTimestamp || history.chance(0.5))
            continue;
          const failed = history.chance(failures);
          const finishedAt = new Date(history.clock.now()).toISOString();
          const terminated = { exitCode: failed ? 1 : 0, finishedAt, reason: "Ended", message: "" };
          const containerStatuses = [
            { name: "c", restartCount: 0, ready: false, image: "", imageID: "", state: { terminated } },
          ];
          await history.setStatus(pod, { phase: failed ? "Failed" : "Succeeded", containerStatuses });
          // Somebody tidies up behind the Job's back.
          if (history.chance(0.3)) await history.remove(pod);
        }
      };
      for (let i = 0; i < 60; i++) {
        await history.step(1_000);
        await history.live();
        await finish(0.3);
      }
      await history.calmDown();
      for (let i = 0; i < 80; i++) {
        await history.step(60_000);
        await history.live(1);
        await finish(0);
      }
      const { status } = await history.client.get(jobs, ref);
      expect(status).toMatchObject({ succeeded: completions, completedIndexes: `0-${completions - 1}` });
      expect(
        status.conditions?.filter((each) => each.type === "Complete" && each.status === "True"),
      ).toHaveLength(1);
      await history.end();
    });
});
