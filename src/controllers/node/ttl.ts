/**
 * How long kubelets may remember Secrets and ConfigMaps: the longer, the more nodes there are to ask for them.
 * https://kubernetes.io/docs/reference/labels-annotations-taints/#node-alpha-kubernetes-io-ttl
 */
import { type corev1, nodes } from "#api";
import { defineController, done, readVerbs, rule } from "../kit/define-controller.ts";

const annotation = "node.alpha.kubernetes.io/ttl";

/** The sizes overlap: a cluster about a boundary does not change its nodes again and again. */
const sizes: readonly { readonly min: number; readonly max: number; readonly ttlSeconds: number }[] = [
  { min: 0, max: 100, ttlSeconds: 0 },
  { min: 90, max: 500, ttlSeconds: 15 },
  { min: 450, max: 1000, ttlSeconds: 30 },
  { min: 900, max: 2000, ttlSeconds: 60 },
  { min: 1800, max: 10_000, ttlSeconds: 300 },
  { min: 9000, max: Number.POSITIVE_INFINITY, ttlSeconds: 600 },
];

/** `present` stays as long as the size is one of its own. */
export function ttlFor(count: number, present: number | undefined): number {
  const fitting = sizes.filter(({ min, max }) => count >= min && count <= max);
  const kept = fitting.find(({ ttlSeconds }) => ttlSeconds === present);
  return (kept ?? fitting[0])?.ttlSeconds ?? 0;
}

interface State {
  node: Readonly<corev1.Node>;
  count: number;
}

export const ttlController = defineController<State, { ttl: string }>({
  name: "ttl-controller",
  primary: nodes,
  concurrency: 2,
  rules: [rule("", ["nodes"], [...readVerbs, "patch", "update"])],
  observe({ informers }, key) {
    const node = informers.of(nodes).byKey(key);
    return node && { node, count: informers.of(nodes).list().length };
  },
  decide({ node, count }) {
    const text = node.metadata.annotations?.[annotation];
    const present = text === undefined ? undefined : Number(text);
    const ttl = String(ttlFor(count, present));
    return ttl === text || node.metadata.deletionTimestamp ? undefined : { ttl };
  },
  async act({ ttl }, { client }, { node }) {
    const metadata = { uid: node.metadata.uid, annotations: { [annotation]: ttl } };
    await client.patch(nodes, node.metadata, "merge", { metadata });
    return done;
  },
});
