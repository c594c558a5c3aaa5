/**
 * `KubeSchedulerConfiguration`: profiles, which plugins each has, what they weigh and what they are told.
 * https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/
 */
import { parse } from "yaml";
import { messageOf, UserError } from "#base";
import { valueErrors } from "./configuration-checks.ts";
import {
  extensionPoints,
  type KubeSchedulerConfiguration,
  type PluginChoice,
  type PluginSet,
  type ProfileConfiguration,
  shapeErrors,
  unusedFields,
} from "./configuration-shape.ts";
import {
  type ExtenderSettings,
  extenderSettings,
  ignoredResources,
} from "./extenders/extender-configuration.ts";
import {
  defaultPlugins,
  defaultProfile,
  type PluginArgs,
  type ProfileEntry,
  type SchedulerProfile,
} from "./profile.ts";

/** How long a pod that failed waits before it is tried again: doubling from the one to the other. */
export interface Backoff {
  readonly initialMs: number;
  readonly maxMs: number;
}

/** A configuration as the scheduler takes it. */
export interface SchedulerSettings {
  readonly profiles: readonly SchedulerProfile[];
  /** Asked beside the plugins of every profile. */
  readonly extenders: readonly ExtenderSettings[];
  readonly backoff: Backoff;
}

const version = "kubescheduler.config.k8s.io/v1";
const kind = "KubeSchedulerConfiguration";
const fileMaxBytes = 1024 * 1024;
/** Points at which a plugin may be left out by itself. The others follow `multiPoint`. */
const points = new Set(["multiPoint", "filter", "preFilter", "score", "preScore", "postFilter"]);
const preemption = "DefaultPreemption";
/** Told by name, and always there: nothing can be scheduled without them, or they are no plugin of ours. */
const fixed = new Set(["PrioritySort", "SchedulingGates", "DefaultBinder"]);
const weightMax = 100;

/** What a file says; `unused` are its fields that change nothing here. Throws `UserError`, which names the file. */
export function readSchedulerConfiguration(
  content: string,
  file: string,
): { configuration: KubeSchedulerConfiguration; unused: readonly string[] } {
  const refuse = (problem: string, mend: string) => new UserError(`${file}: ${problem}`, mend);
  if (content.length > fileMaxBytes)
    throw refuse("the file is too large", `give at most ${fileMaxBytes} bytes`);
  let value: unknown;
  try {
    value = withoutNulls(parse(content, { maxAliasCount: 100, logLevel: "error" }));
  } catch (error) {
    throw refuse(messageOf(error), `write a ${kind} as YAML or JSON`);
  }
  const faults = shapeErrors(value);
  if (faults.length > 0) throw refuse(faults.join("; "), `see the ${kind} (v1) reference of Kubernetes 1.36`);
  const configuration = value as KubeSchedulerConfiguration;
  try {
    settingsOf(configuration);
  } catch (error) {
    if (error instanceof UserError) throw refuse(error.message, error.mend ?? "mend the file");
    throw error;
  }
  return { configuration, unused: unusedFields(configuration) };
}

/** `null` stands for nothing: the default holds. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const parts = Object.entries(value).filter(([, part]) => part !== null);
  return Object.fromEntries(parts.map(([name, part]) => [name, withoutNulls(part)]));
}

/** Throws `UserError` for what it does not understand: a setting that is silently left out is worse. */
export function settingsOf(configuration: KubeSchedulerConfiguration): SchedulerSettings {
  if (configuration.apiVersion !== version || configuration.kind !== kind)
    throw wrong(`it is ${configuration.apiVersion} ${configuration.kind}`, `write ${version} ${kind}`);
  const faults = valueErrors(configuration);
  if (faults.length > 0) throw wrong(faults.join("; "), `see the ${kind} (v1) reference of Kubernetes 1.36`);
  const { podInitialBackoffSeconds: initial = 1, podMaxBackoffSeconds: max = 10 } = configuration;
  return {
    profiles: profilesOf(configuration),
    extenders: extenderSettings(configuration.extenders ?? []),
    backoff: { initialMs: initial * 1000, maxMs: max * 1000 },
  };
}

function profilesOf(configuration: KubeSchedulerConfiguration): SchedulerProfile[] {
  const ignored = ignoredResources(configuration.extenders ?? []);
  const { percentageOfNodesToScore } = configuration;
  const whole = percentageOfNodesToScore === undefined ? {} : { percentageOfNodesToScore };
  const profiles = (configuration.profiles ?? [{}]).map((profile, i) =>
    profileOf({ ...whole, ...profile }, `profiles[${i}]`, ignored),
  );
  const names = profiles.map(({ schedulerName }) => schedulerName);
  const at = names.findIndex((name, i) => names.indexOf(name) !== i);
  if (at >= 0)
    throw wrong(
      `profiles[${at}].schedulerName: Duplicate value: ${JSON.stringify(names[at])}`,
      "give each schedulerName once",
    );
  return profiles;
}

function wrong(problem: string, mend: string): UserError {
  return new UserError(`the scheduler's configuration cannot be used: ${problem}`, mend);
}

