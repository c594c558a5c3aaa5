/** What DaemonSets, CronJobs, Services and budgets come to in random histories. */
import { expect, test } from "vitest";
import {
  cronJobs,
  daemonSets,
  endpointSlices,
  jobs,
  nodes,
  podDisruptionBudgets,
  pods,
  services,
} from "#api";
import { History, isReady, nodeNames, type Pod, play, seeds, wantedNode } from "./history.ts";

const file = "services.test.ts";
const histories = seeds(8);
const labels = { app: "web" };
const ref = { namespace: "default", name: "web" };

const template = (version: number) => ({
  metadata: { labels },
  spec: { containers: [{ name: "c", image: `web:${version}` }] },
});

test("a DaemonSet has one pod on each node it is for, of its last template, and never two that stay", async () => {
  for (const seed of histories)
    await play(file, seed, async (random) => {
      const history = new History({
        random,
        controllers: ["daemonset-controller"],
        async check(past, { method, path }) {
          if (method !== "POST" || !path.endsWith("/pods")) return;
          const staying = (await past.list(pods)).filter(({ metadata }) => !metadata.deletionTimestamp);
          const at = staying.map(wantedNode);
          expect(new Set(at).size, "nodes of the pods that stay").toBe(at.length);
        },
      });
      await history.begin();
      const nodeSelector = { disk: "yes" };
      const mark = (name: string, disk: string | null) =>
        history.client.patch(nodes, { name }, "merge", { metadata: { labels: { disk } } });
      await mark("node-1", "yes");
      const wanted = new Map([["node-1", true]]);
      const of = (version: number) => {
        const { metadata, spec } = template(version);
        return { metadata, spec: { ...spec, nodeSelector } };
      };
      const updateStrategy = { type: "RollingUpdate" as const, rollingUpdate: { maxUnavailable: 1 } };
      const spec = { selector: { matchLabels: labels }, template: of(0), updateStrategy };
      await history.create(daemonSets, { metadata: ref, spec });
      let version = 0;
      for (let i = 0; i < 60; i++) {
        if (history.chance(0.1)) {
          version = random.int(4);
          await history.client.patch(daemonSets, ref, "merge", { spec: { template: of(version) } });
        }
        const name = history.pick(nodeNames)!;
        if (history.chance(0.15)) {
          wanted.set(name, !wanted.get(name));
          await mark(name, wanted.get(name) ? "yes" : null);
        }
        const victim = history.pick(await history.list(pods));
        if (victim && history.chance(0.1)) await history.remove(victim);
        await history.step();
        await history.live();
      }
      await history.calmDown();
      for (let i = 0; i < 60; i++) {
        await history.step(15_000);
        await history.live(1);
      }
      const left = (await history.list(pods)).map((pod) => [wantedNode(pod), pod.spec.containers[0]?.image]);
      const at = nodeNames.filter((name) => wanted.get(name));
      expect(left.sort()).toEqual(at.map((name) => [name, `web:${version}`]));
      await history.end();
    });
});

test("a CronJob that forbids it never has two Jobs at work, and is never late for good", async () => {
  for (const seed of histories)
    await play(file, seed, async (random) => {
      const isOver = (job: { status?: { conditions?: { type: string; status: string }[] } }) =>
        job.status?.conditions?.some(({ type, status }) => type === "Complete" && status === "True") ?? false;
      const history = new History({
        random,
        controllers: ["cronjob-controller"],
        async check(past, { method, path }) {
          if (method !== "POST" || !path.endsWith("/jobs")) return;
          expect((await past.list(jobs)).filter((job) => !isOver(job)).length, "Jobs at work").toBeLessThan(
            2,
          );
        },
      });
      await history.begin();
      await history.create(cronJobs, {
        metadata: ref,
        spec: {
          schedule: "* * * * *",
          concurrencyPolicy: "Forbid",
          successfulJobsHistoryLimit: 2,
          jobTemplate: {
            spec: { template: { ...template(0), spec: { ...template(0).spec, restartPolicy: "Never" } } },
          },
        },
      });
      const finish = async (share: number) => {
        for (const job of await history.list(jobs)) {
          if (isOver(job) || !history.chance(share)) continue;
          const time = new Date(history.clock.now()).toISOString();
          const conditions = [{ type: "Complete", status: "True", lastTransitionTime: time }];
          const status = { conditions, succeeded: 1, startTime: time, completionTime: time };
          await history.client.patch(jobs, job.metadata, "merge", { status }, { subresource: "status" });
        }
      };
      for (let i = 0; i < 60; i++) {
        await history.step(10_000);
        await finish(0.3);
      }
      await history.calmDown();
      for (let i = 0; i < 20; i++) {
        await history.step(15_000);
        await finish(1);
      }
      const { status } = await history.client.get(cronJobs, ref);
      const last = Date.parse(status?.lastScheduleTime ?? "");
      expect(history.clock.now() - last).toBeLessThanOrEqual(75_000);
      expect((await history.list(jobs)).length).toBeLessThanOrEqual(3);
      await history.end();
    });
});

test("behind a Service stand the ready pods, each once; a budget counts them", async () => {
  for (const seed of histories)
    await play(file, seed, async (random) => {
      const history = new History({
        random,
        controllers: ["endpointslice-controller", "disruption-controller"],
      });
      await history.begin();
      const ports = [{ port: 80, targetPort: 8080 }];
      await history.create(services, { metadata: ref, spec: { selector: labels, ports } });
      const selector = { matchLabels: labels };
      await history.create(podDisruptionBudgets, { metadata: ref, spec: { selector, minAvailable: 2 } });
      let made = 0;
      const make = () => {
        const name = `web-${made++}`;
        return history.create(pods, {
          metadata: { namespace: "default", name, labels },
          spec: template(0).spec,
        });
      };
      const address = ({ metadata }: Pod) => `10.0.0.${metadata.name.split("-").at(-1)}`;
      for (let i = 0; i < 60; i++) {
        if (history.chance(0.3) && made < 30) await make();
        const pod = history.pick(await history.list(pods));
        if (pod && history.chance(0.15)) await history.remove(pod);
        else if (pod && history.chance(0.3)) {
          const conditions = [{ type: "Ready", status: history.chance(0.7) ? "True" : "False" }];
          await history.setStatus(pod, { podIP: address(pod), conditions });
        }
        await history.step();
        await history.live();
      }
      for (const pod of await history.list(pods)) await history.setStatus(pod, { podIP: address(pod) });
      await history.calmDown();
      for (let i = 0; i < 20; i++) {
        await history.step(15_000);
        await history.live(1);
      }
      for (const pod of await history.list(pods)) await history.setStatus(pod, { podIP: address(pod) });
      await history.step(15_000);
      const ready = (await history.list(pods)).filter(isReady);
      const endpoints = (await history.list(endpointSlices)).flatMap((slice) => slice.endpoints ?? []);
      const open = endpoints.filter(({ conditions }) => conditions?.ready);
      expect(open.flatMap(({ addresses }) => addresses).sort()).toEqual(ready.map(address).sort());
      const budget = await history.client.get(podDisruptionBudgets, ref);
      expect(budget.status?.currentHealthy).toBe(ready.length);
      expect(budget.status?.disruptionsAllowed).toBe(Math.max(0, ready.length - 2));
      await history.end();
    });
});
