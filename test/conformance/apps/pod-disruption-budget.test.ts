/** PodDisruptionBudget as an API, and what its controller makes of it. */
import { expect } from "vitest";
import { podDisruptionBudgets } from "#api";
import { livesThroughEveryVerb } from "../life-cycle.ts";
import { conformance } from "../suite.ts";

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
