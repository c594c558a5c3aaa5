import fc from "fast-check";
import { expect, test } from "vitest";
import type { Draft, resourcev1 } from "#api";
import { seededRandom } from "#base";
import { cacheOf, nodeOf } from "../scheduler.fixture.ts";
import { claimOf, classOf, deviceWorld, driver, exactly, sliceOf } from "./devices.fixture.ts";
import { allocationOf } from "./result.ts";
import { type DeviceWorld, findDevices } from "./search.ts";

const cache = cacheOf([nodeOf("a", { labels: { zone: "x" } }), nodeOf("b", { labels: { zone: "y" } })]);
const node = (name: string) => cache.node(name)!;

function given(
  claims: readonly resourcev1.ResourceClaim[],
  world: DeviceWorld,
  on = "a",
  steps = 10_000,
): string[][] | undefined {
  const solution = findDevices(claims, node(on), world, { steps });
  return solution?.map((each) => each.given.map(({ candidate }) => candidate.device.name));
}

type Devices = Draft<resourcev1.Device>[];
const gpus = (...names: string[]): Devices => names.map((name) => ({ name }));
const onA = (devices: Devices, pool = {}) => sliceOf("s", { nodeName: "a", devices }, pool);

test("devices are given on the nodes that reach them only", () => {
  const claim = claimOf("c", { requests: [exactly("r")] });
  expect(given([claim], deviceWorld([onA(gpus("g0"))]))).toEqual([["g0"]]);
  expect(given([claim], deviceWorld([onA(gpus("g0"))]), "b")).toBeUndefined();
  expect(given([claim], deviceWorld([sliceOf("s", { allNodes: true, devices: gpus("g0") })]), "b")).toEqual([
    ["g0"],
  ]);
  const inZone = {
    nodeSelectorTerms: [{ matchExpressions: [{ key: "zone", operator: "In", values: ["y"] }] }],
  };
  const selected = deviceWorld([sliceOf("s", { nodeSelector: inZone, devices: gpus("g0") } as never)]);
  expect([given([claim], selected, "a"), given([claim], selected, "b")]).toEqual([undefined, [["g0"]]]);
  const devices = [
    { name: "onA", nodeName: "a" },
    { name: "onB", nodeName: "b" },
  ];
  const perDevice = deviceWorld([sliceOf("s", { perDeviceNodeSelection: true, devices })]);
  expect([given([claim], perDevice, "a"), given([claim], perDevice, "b")]).toEqual([[["onA"]], [["onB"]]]);
});

test("what is taken is not given again, unless to an administrator", () => {
  const world = deviceWorld([onA(gpus("g0", "g1"))]);
  const taken = { devices: { results: [{ driver, pool: "pool", device: "g0", request: "r" }] } };
  world.taken.count(taken, 1);
  expect(given([claimOf("c", { requests: [exactly("r")] })], world)).toEqual([["g1"]]);
  expect(given([claimOf("c", { requests: [exactly("r", { count: 2 })] })], world)).toBeUndefined();
  expect(given([claimOf("c", { requests: [exactly("r", { count: 2, adminAccess: true })] })], world)).toEqual(
    [["g0", "g1"]],
  );
  world.taken.count(taken, -1);
  expect(given([claimOf("c", { requests: [exactly("r", { count: 2 })] })], world)).toEqual([["g0", "g1"]]);
});

test("classes and requests select by expressions; a wrong one is told with its place", () => {
  const big = { name: "big", attributes: { size: { int: 8 } } };
  const small = { name: "small", attributes: { size: { int: 1 } } };
  const world = deviceWorld([onA([small, big])], [classOf("gpu", `device.driver == "${driver}"`)]);
  const select = (expression: string) =>
    claimOf("c", { requests: [exactly("r", { selectors: [{ cel: { expression } }] })] });
  expect(given([select(`device.attributes["${driver}"].size > 4`)], world)).toEqual([["big"]]);
  expect(() => given([select(`device.attributes["${driver}"].colour == "red"`)], world)).toThrow(
    `claim default/c: selector #0 on device ${driver}/pool/small: CEL runtime error: no such key: colour`,
  );
});

test("all matching devices or none; not while the pool is being updated", () => {
  const all = claimOf("c", { requests: [exactly("r", { allocationMode: "All" })] });
  expect(given([all], deviceWorld([onA(gpus("g0", "g1"))]))).toEqual([["g0", "g1"]]);
  expect(given([all], deviceWorld([]))).toBeUndefined();
  const world = deviceWorld([onA(gpus("g0"), { resourceSliceCount: 2 })]);
  expect(() => given([all], world)).toThrow(
    `claim default/c, request r: asks for all devices, but resource pool ${driver}/pool is currently being updated`,
  );
  expect(given([claimOf("c", { requests: [exactly("r")] })], world)).toBeUndefined();
});

