/**
 * Values of a `KubeSchedulerConfiguration` that cannot be, told as upstream tells them.
 * https://github.com/kubernetes/kubernetes/tree/v1.36.0/pkg/scheduler/apis/config/validation
 */
import { qualifiedNameErrors } from "#api";
import { type KubeSchedulerConfiguration, type ProfileConfiguration, shown } from "./configuration-shape.ts";
import type { SpreadArgs } from "./plugins/pod-topology-spread.ts";
import type { PluginArgs, WeighedResource } from "./profile.ts";

type Tell = (path: string, value: unknown, why: string) => void;

const strategies = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];
const customScoreMax = 10;

/** Every fault at once. */
export function valueErrors(configuration: KubeSchedulerConfiguration): string[] {
  const told: string[] = [];
  const tell: Tell = (path, value, why) => void told.push(`${path}: Invalid value: ${shown(value)}: ${why}`);
  const { podInitialBackoffSeconds: initial = 1, podMaxBackoffSeconds: max = 10 } = configuration;
  const { parallelism = 1, percentageOfNodesToScore } = configuration;
  if (parallelism <= 0) tell("parallelism", parallelism, "should be an integer value greater than zero");
  checkPercentage("percentageOfNodesToScore", percentageOfNodesToScore, tell);
  if (initial <= 0) tell("podInitialBackoffSeconds", initial, "must be greater than 0");
  if (max < initial)
    tell("podMaxBackoffSeconds", max, "must be greater than or equal to PodInitialBackoffSeconds");
  const profiles = configuration.profiles ?? [];
  profiles.forEach((profile, i) => void checkProfile(profile, `profiles[${i}]`, told, tell));
  return told;
}

function checkPercentage(path: string, value: number | undefined, tell: Tell): void {
  if (value !== undefined && (value < 0 || value > 100)) tell(path, value, "not in valid range [0-100]");
}

function checkProfile(profile: ProfileConfiguration, path: string, told: string[], tell: Tell): void {
  if (profile.schedulerName === "") told.push(`${path}.schedulerName: Required value`);
  checkPercentage(`${path}.percentageOfNodesToScore`, profile.percentageOfNodesToScore, tell);
  const seen = new Set<string>();
  profile.pluginConfig?.forEach(({ name, args = {} }, i) => {
    const at = `${path}.pluginConfig[${i}]`;
    if (seen.has(name)) told.push(`${at}: Duplicate value: ${JSON.stringify(name)}`);
    seen.add(name);
    const check = Object.hasOwn(checks, name) ? checks[name as keyof PluginArgs] : undefined;
    check?.(args as never, `${at}.args`, tell, told);
  });
}

type Checks = {
  [K in keyof PluginArgs]: (
    args: NonNullable<PluginArgs[K]>,
    path: string,
    tell: Tell,
    told: string[],
  ) => void;
};

const checks: Checks = {
  DefaultPreemption(args, path, tell) {
    const { minCandidateNodesPercentage: percent = 10, minCandidateNodesAbsolute: absolute = 100 } = args;
    const [percentPath, absolutePath] = [
      `${path}.minCandidateNodesPercentage`,
      `${path}.minCandidateNodesAbsolute`,
    ];
    if (percent < 0 || percent > 100) tell(percentPath, percent, "not in valid range [0, 100]");
    if (absolute < 0) tell(absolutePath, absolute, "not in valid range [0, inf)");
    if (percent !== 0 || absolute !== 0) return;
    tell(percentPath, percent, "cannot be zero at the same time as minCandidateNodesAbsolute");
    tell(absolutePath, absolute, "cannot be zero at the same time as minCandidateNodesPercentage");
  },
  InterPodAffinity({ hardPodAffinityWeight: weight = 1 }, path, tell) {
    if (weight < 0 || weight > 100)
      tell(`${path}.hardPodAffinityWeight`, weight, "not in valid range [0, 100]");
  },
  NodeResourcesBalancedAllocation({ resources = [] }, path, tell, told) {
    resources.forEach(({ name, weight = 1 }, i) => {
      const at = `${path}.resources[${i}]`;
      if (resources.findIndex((other) => other.name === name) < i)
        told.push(`${at}.name: Duplicate value: ${JSON.stringify(name)}`);
      if (weight !== 1) tell(`${at}.weight`, weight, "must be 1");
    });
  },
  NodeResourcesFit(args, path, tell, told) {
    const groups = args.ignoredResourceGroups ?? [];
    args.ignoredResources?.forEach((name, i) => void checkName(`${path}.ignoredResources[${i}]`, name, tell));
    groups.forEach((group, i) => {
      const at = `${path}.ignoredResourceGroups[${i}]`;
      if (group.includes("/")) tell(at, group, "resource group name can't contain '/'");
      checkName(at, group, tell);
    });
    if (args.scoringStrategy) checkStrategy(args.scoringStrategy, `${path}.scoringStrategy`, tell, told);
  },
  PodTopologySpread: checkSpread,
  VolumeBinding({ bindTimeoutSeconds: seconds = 0, shape }, path, tell) {
    if (seconds < 0)
      tell(
        `${path}.bindTimeoutSeconds`,
        seconds,
        "invalid BindTimeoutSeconds, should not be a negative value",
      );
    if (shape)
      tell(
        `${path}.shape`,
        shape,
        "unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring",
      );
  },
};

