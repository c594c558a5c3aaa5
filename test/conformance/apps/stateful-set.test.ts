/** StatefulSet: pods with names that stay, made, replaced and removed in their order. */
import { expect } from "vitest";
import { type appsv1, type corev1, type Draft, pods, services, statefulSets } from "#api";
import { eventually, never } from "../../eventually.ts";
import type { Resource } from "../kube.ts";
import { podSpec, sleeper } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import { isReady, podsOf, untilPods, workerNodes } from "./workloads.ts";

const labels = { app: "sample" };
const healthy = "/tmp/healthy";

/** Ready as long as it has a file that tests take away and give back. */
function breakable(image: string): Draft<corev1.Container> {
  const script = `touch ${healthy}; trap 'exit 0' TERM; while true; do sleep 1 & wait; done`;
  const readinessProbe = {
    exec: { command: ["test", "-f", healthy] },
    periodSeconds: 1,
    failureThreshold: 1,
  };
  return sleeper(image, { command: ["sh", "-c", script], readinessProbe });
}

async function create(given: Given, spec: Draft<appsv1.StatefulSetSpec> = {}): Promise<appsv1.StatefulSet> {
  const { kube, namespace, image } = given;
  await kube.resource(services, namespace).create({
    metadata: { name: "sample", labels },
    spec: { selector: labels, clusterIP: "None", ports: [{ port: 80 }] },
  });
  return kube.resource(statefulSets, namespace).create({
    metadata: { name: "sample" },
    spec: {
      serviceName: "sample",
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: podSpec(image, { containers: [breakable(image)] }) },
      ...spec,
    },
  });
}

class Workload {
  readonly given: Given;
  readonly sets: Resource<appsv1.StatefulSet>;
  readonly pods: Resource<corev1.Pod>;
  readonly owner: appsv1.StatefulSet;

  constructor(given: Given, owner: appsv1.StatefulSet) {
    this.given = given;
    this.owner = owner;
    this.sets = given.kube.resource(statefulSets, given.namespace);
    this.pods = given.kube.resource(pods, given.namespace);
  }

  async scale(replicas: number): Promise<void> {
    await this.sets.update("sample", ({ spec }) => {
      spec.replicas = replicas;
    });
  }

  untilReady(count: number): Promise<appsv1.StatefulSet> {
    return this.sets.until(
      "sample",
      ({ metadata, status }) =>
        status?.observedGeneration === metadata.generation && (status?.readyReplicas ?? 0) === count,
    );
  }

  untilCount(count: number): Promise<corev1.Pod[]> {
    return untilPods(this.given.kube, this.owner, `${count} pods`, (all) => all.length === count);
  }

  /** For a while there are neither more nor fewer. */
  async staysAt(count: number): Promise<void> {
    const changed = async () =>
      (await podsOf(this.given.kube, this.owner)).length === count ? undefined : true;
    await never("another number of pods", changed, 3_000);
  }

  async break(...ordinals: number[]): Promise<void> {
    for (const ordinal of ordinals) await this.#exec(ordinal, "rm", healthy);
    for (const ordinal of ordinals) await this.pods.until(`sample-${ordinal}`, (pod) => !isReady(pod));
  }

  async mend(...ordinals: number[]): Promise<void> {
    // All at once: one that is the last to be ill goes as it is.
    await Promise.all(ordinals.map((ordinal) => this.#exec(ordinal, "touch", healthy)));
  }

  async #exec(ordinal: number, ...command: string[]): Promise<void> {
    const { kubectl, namespace } = this.given;
    await kubectl.ok(["exec", "-n", namespace, `sample-${ordinal}`, "--", ...command]);
  }

  /** Another template; answers once the controller has a name for it. */
  async changeTemplate(value: string, partition?: number): Promise<appsv1.StatefulSet> {
    await this.sets.update("sample", ({ spec }) => {
      spec.template.spec!.containers[0]!.env = [{ name: "VERSION", value }];
      if (partition !== undefined)
        spec.updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition } };
    });
    return this.sets.until(
      "sample",
      ({ metadata, status }) => status?.observedGeneration === metadata.generation,
    );
  }

  /** The revision that each pod runs, by ordinal, once all are ready. */
  async untilRevisions(...wanted: (string | undefined)[]): Promise<void> {
    await untilPods(this.given.kube, this.owner, `revisions ${wanted.join(", ")}`, (all) => {
      const ready = new Map(
        all
          .filter(isReady)
          .map(({ metadata }) => [metadata.name, metadata.labels?.["controller-revision-hash"]]),
      );
      return wanted.every((revision, ordinal) => ready.get(`sample-${ordinal}`) === revision);
    });
  }
}

async function workload(given: Given, spec?: Draft<appsv1.StatefulSetSpec>): Promise<Workload> {
  return new Workload(given, await create(given, spec));
}

conformance(
  "apps-8a160d",
  "A StatefulSet grows and shrinks in order, and halts while a pod is not well",
  async (given) => {
    const set = await workload(given, { replicas: 1 });
    await set.untilReady(1);
    await set.break(0);
    await set.untilReady(0);
    const { metadata } = await set.pods.list();
    using watched = await set.pods.watch({ resourceVersion: metadata.resourceVersion ?? "" });
    const seen = (type: string) =>
      watched.events.filter((event) => event.type === type).map(({ object }) => object.metadata.name);
    await set.scale(3);
    await set.staysAt(1);
    await set.mend(0);
    await set.untilReady(3);
    expect(seen("ADDED")).toEqual(["sample-1", "sample-2"]);
    await set.break(0, 1, 2);
    await set.untilReady(0);
    await set.scale(0);
    await set.staysAt(3);
    await set.mend(0, 1, 2);
    await set.untilCount(0);
    await eventually("three ends", async () => (seen("DELETED").length === 3 ? true : undefined));
    expect(seen("DELETED")).toEqual(["sample-2", "sample-1", "sample-0"]);
  },
);

