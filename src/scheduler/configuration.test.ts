import fc from "fast-check";
import { expect, test } from "vitest";
import { UserError } from "#base";
import { readSchedulerConfiguration, settingsOf } from "./configuration.ts";
import type { KubeSchedulerConfiguration } from "./configuration-shape.ts";
import { cacheOf, nodeOf, noKin, placeOf, podOf, trySchedule } from "./scheduler.fixture.ts";

const of = (profiles?: KubeSchedulerConfiguration["profiles"]): KubeSchedulerConfiguration => ({
  apiVersion: "kubescheduler.config.k8s.io/v1",
  kind: "KubeSchedulerConfiguration",
  ...(profiles ? { profiles } : {}),
});
const profilesOf = (configuration: KubeSchedulerConfiguration) => settingsOf(configuration).profiles;
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
    [of([{}, {}]), /profiles\[1\].schedulerName: Duplicate value: "default-scheduler"/],
    [of([{ plugins: { permit: { disabled: [{ name: "GangScheduling" }] } } }]), /plugins.permit.disabled/],
    [of([{ plugins: { score: { enabled: [{ name: "Mine" }] } } }]), /plugin "Mine" does not exist/],
    [of([{ plugins: { multiPoint: { disabled: [{ name: "*" }] } } }]), /but got 0/],
    [of([{ plugins: { score: { enabled: [{ name: "ImageLocality", weight: -1 }] } } }]), /weighs -1/],
  ];
  for (const [configuration, message] of refused) expect(() => profilesOf(configuration)).toThrow(message);
});

const head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

test("reads upstream's file: what every field says, and those that change nothing here", () => {
  const text = `${head}
leaderElection: {leaderElect: true, resourceLock: leases}
clientConnection: {kubeconfig: /etc/kubernetes/scheduler.conf}
percentageOfNodesToScore: 30
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
profiles:
- plugins:
    preEnqueue: {enabled: [{name: SchedulingGates}]}
    postFilter: {disabled: [{name: "*"}]}
- schedulerName: packing
  percentageOfNodesToScore: 100
  pluginConfig:
  - name: DefaultPreemption
    args: {apiVersion: kubescheduler.config.k8s.io/v1, kind: DefaultPreemptionArgs, minCandidateNodesAbsolute: 7}
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 3}]}}
extenders:
- {urlPrefix: "http://127.0.0.1:9/x", filterVerb: filter, httpTimeout: 200ms, ignorable: true}
`;
  const { configuration, unused } = readSchedulerConfiguration(text, "scheduler.yaml");
  expect(unused).toEqual(["leaderElection", "clientConnection"]);
  const { profiles, extenders, backoff } = settingsOf(configuration);
  expect(backoff).toEqual({ initialMs: 2_000, maxMs: 20_000 });
  expect(extenders.map(({ timeoutMs, ignorable }) => [timeoutMs, ignorable])).toEqual([[200, true]]);
  expect(
    profiles.map(({ percentageOfNodesToScore, preemption }) => [percentageOfNodesToScore, preemption]),
  ).toEqual([
    [30, { isOn: false, candidatesPercent: 10, candidatesMin: 100 }],
    [100, { isOn: true, candidatesPercent: 10, candidatesMin: 7 }],
  ]);
});

