import { expect, test } from "vitest";
import { type KubeSchedulerConfiguration, profilesOf } from "./configuration.ts";
import { cacheOf, nodeOf, noKin, placeOf, podOf, trySchedule } from "./scheduler.fixture.ts";

const of = (profiles?: KubeSchedulerConfiguration["profiles"]): KubeSchedulerConfiguration => ({
  apiVersion: "kubescheduler.config.k8s.io/v1",
  kind: "KubeSchedulerConfiguration",
  ...(profiles ? { profiles } : {}),
});
type Profile = NonNullable<KubeSchedulerConfiguration["profiles"]>[number];

/** Where the pod goes: beside the one pod that is there, or elsewhere. */
function place(profile: Profile, pod = podOf("p", { cpu: "1" })): string {
  const nodes = [nodeOf("used", { labels: { zone: "x" } }), nodeOf("empty", { labels: { zone: "y" } })];
  const cache = cacheOf(nodes, [podOf("there", { nodeName: "used", cpu: "2", memory: "2Gi" })]);
  return placeOf(trySchedule(pod, cache, noKin, profilesOf(of([profile]))[0]!));
}

const strategy = (type: string, more = {}) => ({
  pluginConfig: [{ name: "NodeResourcesFit", args: { scoringStrategy: { type, ...more } } }],
});

test("without profiles there is the default one, and several have names of their own", () => {
  expect(profilesOf(of()).map(({ schedulerName }) => schedulerName)).toEqual(["default-scheduler"]);
  const two = profilesOf(of([{}, { schedulerName: "packing", ...strategy("MostAllocated") }]));
  expect(two.map(({ schedulerName }) => schedulerName)).toEqual(["default-scheduler", "packing"]);
});

test("nodes are filled or kept empty as the strategy says", () => {
  expect(place(strategy("LeastAllocated"))).toBe("empty");
  expect(place(strategy("MostAllocated"))).toBe("used");
  const shape = [
    { utilization: 0, score: 0 },
    { utilization: 100, score: 10 },
  ];
  expect(place(strategy("RequestedToCapacityRatio", { requestedToCapacityRatio: { shape } }))).toBe("used");
});

test("plugins are left out, alone or all, and weigh what they are told", () => {
  const disabled = [{ name: "NodeResourcesFit" }];
  const large = podOf("p", { cpu: "9" });
  expect(place({}, large)).toContain("Insufficient cpu");
  expect(place({ plugins: { multiPoint: { disabled } } }, large)).toMatch(/^(used|empty)$/);
  expect(place({ plugins: { filter: { disabled } } }, large)).toMatch(/^(used|empty)$/);
  const only = { disabled: [{ name: "*" }], enabled: [{ name: "NodeResourcesFit", weight: 7 }] };
  const [profile] = profilesOf(of([{ plugins: { score: only } }]));
  const weights = profile!.plugins.filter(({ weight }) => weight > 0);
  expect(weights.map(({ plugin, weight }) => [plugin.name, weight])).toEqual([["NodeResourcesFit", 7]]);
});

test("a profile may keep its pods to some nodes", () => {
  const nodeSelectorTerms = [{ matchExpressions: [{ key: "zone", operator: "In", values: ["x"] }] }];
  const addedAffinity = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } };
  expect(place({ pluginConfig: [{ name: "NodeAffinity", args: { addedAffinity } }] })).toBe("used");
});

test("what is not understood is refused", () => {
  const refused: [KubeSchedulerConfiguration, RegExp][] = [
    [{ ...of(), kind: "Other" }, /cannot be used/],
    [of([{}, {}]), /two profiles/],
    [of([{ plugins: { permit: {} } }]), /plugins.permit/],
    [of([{ plugins: { score: { enabled: [{ name: "Mine" }] } } }]), /no plugin Mine/],
    [of([{ plugins: { score: { enabled: [{ name: "ImageLocality", weight: -1 }] } } }]), /weighs -1/],
  ];
  for (const [configuration, message] of refused) expect(() => profilesOf(configuration)).toThrow(message);
});
