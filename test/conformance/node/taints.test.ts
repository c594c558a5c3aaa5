/** Taints that evict: after the shortest time that a pod tolerates them, and not when they go before. */
import { nodes, pods } from "#api";
import { never } from "../../eventually.ts";
import { podSpec } from "../objects.ts";
import { createPod } from "../pods.ts";
import { conformance, type Given } from "../suite.ts";

const taint = {
  key: "kubernetes.io/e2e-evict-taint-key",
  value: "evictTaintVal",
  effect: "NoExecute" as const,
};

/** A running pod that bears the taint for so long; without a time, for ever. */
async function bearing(
  given: Given,
  name: string,
  tolerationSeconds: number,
  node?: string,
): Promise<string> {
  const toleration = { ...taint, operator: "Equal" as const, tolerationSeconds };
  const nodeSelector = node ? { nodeSelector: { "kubernetes.io/hostname": node } } : {};
  const spec = { ...podSpec(given.image), ...nodeSelector, tolerations: [toleration] };
  await createPod(given, { name, spec });
  const all = given.kube.resource(pods, given.namespace);
  return (await all.until(name, ({ status }) => status?.phase === "Running")).spec.nodeName ?? "";
}

/** Only pods of this test bear the taint: it runs alone, and other pods of the node come back. */
async function setTaint(given: Given, node: string, present: boolean): Promise<void> {
  await given.kube.resource(nodes).update(node, ({ spec }) => {
    const others = (spec.taints ?? []).filter(({ key }) => key !== taint.key);
    spec.taints = present ? [...others, taint] : others;
  });
}

conformance(
  "node-1a5a79",
  "Pods are evicted when the time that they bear a taint is over",
  async (given) => {
    const all = given.kube.resource(pods, given.namespace);
    const node = await bearing(given, "shorter", 4);
    await bearing(given, "longer", 8, node);
    given.afterwards(() => setTaint(given, node, false));
    await setTaint(given, node, true);
    await all.untilGone("shorter", 40_000);
    await all.untilGone("longer", 40_000);
  },
  { serial: true },
);

conformance(
  "node-f746de",
  "A taint that goes in time evicts nobody",
  async (given) => {
    const all = given.kube.resource(pods, given.namespace);
    const node = await bearing(given, "stays", 8);
    given.afterwards(() => setTaint(given, node, false));
    await setTaint(given, node, true);
    const isGone = async () => ((await all.get("stays")).metadata.deletionTimestamp ? true : undefined);
    await never("an eviction", isGone, 4000);
    await setTaint(given, node, false);
    await never("an eviction", isGone, 10_000);
  },
  { serial: true },
);
