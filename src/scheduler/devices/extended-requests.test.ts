import fc from "fast-check";
import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { podRequest } from "../resources.ts";
import { podOf } from "../scheduler.fixture.ts";
import { classOf } from "./devices.fixture.ts";
import { classesByResource, deviceResources, extendedRequests } from "./extended-requests.ts";

const gpu = "example.com/gpu";
const gpuClass = { ...classOf("gpu"), spec: { extendedResourceName: gpu } };
const classFor = (name: string) => classesByResource([gpuClass]).get(name);

function podWith(containers: readonly number[], init: readonly { count: number; stays: boolean }[] = []) {
  const ask = (count: number) => (count > 0 ? { resources: { requests: { cpu: "1", [gpu]: count } } } : {});
  const pod = podOf("p");
  return {
    ...pod,
    spec: {
      ...pod.spec,
      containers: containers.map((count, i) => ({ name: `c${i}`, image: "x", ...ask(count) })),
      initContainers: init.map(({ count, stays }, i) => ({
        ...{ name: `i${i}`, image: "x", ...ask(count) },
        ...(stays ? { restartPolicy: "Always" as const } : {}),
      })),
    },
  } as corev1.Pod;
}

test("each container gets a request of its own", () => {
  const { requests, mappings } = extendedRequests(podWith([1, 0, 2]), [gpu], classFor);
  const exactly = (count: number) => ({ deviceClassName: "gpu", allocationMode: "ExactCount", count });
  expect(requests).toEqual([
    { name: "container-0-request-1", exactly: exactly(1) },
    { name: "container-2-request-1", exactly: exactly(2) },
  ]);
  expect(mappings).toEqual([
    { containerName: "c0", resourceName: gpu, requestName: "container-0-request-1" },
    { containerName: "c2", resourceName: gpu, requestName: "container-2-request-1" },
  ]);
});

test("init containers use the devices of those that come later, and share what is more", () => {
  const init = [
    { count: 3, stays: false },
    { count: 1, stays: true },
    { count: 4, stays: false },
  ];
  const { requests, mappings } = extendedRequests(podWith([2], init), [gpu], classFor);
  expect(requests.map(({ name, exactly }) => [name, exactly?.count])).toEqual([
    ["container-1-request-1", 1],
    ["container-2-request-1", 2],
    ["container-3-request-1", 2],
  ]);
  expect(mappings.map(({ containerName, requestName }) => [containerName, requestName])).toEqual([
    ["i1", "container-1-request-1"],
    ["c0", "container-3-request-1"],
    ["i0", "container-1-request-1"],
    ["i0", "container-3-request-1"],
    ["i2", "container-3-request-1"],
    ["i2", "container-2-request-1"],
  ]);
});

test("the claim asks for as many as the pod does, and every container finds at least its own", () => {
  const counts = fc.array(fc.nat(5), { minLength: 1, maxLength: 4 });
  const init = fc.array(fc.record({ count: fc.nat(5), stays: fc.boolean() }), { maxLength: 4 });
  const property = fc.property(counts, init, (containers, starting) => {
    const pod = podWith(containers, starting);
    const { requests, mappings } = extendedRequests(pod, [gpu], classFor);
    const count = new Map(requests.map(({ name, exactly }) => [name, exactly?.count ?? 0]));
    const all = [...count.values()].reduce((sum, each) => sum + each, 0);
    expect(all).toBe(podRequest(pod).others.get(gpu) ?? 0);
    for (const { name, resources } of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
      const own = mappings.filter(({ containerName }) => containerName === name);
      const found = own.reduce((sum, { requestName }) => sum + count.get(requestName)!, 0);
      expect(found).toBeGreaterThanOrEqual(Number(resources?.requests?.[gpu] ?? 0));
    }
  });
  fc.assert(property);
});

test("of classes for the same resource the newest stands for it, then the first by name; each by its own name too", () => {
  const of = (name: string, creationTimestamp: string) => ({
    ...gpuClass,
    metadata: { ...gpuClass.metadata, name, creationTimestamp },
  });
  const late = "2026-01-02T00:00:00Z";
  const found = classesByResource([of("b", late), of("old", "2026-01-01T00:00:00Z"), of("a", late)]);
  expect(found.get(gpu)?.metadata.name).toBe("a");
  expect(found.get("deviceclass.resource.kubernetes.io/old")?.metadata.name).toBe("old");
});

test("what nobody's class stands for, and what Kubernetes itself counts, is no device", () => {
  const request = podRequest(podWith([1]));
  request.others.set("hugepages-2Mi", 1);
  request.others.set("example.com/other", 1);
  request.others.set("deviceclass.resource.kubernetes.io/gpu", 1);
  const every = (name: string) => (name === "example.com/other" ? undefined : gpuClass);
  expect(deviceResources({ request }, every)).toEqual([
    "deviceclass.resource.kubernetes.io/gpu",
    "example.com/gpu",
  ]);
});
