/** Pods go where they fit and where they want to be, and nowhere else. */
import { expect } from "vitest";
import { nodes, pods } from "#api";
import { podSpec } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";
import { consumer, openNode, untilScheduled, untilUnschedulable, withResource } from "./nodes.ts";

conformance(
  "scheduling-8e0ffb",
  "A pod that asks for more than the nodes have left is not scheduled",
  async (given) => {
    const all = given.kube.resource(pods, given.namespace);
    const node = await openNode(given);
    const resource = await withResource(given, node, 1_000);
    await all.create(consumer(given.image, { name: "filler", resource, amount: 700 }));
    const filler = await untilScheduled(given, "filler");
    expect(filler.spec.nodeName).toBe(node.metadata.name);
    await all.create(consumer(given.image, { name: "additional", resource, amount: 500 }));
    const refused = await untilUnschedulable(given, "additional");
    expect(refused.spec.nodeName).toBeUndefined();
    const condition = refused.status?.conditions?.find(({ type }) => type === "PodScheduled");
    expect(condition?.message).toContain(`Insufficient ${resource}`);
  },
);

async function labelled(given: Given): Promise<{ node: string; label: Record<string, string> }> {
  const { metadata } = await openNode(given);
  const key = `example.com/${given.namespace}`;
  const all = given.kube.resource(nodes);
  await all.patch(metadata.name, "merge", { metadata: { labels: { [key]: "42" } } });
  given.afterwards(() => all.patch(metadata.name, "merge", { metadata: { labels: { [key]: null } } }));
  return { node: metadata.name, label: { [key]: "42" } };
}

conformance("scheduling-fc2f72", "A pod goes to the node that its selector matches", async (given) => {
  const { node, label } = await labelled(given);
  const spec = podSpec(given.image, { nodeSelector: label });
  await given.kube.resource(pods, given.namespace).create({ metadata: { name: "with-labels" }, spec });
  expect((await untilScheduled(given, "with-labels")).spec.nodeName).toBe(node);
});

conformance("scheduling-104c8b", "A pod whose selector matches no node is not scheduled", async (given) => {
  const spec = podSpec(given.image, { nodeSelector: { [`example.com/${given.namespace}`]: "nonempty" } });
  await given.kube.resource(pods, given.namespace).create({ metadata: { name: "restricted" }, spec });
  const refused = await untilUnschedulable(given, "restricted");
  expect(refused.spec.nodeName).toBeUndefined();
});

conformance(
  "scheduling-f0056f",
  "A host port on 0.0.0.0 is taken on every address of the node",
  async (given) => {
    const all = given.kube.resource(pods, given.namespace);
    const { node, label } = await labelled(given);
    const { status } = await given.kube.resource(nodes).get(node);
    const hostIP = status?.addresses?.find(({ type }) => type === "InternalIP")?.address ?? "";
    expect(hostIP).not.toBe("");
    const taking = (name: string, address: string) => {
      const spec = podSpec(given.image, { nodeSelector: label });
      const port = { containerPort: 8080, hostPort: 54_322, protocol: "TCP" as const, hostIP: address };
      spec.containers![0]!.ports = [port];
      return { metadata: { name }, spec };
    };
    await all.create(taking("everywhere", "0.0.0.0"));
    await untilScheduled(given, "everywhere");
    await all.create(taking("one-address", hostIP));
    const refused = await untilUnschedulable(given, "one-address");
    expect(refused.spec.nodeName).toBeUndefined();
  },
);
