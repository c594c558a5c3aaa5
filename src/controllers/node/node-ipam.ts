/**
 * Ranges of pod addresses for nodes that come without: those that join are handed theirs as they do, those that others
 * create get one here. https://kubernetes.io/docs/concepts/cluster-administration/networking/#cluster-network-ipaddresses
 */
import { type corev1, nodes } from "#api";
import {
  after,
  type ControllerContext,
  defineController,
  done,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
} from "../kit/define-controller.ts";

/** A node that goes leaves its range to others. */
const againMs = 30_000;

interface State {
  node: Readonly<corev1.Node>;
}

export const nodeIpamController = defineController<State, State>({
  name: "node-ipam-controller",
  primary: nodes,
  concurrency: 1,
  rules: [rule("", ["nodes"], [...readVerbs, "patch", "update"]), ...eventRules],
  observe({ informers, options }, key) {
    const node = informers.of(nodes).byKey(key);
    return node && options.nodeRanges ? { node } : undefined;
  },
  decide: ({ node }) => (node.spec?.podCIDR || node.metadata.deletionTimestamp ? undefined : { node }),
  act,
});

async function act({ node }: State, { client, events, options }: ControllerContext): Promise<Outcome> {
  const { name, uid } = node.metadata;
  const given = await options.nodeRanges?.give(name, (spec) =>
    client.patch(nodes, { name }, "merge", { metadata: { uid }, spec }),
  );
  if (given !== undefined) return done;
  events.record(node, "Normal", "CIDRNotAvailable", `Node ${name} status is now: CIDRNotAvailable`);
  return after(againMs);
}