test("of an older generation nothing is given, and two devices of one name make a pool invalid", () => {
  const old = sliceOf("old", { nodeName: "a", devices: gpus("g0") });
  const fresh = sliceOf("fresh", { nodeName: "a", devices: gpus("g1") }, { generation: 2 });
  const one = claimOf("c", { requests: [exactly("r")] });
  expect(given([one], deviceWorld([old, fresh]))).toEqual([["g1"]]);
  const twice = deviceWorld([
    sliceOf("s0", { nodeName: "a", devices: gpus("g0") }, { resourceSliceCount: 2 }),
    sliceOf("s1", { nodeName: "a", devices: gpus("g0") }, { resourceSliceCount: 2 }),
  ]);
  expect(() => given([one], twice)).toThrow("invalid resource pools were encountered");
});

test("the first alternative that can be had is taken, and the result names it", () => {
  const subrequests = (first: number) => [
    { name: "many", deviceClassName: "gpu", allocationMode: "ExactCount", count: first },
    { name: "one", deviceClassName: "gpu", allocationMode: "ExactCount", count: 1 },
  ];
  const world = deviceWorld([onA(gpus("g0", "g1"))]);
  for (const [count, name, length] of [
    [2, "r/many", 2],
    [3, "r/one", 1],
    [40, "r/one", 1],
  ] as const) {
    const claim = claimOf("c", { requests: [{ name: "r", firstAvailable: subrequests(count) }] });
    const [solution] = findDevices([claim], node("a"), world, { steps: 1_000 })!;
    const { devices } = allocationOf(solution!, "a", seededRandom(1));
    expect(devices?.results?.map(({ request }) => request)).toEqual(Array(length).fill(name));
  }
});

test("constraints: the same attribute, or another for each", () => {
  const at = (name: string, root: string) => ({ name, attributes: { root: { string: root } } });
  const world = deviceWorld([onA([at("g0", "p"), at("g1", "q"), at("g2", "q")])]);
  const attribute = `${driver}/root`;
  const two = [exactly("r", { count: 2 })];
  expect(
    given([claimOf("c", { requests: two, constraints: [{ matchAttribute: attribute }] })], world),
  ).toEqual([["g1", "g2"]]);
  expect(
    given([claimOf("c", { requests: two, constraints: [{ distinctAttribute: attribute }] })], world),
  ).toEqual([["g0", "g1"]]);
  const three = [exactly("r", { count: 3 })];
  expect(
    given([claimOf("c", { requests: three, constraints: [{ distinctAttribute: attribute }] })], world),
  ).toBeUndefined();
});

test("taints keep claims away that do not tolerate them, by the driver's word and by rules", () => {
  const taints = [{ key: "broken", value: "yes", effect: "NoSchedule" as const }];
  const world = deviceWorld([onA([{ name: "g0", taints }, { name: "g1" }])]);
  const asks = (tolerations?: resourcev1.DeviceToleration[]) =>
    claimOf("c", { requests: [exactly("r", tolerations ? { tolerations } : {})] });
  expect(given([asks()], world)).toEqual([["g1"]]);
  expect(given([asks([{ key: "broken", operator: "Exists" }])], world)).toEqual([["g0"]]);
  const spec = { deviceSelector: { device: "g1" }, taint: { key: "off", effect: "NoExecute" as const } };
  const taintRules = [{ spec }] as unknown as DeviceWorld["taintRules"];
  expect(given([asks()], { ...world, taintRules })).toBeUndefined();
});

test("parts of one device share its counters", () => {
  const parts = ["p0", "p1", "p2"].map((name) => ({
    name,
    consumesCounters: [{ counterSet: "memory", counters: { bytes: { value: "4Gi" } } }],
  }));
  const world = deviceWorld([
    sliceOf(
      "counters",
      { nodeName: "a", sharedCounters: [{ name: "memory", counters: { bytes: { value: "8Gi" } } }] },
      { resourceSliceCount: 2 },
    ),
    sliceOf("devices", { nodeName: "a", devices: parts }, { resourceSliceCount: 2 }),
  ]);
  expect(given([claimOf("c", { requests: [exactly("r", { count: 2 })] })], world)).toEqual([["p0", "p1"]]);
  expect(given([claimOf("c", { requests: [exactly("r", { count: 3 })] })], world)).toBeUndefined();
  world.taken.count({ devices: { results: [{ driver, pool: "pool", device: "p1", request: "r" }] } }, 1);
  expect(given([claimOf("c", { requests: [exactly("r")] })], world)).toEqual([["p0"]]);
  expect(given([claimOf("c", { requests: [exactly("r", { count: 2 })] })], world)).toBeUndefined();
});

