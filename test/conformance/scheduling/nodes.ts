/** A node to schedule on, with something of its own that no other node has. */
import { type corev1, type Draft, nodes, pods, priorityClasses } from "#api";
import { podSpec } from "../objects.ts";
import type { Given } from "../suite.ts";

/** A ready node that takes any pod. */
export async function openNode({ kube }: Given): Promise<corev1.Node> {
  const { items } = await kube.resource(nodes).list();
  const found = items.find(
    ({ spec, status }) =>
      !spec.unschedulable &&
      !spec.taints?.some(({ effect }) => effect !== "PreferNoSchedule") &&
      status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True"),
  );
  if (!found) throw new Error("no node is ready and open to all pods");
  return found;
}

/** Gives the node an amount of something that nobody else knows. */
export async function withResource(given: Given, node: corev1.Node, amount: number): Promise<string> {
  const name = `example.com/${given.namespace}`;
  const all = given.kube.resource(nodes);
  const set = (value: string | null) =>
    all.patch(
      node.metadata.name,
      "merge",
      { status: { capacity: { [name]: value }, allocatable: { [name]: value } } },
      "status",
    );
  await set(String(amount));
  given.afterwards(() => set(null));
  return name;
}

/** A class of pods with a value of its own; answers its name. */
export async function withPriority(given: Given, value: number): Promise<string> {
  const name = given.unique(`priority-${value}`);
  const all = given.kube.resource(priorityClasses);
  await all.create({ metadata: { name }, value });
  given.afterwards(() => all.delete(name));
  return name;
}

export interface PodWishes {
  name: string;
  resource: string;
  amount: number;
  priorityClassName?: string;
  finalizers?: string[];
}

/** A pod that asks for so much of the resource. */
export function consumer(image: string, wishes: PodWishes): Draft<corev1.Pod> {
  const { name, resource, amount, priorityClassName, finalizers } = wishes;
  const spec = podSpec(image, { ...(priorityClassName ? { priorityClassName } : {}) });
  const quantities = { [resource]: String(amount) };
  spec.containers![0]!.resources = { requests: quantities, limits: quantities };
  return { metadata: { name, ...(finalizers ? { finalizers } : {}) }, spec };
}

export function untilScheduled({ kube, namespace }: Given, name: string): Promise<corev1.Pod> {
  return kube.resource(pods, namespace).until(name, ({ spec }) => Boolean(spec.nodeName));
}

export function untilRunning({ kube, namespace }: Given, name: string): Promise<corev1.Pod> {
  return kube.resource(pods, namespace).until(name, ({ status }) => status?.phase === "Running");
}

/** The scheduler has tried and found no node. */
export function untilUnschedulable({ kube, namespace }: Given, name: string): Promise<corev1.Pod> {
  return kube
    .resource(pods, namespace)
    .until(name, ({ status }) =>
      Boolean(
        status?.conditions?.some(
          ({ type, status: value, reason }) =>
            type === "PodScheduled" && value === "False" && reason === "Unschedulable",
        ),
      ),
    );
}
