/** What the conformance tests need of the cluster itself. */
import { expect } from "vitest";
import { nodes } from "#api";
import { conformance } from "../suite.ts";

conformance("architecture-0c3346", "At least two nodes take pods", async ({ kube }) => {
  const { items } = await kube.resource(nodes).list();
  const open = items.filter(({ spec, status }) => {
    const isReady = status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True");
    const isTainted = spec?.taints?.some(({ effect }) => effect === "NoSchedule" || effect === "NoExecute");
    return isReady && !spec?.unschedulable && !isTainted;
  });
  expect(open.length).toBeGreaterThanOrEqual(2);
});
