/** What tests of workload controllers ask of a cluster again and again. */
import { expect } from "vitest";
import type { corev1, Draft, KubernetesObject } from "#api";
import { nodes, pods } from "#api";
import { eventually } from "../../eventually.ts";
import type { Kube } from "../kube.ts";
import { sleeper } from "../objects.ts";

/** No registry has it. */
export const missingImage = "localhost/knarr-conformance/missing:never";

export function isActive(pod: corev1.Pod): boolean {
  const { phase } = pod.status ?? {};
  return !pod.metadata.deletionTimestamp && phase !== "Succeeded" && phase !== "Failed";
}

export function isReady(pod: corev1.Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

export function isOwnedBy(object: KubernetesObject, owner: KubernetesObject): boolean {
  return object.metadata.ownerReferences?.some(({ uid }) => uid === owner.metadata.uid) ?? false;
}

/** The object's condition of that type, if it is true. */
export function trueCondition<C extends { type: string; status: string }>(
  object: { status?: { conditions?: readonly C[] } },
  type: string,
): C | undefined {
  return object.status?.conditions?.find((each) => each.type === type && each.status === "True");
}

export async function podsOf(kube: Kube, owner: KubernetesObject): Promise<corev1.Pod[]> {
  const { items } = await kube.resource(pods, owner.metadata.namespace).list();
  return items.filter((pod) => isOwnedBy(pod, owner));
}

/** Waits until the owner's pods are as wanted, and answers them. */
export function untilPods(
  kube: Kube,
  owner: KubernetesObject,
  what: string,
  wanted: (all: readonly corev1.Pod[]) => boolean,
): Promise<corev1.Pod[]> {
  return eventually(`${owner.metadata.name}: ${what}`, async () => {
    const all = await podsOf(kube, owner);
    if (wanted(all)) return all;
    throw new Error(JSON.stringify(all.map(({ metadata, status }) => [metadata.name, status?.phase])));
  });
}

/** Ready nodes where a pod without tolerations may run. */
export async function workerNodes(kube: Kube): Promise<corev1.Node[]> {
  const { items } = await kube.resource(nodes).list();
  const found = items.filter(
    ({ spec, status }) =>
      !spec?.unschedulable &&
      !spec?.taints?.some(({ effect }) => effect !== "PreferNoSchedule") &&
      status?.conditions?.some((each) => each.type === "Ready" && each.status === "True"),
  );
  expect(found.length).toBeGreaterThan(0);
  return found;
}

/** A container that answers each HTTP request on port 8080 with its pod's name. */
export function webServer(image: string): Draft<corev1.Container> {
  const serve = "mkdir -p /tmp/www && hostname > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www";
  return {
    ...sleeper(image),
    command: ["sh", "-c", serve],
    ports: [{ containerPort: 8080 }],
    readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
  };
}

/** Every pod answers with its own name through the API server. */
export async function expectAnswers(kube: Kube, all: readonly corev1.Pod[]): Promise<void> {
  for (const { metadata } of all) {
    const path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}:8080/proxy/`;
    const text = await eventually(`an answer of ${metadata.name}`, async () => {
      const answer = await kube.send("GET", path);
      return answer.code === 200 ? answer.text : undefined;
    });
    expect(text.trim()).toBe(metadata.name);
  }
}