function checkName(path: string, name: string, tell: Tell): void {
  for (const why of qualifiedNameErrors(name)) tell(path, name, why);
}

type Strategy = NonNullable<NonNullable<PluginArgs["NodeResourcesFit"]>["scoringStrategy"]>;

function checkStrategy(strategy: Strategy, path: string, tell: Tell, told: string[]): void {
  const { type = "", resources = [], requestedToCapacityRatio: ratio } = strategy;
  if (!strategies.includes(type)) told.push(unsupported(`${path}.type`, type, strategies));
  checkWeights(resources, `${path}.resources`, tell);
  if (type !== "RequestedToCapacityRatio") {
    const why = "must be nil when type is not RequestedToCapacityRatio";
    if (ratio) told.push(`${path}.requestedToCapacityRatio: Forbidden: ${why}`);
  } else if (ratio) checkCurve(ratio.shape ?? [], `${path}.requestedToCapacityRatio.shape`, tell, told);
  else
    told.push(
      `${path}.requestedToCapacityRatio: Required value: must be specified when type is RequestedToCapacityRatio`,
    );
}

function unsupported(path: string, value: string, choices: readonly string[]): string {
  const list = choices.map((choice) => JSON.stringify(choice)).join(", ");
  return `${path}: Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`;
}

function checkWeights(resources: readonly WeighedResource[], path: string, tell: Tell): void {
  resources.forEach(({ name, weight = 1 }, i) => {
    if (weight <= 0 || weight > 100)
      tell(`${path}[${i}].weight`, weight, `resource weight of ${name} not in valid range (0, 100]`);
  });
}

type Curve = readonly { utilization: number; score: number }[];

function checkCurve(shape: Curve, path: string, tell: Tell, told: string[]): void {
  if (shape.length === 0) told.push(`${path}: Required value: at least one point must be specified`);
  const falls = shape.findIndex(({ utilization }, i) => i > 0 && shape[i - 1]!.utilization >= utilization);
  if (falls > 0)
    tell(
      `${path}[${falls}].utilization`,
      shape[falls]!.utilization,
      "values must be sorted in increasing order",
    );
  shape.forEach(({ utilization = 0, score = 0 }, i) => {
    if (utilization < 0 || utilization > 100)
      tell(`${path}[${i}].utilization`, utilization, "not in valid range [0, 100]");
    if (score < 0 || score > customScoreMax)
      tell(`${path}[${i}].score`, score, `not in valid range [0, ${customScoreMax}]`);
  });
}

function checkSpread(
  { defaultingType = "System", defaultConstraints = [] }: SpreadArgs,
  path: string,
  tell: Tell,
  told: string[],
): void {
  const kinds = ["System", "List"];
  if (!kinds.includes(defaultingType))
    told.push(unsupported(`${path}.defaultingType`, defaultingType, ["List", "System"]));
  else if (defaultingType === "System" && defaultConstraints.length > 0)
    tell(`${path}.defaultingType`, defaultingType, "when .defaultConstraints are not empty");
  const actions = ["DoNotSchedule", "ScheduleAnyway"];
  const seen = new Set<string>();
  defaultConstraints.forEach((constraint, i) => {
    const at = `${path}.defaultConstraints[${i}]`;
    const { maxSkew = 0, topologyKey = "", whenUnsatisfiable = "" } = constraint;
    if (maxSkew <= 0) tell(`${at}.maxSkew`, maxSkew, "not in valid range (0, inf)");
    if (!topologyKey) told.push(`${at}.topologyKey: Required value: can not be empty`);
    else checkName(`${at}.topologyKey`, topologyKey, tell);
    if (!whenUnsatisfiable) told.push(`${at}.whenUnsatisfiable: Required value: can not be empty`);
    else if (!actions.includes(whenUnsatisfiable))
      told.push(unsupported(`${at}.whenUnsatisfiable`, whenUnsatisfiable, actions));
    if ("labelSelector" in constraint)
      told.push(
        `${at}.labelSelector: Forbidden: constraint must not define a selector, as they deduced for each pod`,
      );
    const pair = `{${topologyKey}, ${whenUnsatisfiable}}`;
    if (seen.has(pair)) told.push(`${at}: Duplicate value: ${JSON.stringify(pair)}`);
    seen.add(pair);
  });
}
