/** ReplicaSet and ReplicationController: as many pods as they say, of those that match and nobody else manages. */
import { expect } from "vitest";
import {
  type appsv1,
  type corev1,
  type Draft,
  pods,
  replicaSets,
  replicationControllers,
  resourceQuotas,
  services,
} from "#api";
import { eventually } from "../../eventually.ts";
import { podSpec, podTemplate } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import {
  expectAnswers,
  isActive,
  isOwnedBy,
  isReady,
  trueCondition,
  untilPods,
  webServer,
} from "./workloads.ts";

const labels = { app: "sample" };
const selector = { matchLabels: labels };

function createSet(
  { kube, namespace, image }: Given,
  replicas: number,
  spec: Draft<appsv1.ReplicaSetSpec> = {},
): Promise<appsv1.ReplicaSet> {
  return kube.resource(replicaSets, namespace).create({
    metadata: { name: "sample", labels },
    spec: { replicas, selector, template: podTemplate(image, labels), ...spec },
  });
}

function createController(
  { kube, namespace, image }: Given,
  replicas: number,
  spec: Draft<corev1.ReplicationControllerSpec> = {},
): Promise<corev1.ReplicationController> {
  return kube.resource(replicationControllers, namespace).create({
    metadata: { name: "sample" },
    spec: { replicas, selector: labels, template: podTemplate(image, labels), ...spec },
  });
}

type Owner = appsv1.ReplicaSet | corev1.ReplicationController;

/** A pod that nobody manages gets a manager whose selector fits. */
async function orphanIsAdopted(
  { kube, namespace, image }: Given,
  create: () => Promise<Owner>,
): Promise<Owner> {
  const all = kube.resource(pods, namespace);
  await all.create({ metadata: { name: "orphan", labels }, spec: podSpec(image) });
  await all.until("orphan", (pod) => pod.status?.phase === "Running");
  const owner = await create();
  await all.until("orphan", (pod) => isOwnedBy(pod, owner));
  return owner;
}

/** A pod whose labels change belongs to nobody, and another takes its place. */
async function changedPodIsReleased({ kube, namespace }: Given, owner: Owner): Promise<void> {
  const [pod] = await untilPods(kube, owner, "one pod", (all) => all.length === 1);
  const { name } = pod!.metadata;
  const all = kube.resource(pods, namespace);
  await all.update(name, ({ metadata }) => {
    metadata.labels = { app: "somebody-else" };
  });
  await all.until(name, (released) => !isOwnedBy(released, owner));
  await untilPods(kube, owner, "another pod", (own) => own.length === 1 && own[0]!.metadata.name !== name);
}

/** Each replica answers, through the API server and through a Service. */
async function everyReplicaAnswers(given: Given, owner: Owner): Promise<void> {
  const { kube, namespace } = given;
  const all = await untilPods(kube, owner, "two ready pods", (own) => own.filter(isReady).length === 2);
  await expectAnswers(kube, all);
  await kube
    .resource(services, namespace)
    .create({ metadata: { name: "sample" }, spec: { selector: labels, ports: [{ port: 8080 }] } });
  const names = all.map(({ metadata }) => metadata.name);
  await eventually("an answer of the Service", async () => {
    const answer = await kube.send("GET", `/api/v1/namespaces/${namespace}/services/sample:8080/proxy/`);
    return names.includes(answer.text.trim()) ? true : undefined;
  });
}

const serving = ({ image }: Given) => ({
  template: { metadata: { labels }, spec: podSpec(image, { containers: [webServer(image)] }) },
});

conformance("apps-6f9bd3", "Every replica of a ReplicaSet serves", async (given) => {
  await everyReplicaAnswers(given, await createSet(given, 2, serving(given)));
});

conformance("apps-3b3851", "Every replica of a ReplicationController serves", async (given) => {
  await everyReplicaAnswers(given, await createController(given, 2, serving(given)));
});

conformance(
  "apps-2e1da1",
  "A ReplicaSet takes a pod that matches and lets go of one that no longer does",
  async (given) => {
    const owner = await orphanIsAdopted(given, () => createSet(given, 1));
    await changedPodIsReleased(given, owner);
  },
);

conformance("apps-8a7d21", "A ReplicationController takes a pod that matches", async (given) => {
  await orphanIsAdopted(given, () => createController(given, 1));
});

conformance(
  "apps-b6320d",
  "A ReplicationController lets go of a pod that no longer matches",
  async (given) => {
    await changedPodIsReleased(given, await createController(given, 1));
  },
);

conformance("apps-4e3ab2", "A ReplicaSet is replaced and patched while it runs", async (given) => {
  const { kube, namespace, image } = given;
  const sets = kube.resource(replicaSets, namespace);
  const owner = await createSet(given, 1);
  await sets.until("sample", ({ status }) => status?.readyReplicas === 1);
  const replaced = await sets.update("sample", ({ spec }) => {
    spec.replicas = 2;
  });
  expect(replaced.spec.replicas).toBe(2);
  await sets.until("sample", ({ status }) => status?.readyReplicas === 2);
  const container = { name: "main", image, env: [{ name: "PATCHED", value: "yes" }] };
  const patched = await sets.patch("sample", "strategic", {
    metadata: { labels: { patched: "yes" } },
    spec: { replicas: 3, template: { spec: { terminationGracePeriodSeconds: 0, containers: [container] } } },
  });
  expect(patched.metadata.labels).toMatchObject({ patched: "yes" });
  expect(patched.spec.template?.spec?.containers[0]?.command).toBeDefined();
  await sets.until("sample", ({ status }) => status?.readyReplicas === 3);
  const all = await untilPods(kube, owner, "three pods", (own) => own.filter(isActive).length === 3);
  // What runs stays; only the third pod comes of the new template.
  const young = all.filter(({ spec }) => spec.containers[0]?.env?.some(({ name }) => name === "PATCHED"));
  expect(young).toHaveLength(1);
});

conformance(
  "apps-a68280",
  "A ReplicationController tells in a condition that a quota holds it up",
  async (given) => {
    const { kube, namespace } = given;
    const quotas = kube.resource(resourceQuotas, namespace);
    await quotas.create({ metadata: { name: "two" }, spec: { hard: { pods: "2" } } });
    await quotas.until("two", ({ status }) => status?.hard?.pods === "2");
    await createController(given, 3);
    const controllers = kube.resource(replicationControllers, namespace);
    const told = await controllers.until(
      "sample",
      (each) => trueCondition(each, "ReplicaFailure") !== undefined,
    );
    const { reason, message } = trueCondition(told, "ReplicaFailure") ?? {};
    expect(reason).toBe("FailedCreate");
    expect(message).toContain("exceeded quota: two");
    await controllers.update("sample", ({ spec }) => {
      spec.replicas = 2;
    });
    await controllers.until(
      "sample",
      (each) => each.status?.replicas === 2 && !trueCondition(each, "ReplicaFailure"),
    );
  },
);