function profileOf(
  profile: ProfileConfiguration,
  path: string,
  ignoredByScheduler: ReadonlySet<string>,
): SchedulerProfile {
  const { schedulerName = defaultProfile.schedulerName, plugins = {}, pluginConfig = [] } = profile;
  checkPlugins(profile, path);
  const args = Object.fromEntries(pluginConfig.map((each) => [each.name, each.args])) as PluginArgs;
  args.NodeResourcesFit = { ...args.NodeResourcesFit, ignoredByScheduler };
  const entries = defaultPlugins(args).flatMap((entry) => chosen(entry, plugins));
  const { percentageOfNodesToScore } = profile;
  const { minCandidateNodesPercentage, minCandidateNodesAbsolute } = args.DefaultPreemption ?? {};
  return {
    schedulerName,
    plugins: entries,
    ...(percentageOfNodesToScore ? { percentageOfNodesToScore } : {}),
    preemption: {
      ...defaultProfile.preemption,
      isOn: preempts(plugins),
      ...(minCandidateNodesPercentage === undefined
        ? {}
        : { candidatesPercent: minCandidateNodesPercentage }),
      ...(minCandidateNodesAbsolute === undefined ? {} : { candidatesMin: minCandidateNodesAbsolute }),
    },
  };
}

function checkPlugins(
  { schedulerName = defaultProfile.schedulerName, plugins = {}, pluginConfig = [] }: ProfileConfiguration,
  path: string,
): void {
  const known = new Set([...defaultPlugins().map(({ plugin }) => plugin.name), preemption, ...fixed]);
  const mend = `use ${[...known].join(", ")}`;
  for (const [point, set] of Object.entries(plugins)) {
    const at = `${path}.plugins.${point}`;
    if (!extensionPoints.includes(point))
      throw wrong(`${at} is no point that can be set`, `use ${[...points].join(", ")}`);
    for (const which of ["enabled", "disabled"] as const)
      set[which]?.forEach(({ name }, i) => {
        if (!known.has(name) && !(which === "disabled" && name === "*"))
          throw wrong(`${at}.${which}[${i}]: plugin ${JSON.stringify(name)} does not exist`, mend);
      });
    if (!points.has(point) && !allEnabled(set))
      throw wrong(
        `${at}.disabled: nothing can be left out at this point by itself`,
        `use ${[...points].join(", ")}`,
      );
  }
  checkNeeded(plugins, schedulerName);
  pluginConfig.forEach(({ name }, i) => {
    if (!known.has(name))
      throw wrong(`${path}.pluginConfig[${i}]: plugin ${JSON.stringify(name)} does not exist`, mend);
  });
}

/** Without these no pod is taken, and none gets its node. */
function checkNeeded(plugins: Plugins, schedulerName: string): void {
  const isThere = (name: string, point: string) =>
    plugins[point]?.enabled?.some((choice) => choice.name === name) || isOn(name, plugins.multiPoint);
  const profile = JSON.stringify(schedulerName);
  if (!isThere("PrioritySort", "queueSort"))
    throw wrong(
      `only one queue sort plugin required for profile with scheduler name ${profile}, but got 0`,
      "enable PrioritySort at queueSort or multiPoint",
    );
  if (!isThere("DefaultBinder", "bind"))
    throw wrong(
      `at least one bind plugin is needed for profile with scheduler name ${profile}`,
      "enable DefaultBinder at bind or multiPoint",
    );
}

/** Nothing is left out, or it is and comes back. */
function allEnabled({ enabled = [], disabled = [] }: PluginSet): boolean {
  return disabled.every(({ name }) =>
    name === "*" ? enabled.length > 0 : enabled.some((choice) => choice.name === name),
  );
}

/** Enabled by name wins over disabled by name or by `*`. */
function isOn(name: string, set: PluginSet | undefined): boolean {
  const names = (choices: readonly PluginChoice[] = [], wanted: string) =>
    choices.some((choice) => choice.name === wanted);
  if (names(set?.enabled, name)) return true;
  return !names(set?.disabled, name) && !names(set?.disabled, "*");
}

type Plugins = Readonly<Record<string, PluginSet>>;

function preempts(plugins: Plugins): boolean {
  if (plugins.postFilter?.enabled?.some(({ name }) => name === preemption)) return true;
  return isOn(preemption, plugins.multiPoint) && isOn(preemption, plugins.postFilter);
}

function chosen(entry: ProfileEntry, plugins: Plugins): ProfileEntry[] {
  const { plugin } = entry;
  if (fixed.has(plugin.name)) return [entry];
  const at = (point: string) => isOn(plugin.name, plugins[point]);
  const enabledAt = (point: string) => plugins[point]?.enabled?.find(({ name }) => name === plugin.name);
  const everywhere = at("multiPoint");
  const filters = enabledAt("filter") ? true : everywhere && at("filter") && at("preFilter");
  const scores = enabledAt("score") ? true : everywhere && at("score") && at("preScore");
  if (!filters && !scores) return [];
  const weight = enabledAt("score")?.weight ?? enabledAt("multiPoint")?.weight ?? entry.weight;
  if (!Number.isInteger(weight) || weight < 0 || weight > weightMax)
    throw wrong(`${plugin.name} weighs ${weight}`, `use a whole number from 0 to ${weightMax}`);
  const { filter, refuse, ...rest } = plugin;
  return [{ plugin: filters ? plugin : rest, weight: scores && plugin.score ? weight : 0 }];
}
