/** PodDisruptionBudget as an API, and what its controller makes of it. */
import { expect } from "vitest";
import { type metav1, podDisruptionBudgets, pods } from "#api";
import { eventually } from "../../eventually.ts";
import { livesThroughEveryVerb } from "../life-cycle.ts";
import { podSpec } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import { isReady } from "./workloads.ts";

const spec = { minAvailable: 1, selector: { matchLabels: { foo: "bar" } } };

conformance(
  "apps-4af46f",
  "A PodDisruptionBudget is created, updated, patched and deleted",
  async ({ kube, namespace }) => {
    const budgets = kube.resource(podDisruptionBudgets, namespace);
    await budgets.create({ metadata: { name: "foo" }, spec });
    await budgets.until("foo", (budget) => (budget.status?.observedGeneration ?? 0) > 0);
    const updated = await budgets.update("foo", (budget) => {
      budget.spec.minAvailable = 2;
    });
    expect(updated.spec.minAvailable).toBe(2);
    const patched = await budgets.patch("foo", "merge", { spec: { minAvailable: "50%" } });
    expect(patched.spec.minAvailable).toBe("50%");
    expect(patched.metadata.generation).toBe(3);
    await budgets.until("foo", (budget) => budget.status?.observedGeneration === 3);
    await budgets.delete("foo");
    await budgets.untilGone("foo");
  },
);

conformance(
  "apps-c8f8ea",
  "PodDisruptionBudgets are listed and deleted as a collection",
  async ({ kube, namespace }) => {
    await livesThroughEveryVerb(kube, {
      type: podDisruptionBudgets,
      namespace,
      make: () => ({ spec: structuredClone(spec) }),
      subresources: ["poddisruptionbudgets/status"],
    });
  },
);

conformance(
  "apps-f7eb99",
  "The status of a PodDisruptionBudget is updated and patched by itself",
  async ({ kube, namespace }) => {
    const budgets = kube.resource(podDisruptionBudgets, namespace);
    await budgets.create({ metadata: { name: "foo" }, spec });
    await budgets.until("foo", (budget) => budget.status?.observedGeneration === 1);
    const disruptedPods = { "a-pod": "2026-01-01T00:00:00Z" };
    const updated = await budgets.update(
      "foo",
      (budget) => {
        budget.spec.minAvailable = 7;
        budget.status = { ...budget.status!, disruptedPods };
      },
      "status",
    );
    expect(updated.status?.disruptedPods).toEqual(disruptedPods);
    expect(updated.spec.minAvailable).toBe(1);
    const status = { disruptedPods: { "b-pod": "2026-01-01T00:00:00Z" } };
    const patched = await budgets.patch("foo", "merge", { status }, "status");
    expect(patched.status?.disruptedPods?.["b-pod"]).toBe("2026-01-01T00:00:00Z");
    expect((await budgets.get("foo", "status")).status).toBeDefined();
  },
);

async function readyPods({ kube, namespace, image }: Given, count: number): Promise<string[]> {
  const all = kube.resource(pods, namespace);
  const names = Array.from({ length: count }, (_, index) => `pod-${index}`);
  for (const name of names)
    await all.create({ metadata: { name, labels: { foo: "bar" } }, spec: podSpec(image) });
  for (const name of names) await all.until(name, isReady);
  return names;
}

conformance("apps-e72aad", "A PodDisruptionBudget tells how many may go", async (given) => {
  const budgets = given.kube.resource(podDisruptionBudgets, given.namespace);
  await budgets.create({ metadata: { name: "foo" }, spec });
  await readyPods(given, 3);
  const { status } = await budgets.until("foo", (budget) => budget.status?.disruptionsAllowed === 2);
  expect(status).toMatchObject({ currentHealthy: 3, desiredHealthy: 1, expectedPods: 3 });
  const allowed = status?.conditions?.find(({ type }) => type === "DisruptionAllowed");
  expect(allowed?.status).toBe("True");
});

conformance("apps-b9ecef", "An eviction is blocked until its budget allows it", async (given) => {
  const { kube, namespace } = given;
  const budgets = kube.resource(podDisruptionBudgets, namespace);
  const all = kube.resource(pods, namespace);
  const [name = ""] = await readyPods(given, 3);
  const evict = () =>
    kube.send<metav1.Status>("POST", all.path(name, "eviction"), {
      body: { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace } },
    });
  await budgets.create({ metadata: { name: "foo" }, spec: { ...spec, minAvailable: 3 } });
  await budgets.until("foo", ({ status }) => status?.currentHealthy === 3);
  const refused = await evict();
  expect([refused.code, refused.body.reason]).toEqual([429, "TooManyRequests"]);
  expect(refused.body.details?.causes?.map(({ reason }) => reason)).toEqual(["DisruptionBudget"]);
  await budgets.update("foo", (budget) => {
    budget.spec.minAvailable = 2;
  });
  await eventually("the eviction", async () => ((await evict()).code === 201 ? true : undefined));
  await all.untilGone(name);
});