test("a device that several share gives each what it asks for, rounded up to its policy, until nothing is left", () => {
  const requestPolicy = { default: "1Gi", validRange: { min: "1Gi", step: "1Gi", max: "6Gi" } };
  const device = {
    name: "nic",
    allowMultipleAllocations: true,
    capacity: { bandwidth: { value: "8Gi", requestPolicy } },
  };
  const world = deviceWorld([onA([device])]);
  const asks = (bandwidth?: string) =>
    claimOf("c", { requests: [exactly("r", bandwidth ? { capacity: { requests: { bandwidth } } } : {})] });
  const take = (bandwidth?: string) => {
    const [solution] = findDevices([asks(bandwidth)], node("a"), world, { steps: 100 }) ?? [];
    if (!solution) return undefined;
    const allocation = allocationOf(solution, "a", seededRandom(1));
    world.taken.count(allocation, 1);
    const [result] = allocation.devices!.results!;
    expect(result!.shareID).toMatch(/-/);
    return result!.consumedCapacity!.bandwidth;
  };
  expect([take("1500Mi"), take(), take("7Gi"), take("5Gi"), take()]).toEqual([
    "2Gi",
    "1Gi",
    undefined,
    "5Gi",
    undefined,
  ]);
});

test("the result says from where devices are reached, and what configures them", () => {
  const gpu = classOf("gpu");
  gpu.spec.config = [{ opaque: { driver, parameters: { mode: "fast" } } }];
  const config = [{ requests: ["r"], opaque: { driver, parameters: { mode: "slow" } } }];
  const claim = claimOf("c", { requests: [exactly("r"), exactly("q")], config } as never);
  const allocate = (world: DeviceWorld) =>
    allocationOf(findDevices([claim], node("a"), world, { steps: 100 })![0]!, "a", seededRandom(1));
  const allocation = allocate(deviceWorld([onA(gpus("g0", "g1"))], [gpu]));
  expect(allocation.nodeSelector?.nodeSelectorTerms).toEqual([
    { matchFields: [{ key: "metadata.name", operator: "In", values: ["a"] }] },
  ]);
  expect(allocation.devices?.config).toEqual([
    { opaque: { driver, parameters: { mode: "fast" } }, source: "FromClass" },
    { opaque: { driver, parameters: { mode: "slow" } }, source: "FromClaim", requests: ["r"] },
  ]);
  const everywhere = deviceWorld([sliceOf("s", { allNodes: true, devices: gpus("g0", "g1") })]);
  expect(allocate(everywhere).nodeSelector).toBeUndefined();
});

test("a search that would take for ever ends", () => {
  const names = Array.from({ length: 64 }, (_, i) => `g${i}`);
  const devices = names.map((name, i) => ({ name, attributes: { root: { int: i >> 1 } } }));
  const constraints = [{ matchAttribute: `${driver}/root` }];
  const claim = claimOf("c", {
    requests: [exactly("a"), exactly("b"), exactly("c", { count: 8 })],
    constraints,
  });
  expect(() => given([claim], deviceWorld([onA(devices)]), "a", 2)).toThrow(
    "timed out trying to allocate devices",
  );
  expect(given([claim], deviceWorld([onA(devices)]), "a", 100_000)).toBeUndefined();
});

test("a solution is found exactly where one exists, and keeps every rule", () => {
  const device = fc.record({ kind: fc.constantFrom("x", "y"), root: fc.nat(1), taken: fc.boolean() });
  const request = fc.record({
    kind: fc.constantFrom("x", "y", undefined),
    count: fc.integer({ min: 1, max: 2 }),
  });
  fc.assert(
    fc.property(
      fc.array(device, { maxLength: 5 }),
      fc.array(request, { minLength: 1, maxLength: 3 }),
      fc.boolean(),
      (all, wanted, same) => {
        const devices = all.map(({ kind, root }, i) => ({
          name: `g${i}`,
          attributes: { kind: { string: kind }, root: { int: root } },
        }));
        const world = deviceWorld([onA(devices)]);
        const results = all.flatMap(({ taken }, i) =>
          taken ? [{ driver, pool: "pool", device: `g${i}`, request: "r" }] : [],
        );
        world.taken.count({ devices: { results } }, 1);
        const requests = wanted.map(({ kind, count }, i) => {
          const expression = `device.attributes["${driver}"].kind == "${kind}"`;
          return exactly(`r${i}`, { count, ...(kind ? { selectors: [{ cel: { expression } }] } : {}) });
        });
        const constraints = same ? [{ matchAttribute: `${driver}/root` }] : [];
        const found = given([claimOf("c", { requests, constraints })], world)?.[0];
        const slots = wanted.flatMap(({ kind, count }) => Array<string | undefined>(count).fill(kind));
        const fits = (chosen: readonly number[]) =>
          chosen.every((i, slot) => !all[i]!.taken && (slots[slot] ?? all[i]!.kind) === all[i]!.kind) &&
          (!same || new Set(chosen.map((i) => all[i]!.root)).size <= 1);
        if (found)
          expect(
            fits(found.map((name) => Number(name.slice(1)))) && new Set(found).size === slots.length,
          ).toBe(true);
        else expect(arrangements(all.length, slots.length).some(fits)).toBe(false);
      },
    ),
  );
});

function arrangements(of: number, length: number): number[][] {
  if (length === 0) return [[]];
  return arrangements(of, length - 1).flatMap((shorter) =>
    Array.from({ length: of }, (_, i) => i)
      .filter((i) => !shorter.includes(i))
      .map((i) => [...shorter, i]),
  );
}
