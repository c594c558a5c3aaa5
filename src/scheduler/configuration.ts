/**
 * `KubeSchedulerConfiguration`: profiles, which plugins each has, what they weigh and what they are told.
 * https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/
 */
import { UserError } from "#base";
import {
  type ExtenderConfiguration,
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

interface PluginChoice {
  name: string;
  weight?: number;
}

interface PluginSet {
  enabled?: readonly PluginChoice[];
  disabled?: readonly PluginChoice[];
}

interface ProfileConfiguration {
  schedulerName?: string;
  plugins?: Readonly<Record<string, PluginSet>>;
  pluginConfig?: readonly { name: string; args?: object }[];
}

export interface KubeSchedulerConfiguration {
  apiVersion: string;
  kind: string;
  profiles?: readonly ProfileConfiguration[];
  extenders?: readonly ExtenderConfiguration[];
}

const version = "kubescheduler.config.k8s.io/v1";
const kind = "KubeSchedulerConfiguration";
/** Points at which a plugin may be left out by itself. The others follow `multiPoint`. */
const points = new Set(["multiPoint", "filter", "preFilter", "score", "preScore"]);
/** Told by name, and always there: nothing can be scheduled without them, or they are no plugin of ours. */
const fixed = new Set(["PrioritySort", "SchedulingGates", "DefaultBinder", "DefaultPreemption"]);
const weightMax = 100;

/** Throws `UserError` for what it does not understand: a setting that is silently left out is worse. */
export function profilesOf(configuration: KubeSchedulerConfiguration): SchedulerProfile[] {
  if (configuration.apiVersion !== version || configuration.kind !== kind)
    throw wrong(`it is ${configuration.apiVersion} ${configuration.kind}`, `write ${version} ${kind}`);
  const ignored = ignoredResources(configuration.extenders ?? []);
  const profiles = (configuration.profiles ?? [{}]).map((profile) => profileOf(profile, ignored));
  const names = profiles.map(({ schedulerName }) => schedulerName);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice) throw wrong(`two profiles are named ${twice}`, "give each schedulerName once");
  return profiles;
}

/** The programs that are asked beside the plugins. Throws `UserError`. */
export function extendersOf({ extenders = [] }: KubeSchedulerConfiguration): ExtenderSettings[] {
  return extenderSettings(extenders);
}

function wrong(problem: string, mend: string): UserError {
  return new UserError(`the scheduler's configuration cannot be used: ${problem}`, mend);
}

function profileOf(
  { schedulerName, plugins = {}, pluginConfig = [] }: ProfileConfiguration,
  ignoredByScheduler: ReadonlySet<string>,
): SchedulerProfile {
  const known = new Set(defaultPlugins().map(({ plugin }) => plugin.name));
  const unknown = Object.keys(plugins).find((point) => !points.has(point));
  if (unknown) throw wrong(`plugins.${unknown} is no point that can be set`, `use ${[...points].join(", ")}`);
  for (const { name } of [...Object.values(plugins).flatMap(named), ...pluginConfig]) {
    if (name !== "*" && !known.has(name) && !fixed.has(name))
      throw wrong(`there is no plugin ${name}`, `use ${[...known].join(", ")}`);
  }
  const args = Object.fromEntries(pluginConfig.map((each) => [each.name, each.args])) as PluginArgs;
  args.NodeResourcesFit = { ...args.NodeResourcesFit, ignoredByScheduler };
  const entries = defaultPlugins(args).flatMap((entry) => chosen(entry, plugins));
  return { schedulerName: schedulerName ?? defaultProfile.schedulerName, plugins: entries };
}

function named({ enabled = [], disabled = [] }: PluginSet): readonly PluginChoice[] {
  return [...enabled, ...disabled];
}

/** Enabled by name wins over disabled by name or by `*`. */
function isOn(name: string, set: PluginSet | undefined): boolean {
  const names = (choices: readonly PluginChoice[] = [], wanted: string) =>
    choices.some((choice) => choice.name === wanted);
  if (names(set?.enabled, name)) return true;
  return !names(set?.disabled, name) && !names(set?.disabled, "*");
}

function chosen(entry: ProfileEntry, plugins: Readonly<Record<string, PluginSet>>): ProfileEntry[] {
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