test.each([
  ["", "must be a map"],
  ["a: [", "Flow sequence"],
  ["apiVersion: v1\nkind: Pod", "it is v1 Pod"],
  [`${head}profile: []`, 'unknown field "profile"'],
  [`${head}constructor: 1`, 'unknown field "constructor"'],
  [`${head}profiles: [{schedulername: x}]`, 'unknown field "profiles[0].schedulername"'],
  [`${head}profiles: [{plugins: {scores: {}}}]`, 'unknown field "profiles[0].plugins.scores"'],
  [
    `${head}profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {typ: x}}}]}]`,
    'unknown field "profiles[0].pluginConfig[0].args.scoringStrategy.typ"',
  ],
  [
    `${head}profiles: [{pluginConfig: [{name: NodeAffinity, args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: 5}}}]}]`,
    "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution: Invalid value: 5: must be a map",
  ],
  [`${head}profiles: x`, 'profiles: Invalid value: "x": must be a list'],
  [
    `${head}extenders: [{weight: much}]`,
    'extenders[0].weight: Invalid value: "much": must be a whole number',
  ],
  [`${head}extenders: [{httpTimeout: soon}]`, 'extenders[0].httpTimeout: Invalid value: "soon"'],
  [
    `${head}percentageOfNodesToScore: 101`,
    "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
  ],
  [
    `${head}podInitialBackoffSeconds: 0`,
    "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0",
  ],
  [
    `${head}podMaxBackoffSeconds: 0`,
    "podMaxBackoffSeconds: Invalid value: 0: must be greater than or equal to PodInitialBackoffSeconds",
  ],
  [`${head}profiles: [{schedulerName: ""}]`, "profiles[0].schedulerName: Required value"],
  [
    `${head}profiles: [{pluginConfig: [{name: X}]}]`,
    'profiles[0].pluginConfig[0]: plugin "X" does not exist',
  ],
  [
    `${head}profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Most}}}]}]`,
    'profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: "Most"',
  ],
  [
    `${head}profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: RequestedToCapacityRatio}}}]}]`,
    "requestedToCapacityRatio: Required value: must be specified when type is RequestedToCapacityRatio",
  ],
  [
    `${head}profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]`,
    "args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
  ],
  [
    `${head}profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: [{maxSkew: 0}]}}]}]`,
    "args.defaultConstraints[0].topologyKey: Required value: can not be empty",
  ],
  [
    `${head}profiles: [{pluginConfig: [{name: DefaultPreemption, args: {minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0}}]}]`,
    "cannot be zero at the same time as minCandidateNodesAbsolute",
  ],
  [
    `${head}profiles: [{pluginConfig: [{name: NodeResourcesBalancedAllocation, args: {resources: [{name: cpu, weight: 2}]}}]}]`,
    "args.resources[0].weight: Invalid value: 2: must be 1",
  ],
])("refuses %j", (text, words) => {
  expect(() => readSchedulerConfiguration(text, "scheduler.yaml")).toThrow(words);
  expect(() => readSchedulerConfiguration(text, "scheduler.yaml")).toThrow(/^scheduler.yaml: /);
});

test("whatever a plugin is told, the answer is a setting or a clear refusal", () => {
  const leaf = fc.oneof(fc.constantFrom("System", "In", "zone", "x"), fc.integer(), fc.constant(null));
  const name = fc.constantFrom(
    ...[
      "addedAffinity",
      "defaultConstraints",
      "defaultingType",
      "scoringStrategy",
      "resources",
      "shape",
      "type",
    ],
    ...["requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"],
    ...["nodeSelectorTerms", "matchExpressions", "key", "operator", "values", "preference", "weight"],
  );
  const tree = fc.letrec((tie) => ({
    node: fc.oneof(
      { maxDepth: 6 },
      leaf,
      fc.array(tie("node"), { maxLength: 2 }),
      fc.dictionary(name, tie("node"), { maxKeys: 2 }),
    ),
  })).node;
  const plugin = fc.constantFrom("NodeAffinity", "PodTopologySpread", "NodeResourcesFit", "VolumeBinding");
  const property = fc.property(plugin, fc.dictionary(name, tree, { maxKeys: 2 }), (which, args) => {
    const text = JSON.stringify(of([{ pluginConfig: [{ name: which, args }] }]));
    try {
      readSchedulerConfiguration(text, "scheduler.yaml");
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
    }
  });
  fc.assert(property, { numRuns: 500 });
});

test("whatever stands in the file, the answer is a setting or a clear refusal", () => {
  const leaf = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null));
  const name = fc.constantFrom("name", "enabled", "args", "plugins", "score", "resources", "scoringStrategy");
  const tree = fc.letrec((tie) => ({
    node: fc.oneof(leaf, fc.array(tie("node"), { maxLength: 3 }), fc.dictionary(name, tie("node"))),
  })).node;
  const field = fc.constantFrom("profiles", "extenders", "parallelism", "podMaxBackoffSeconds");
  const property = fc.property(fc.dictionary(field, tree), (fields) => {
    const text = JSON.stringify({ ...of(), ...fields });
    try {
      readSchedulerConfiguration(text, "scheduler.yaml");
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
    }
  });
  fc.assert(property);
});
