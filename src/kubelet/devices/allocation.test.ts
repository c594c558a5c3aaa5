import fc from "fast-check";
import { expect, test } from "vitest";
import { makeContainer, makePod } from "../testing/pods.ts";
import { type Allocation, candidatesFor, devicesWanted, mergedGrant } from "./allocation.ts";
import { checkRegistration } from "./registration.ts";

const resource = "example.com/toy";
const grant = { envs: {}, mounts: [], devices: [], annotations: {}, cdiDevices: [] };
const held = (podUid: string, container: string, ...ids: string[]): Allocation => ({
  podUid,
  container,
  resource,
  ids,
  grant,
});

test("only what a plugin could offer is wanted", () => {
  const limits = {
    cpu: "1",
    memory: "1Gi",
    "hugepages-2Mi": "2Mi",
    [resource]: "2",
    "example.com/none": "0",
  };
  expect(devicesWanted(makeContainer("main", { resources: { limits } }))).toEqual([[resource, 2]]);
});

test("what an init container had goes on to the others of its pod, and to nobody else", () => {
  const pod = makePod({ initContainers: [makeContainer("init")] });
  const { uid } = pod.metadata;
  const allocations = [held(uid, "init", "a", "b"), held("other", "main", "c"), held(uid, "side", "b")];
  expect(candidatesFor(pod, resource, ["a", "b", "c", "d"], allocations)).toEqual({
    reusable: ["a"],
    free: ["d"],
  });
  expect(candidatesFor(pod, resource, ["b", "c"], allocations)).toEqual({ reusable: [], free: [] });
});

test("nobody is offered what another pod has, or what is not healthy", () => {
  const ids = fc.subarray(["a", "b", "c", "d", "e"]);
  fc.assert(
    fc.property(ids, ids, ids, (healthy, others, inits) => {
      const pod = makePod({ initContainers: [makeContainer("init")] });
      const mine = inits.filter((id) => !others.includes(id));
      const allocations = [held("other", "main", ...others), held(pod.metadata.uid, "init", ...mine)];
      const { reusable, free } = candidatesFor(pod, resource, healthy, allocations);
      const offered = [...reusable, ...free];
      expect(new Set(offered).size).toBe(offered.length);
      for (const id of offered) expect([healthy.includes(id), others.includes(id)]).toEqual([true, false]);
    }),
  );
});

test("of two grants that say the same the first counts", () => {
  const device = (hostPath: string) => ({ containerPath: "/dev/x", hostPath, permissions: "r" });
  const merged = mergedGrant([
    { ...grant, envs: { A: "1" }, devices: [device("/dev/a")] },
    { ...grant, envs: { A: "2", B: "2" }, devices: [device("/dev/b")] },
  ]);
  expect(merged).toMatchObject({ envs: { A: "1", B: "2" }, devices: [device("/dev/a")] });
});

test.each([
  [{ version: "v1", endpoint: "a.sock", resourceName: resource }, "is not supported by kubelet"],
  [{ version: "v1beta1", endpoint: "a.sock", resourceName: "cpu" }, 'the ResourceName "cpu" is invalid'],
  [{ version: "v1beta1", endpoint: "a.sock", resourceName: "kubernetes.io/x" }, "is invalid"],
  [{ version: "v1beta1", endpoint: "../a.sock", resourceName: resource }, "the endpoint"],
])("refuses %j", (request, words) => {
  expect(() => checkRegistration("/plugins", request)).toThrow(words);
});