conformance(
  "apps-8dbaae",
  "A StatefulSet with Parallel management grows and shrinks though pods are not well",
  async (given) => {
    const set = await workload(given, { replicas: 1, podManagementPolicy: "Parallel" });
    await set.untilReady(1);
    await set.break(0);
    await set.scale(3);
    await set.untilCount(3);
    await set.mend(0);
    await set.untilReady(3);
    await set.break(0, 1, 2);
    await set.scale(0);
    await set.untilCount(0);
    await set.sets.until("sample", ({ status }) => status?.replicas === 0);
  },
);

conformance(
  "apps-233ead",
  "A StatefulSet rolls to a new template and back from the last pod to the first",
  async (given) => {
    const set = await workload(given, { replicas: 3 });
    const before = (await set.untilReady(3)).status;
    const first = before?.currentRevision;
    expect(before?.updateRevision).toBe(first);
    await set.untilRevisions(first, first, first);
    await set.break(1);
    const amid = (await set.changeTemplate("2")).status;
    expect(amid?.currentRevision).toBe(first);
    expect(amid?.updateRevision).not.toBe(first);
    const second = amid?.updateRevision;
    const { metadata } = await set.pods.list();
    using watched = await set.pods.watch({ resourceVersion: metadata.resourceVersion ?? "" });
    // A pod that is not well holds up a StatefulSet before it replaces any other; its mend lets it go on.
    await set.mend(1);
    await set.untilRevisions(second, second, second);
    const rolled = await set.sets.until("sample", ({ status }) => status?.currentRevision === second);
    expect(rolled.status).toMatchObject({ updateRevision: second, updatedReplicas: 3, currentReplicas: 3 });
    const back = (
      await set.sets.update("sample", ({ spec }) => {
        delete spec.template.spec!.containers[0]!.env;
      })
    ).metadata.generation;
    const turned = await set.sets.until("sample", ({ status }) => status?.observedGeneration === back);
    expect(turned.status?.updateRevision).toBe(first);
    await set.untilRevisions(first, first, first);
    await set.sets.until("sample", ({ status }) => status?.currentRevision === first);
    const ends = watched.events
      .filter(({ type }) => type === "DELETED")
      .map(({ object }) => object.metadata.name);
    const order = ["sample-2", "sample-1", "sample-0"];
    expect(ends).toEqual([...order, ...order]);
  },
);

conformance(
  "apps-06f9f7",
  "A StatefulSet with a partition keeps the pods below it as they were, even when they are lost",
  async (given) => {
    const set = await workload(given, { replicas: 3 });
    const first = (await set.untilReady(3)).status?.currentRevision;
    const held = await set.changeTemplate("2", 3);
    const second = held.status?.updateRevision;
    expect(second).not.toBe(first);
    await set.staysAt(3);
    await set.untilRevisions(first, first, first);
    const movePartition = (partition: number) =>
      set.sets.update("sample", ({ spec }) => {
        spec.updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition } };
      });
    await movePartition(2);
    await set.untilRevisions(first, first, second);
    for (const ordinal of [0, 2]) {
      const { metadata } = await set.pods.get(`sample-${ordinal}`);
      await set.pods.delete(`sample-${ordinal}`);
      await eventually("another pod", async () =>
        (await set.pods.find(`sample-${ordinal}`))?.metadata.uid === metadata.uid ? undefined : true,
      );
    }
    await set.untilRevisions(first, first, second);
    expect((await set.sets.get("sample")).status).toMatchObject({
      currentRevision: first,
      updateRevision: second,
    });
    await movePartition(1);
    await set.untilRevisions(first, second, second);
    await movePartition(0);
    await set.untilRevisions(second, second, second);
    await set.sets.until("sample", ({ status }) => status?.currentRevision === second);
  },
);

conformance("apps-e730e7", "A StatefulSet makes a pod again that its node has refused", async (given) => {
  const { kube, namespace, image } = given;
  const [node] = await workerNodes(kube);
  const nodeName = node?.metadata.name ?? "";
  const containers = [sleeper(image, { ports: [{ containerPort: 21017, hostPort: 21017 }] })];
  const all = kube.resource(pods, namespace);
  await all.create({ metadata: { name: "taker" }, spec: podSpec(image, { nodeName, containers }) });
  await all.until("taker", (pod) => pod.status?.phase === "Running");
  using watched = await all.watch();
  const template = { metadata: { labels }, spec: podSpec(image, { nodeName, containers }) };
  await create(given, { replicas: 1, template });
  await watched.next(
    "MODIFIED",
    ({ metadata, status }) => metadata.name === "sample-0" && status?.phase === "Failed",
  );
  await watched.next("DELETED", ({ metadata }) => metadata.name === "sample-0");
  await all.delete("taker");
  await eventually("sample-0 running", async () =>
    (await all.find("sample-0"))?.status?.phase === "Running" ? true : undefined,
  );
});
