/**
 * What a `KubeSchedulerConfiguration` may hold: names and kinds of its fields, each told by its path where it is wrong.
 * https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/
 */
import { messageOf, parseGoDuration } from "#base";
import type { ExtenderConfiguration } from "./extenders/extender-configuration.ts";

export interface PluginChoice {
  name: string;
  weight?: number;
}

export interface PluginSet {
  enabled?: readonly PluginChoice[];
  disabled?: readonly PluginChoice[];
}

export interface ProfileConfiguration {
  schedulerName?: string;
  percentageOfNodesToScore?: number;
  plugins?: Readonly<Record<string, PluginSet>>;
  pluginConfig?: readonly { name: string; args?: object }[];
}

export interface KubeSchedulerConfiguration {
  apiVersion: string;
  kind: string;
  parallelism?: number;
  percentageOfNodesToScore?: number;
  podInitialBackoffSeconds?: number;
  podMaxBackoffSeconds?: number;
  profiles?: readonly ProfileConfiguration[];
  extenders?: readonly ExtenderConfiguration[];
}

type Shape = (value: unknown, path: string, told: string[]) => void;

function must(what: string, isRight: (value: unknown) => boolean): Shape {
  return (value, path, told) => {
    if (!isRight(value)) told.push(`${path}: Invalid value: ${shown(value)}: must be ${what}`);
  };
}

const shownMaxChars = 100;

export function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "null").slice(0, shownMaxChars);
}

const anything: Shape = () => {};
const text = must("text", (value) => typeof value === "string");
const flag = must("true or false", (value) => typeof value === "boolean");
const whole = must("a whole number", Number.isSafeInteger);
const duration: Shape = (value, path, told) => {
  try {
    parseGoDuration(String(value));
  } catch (error) {
    told.push(`${path}: Invalid value: ${shown(value)}: ${messageOf(error)}`);
  }
};

function listOf(shape: Shape): Shape {
  return (value, path, told) => {
    if (!Array.isArray(value)) told.push(`${path}: Invalid value: ${shown(value)}: must be a list`);
    else value.forEach((each, i) => void shape(each, `${path}[${i}]`, told));
  };
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `null` is as good as nothing. */
function mapOf(fields: Readonly<Record<string, Shape>>): Shape {
  return (value, path, told) => {
    if (!isMap(value)) {
      told.push(`${path || "the file"}: Invalid value: ${shown(value)}: must be a map`);
      return;
    }
    for (const [name, part] of Object.entries(value)) {
      const at = path ? `${path}.${name}` : name;
      const shape = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (!shape) told.push(`unknown field ${JSON.stringify(at)}`);
      else if (part !== null) shape(part, at, told);
    }
  };
}

const choices = listOf(mapOf({ name: text, weight: whole }));
const pluginSet = mapOf({ enabled: choices, disabled: choices });

/** Upstream's extension points. */
export const extensionPoints = (
  "multiPoint preEnqueue queueSort preFilter filter postFilter preScore score reserve permit preBind bind postBind " +
  "placementGenerate placementScore placementFeasible podGroupPostFilter"
).split(" ");

const head = { apiVersion: text, kind: text };
const resources = listOf(mapOf({ name: text, weight: whole }));
const points = listOf(mapOf({ utilization: whole, score: whole }));

const requirements = listOf(mapOf({ key: text, operator: text, values: listOf(text) }));
const term = mapOf({ matchExpressions: requirements, matchFields: requirements });
const addedAffinity = mapOf({
  requiredDuringSchedulingIgnoredDuringExecution: mapOf({ nodeSelectorTerms: listOf(term) }),
  preferredDuringSchedulingIgnoredDuringExecution: listOf(mapOf({ weight: whole, preference: term })),
});
const constraint = mapOf({
  maxSkew: whole,
  minDomains: whole,
  topologyKey: text,
  whenUnsatisfiable: text,
  labelSelector: anything,
  matchLabelKeys: listOf(text),
  nodeAffinityPolicy: text,
  nodeTaintsPolicy: text,
});

const argsByPlugin: Readonly<Record<string, Shape>> = {
  DefaultPreemption: mapOf({ ...head, minCandidateNodesPercentage: whole, minCandidateNodesAbsolute: whole }),
  DynamicResources: mapOf({ ...head, filterTimeout: duration, bindingTimeout: duration }),
  InterPodAffinity: mapOf({
    ...head,
    hardPodAffinityWeight: whole,
    ignorePreferredTermsOfExistingPods: flag,
  }),
  NodeAffinity: mapOf({ ...head, addedAffinity }),
  NodeResourcesBalancedAllocation: mapOf({ ...head, resources }),
  NodeResourcesFit: mapOf({
    ...head,
    ignoredResources: listOf(text),
    ignoredResourceGroups: listOf(text),
    scoringStrategy: mapOf({ type: text, resources, requestedToCapacityRatio: mapOf({ shape: points }) }),
  }),
  PodTopologySpread: mapOf({ ...head, defaultingType: text, defaultConstraints: listOf(constraint) }),
  VolumeBinding: mapOf({ ...head, bindTimeoutSeconds: whole, shape: points }),
};

const pluginConfig: Shape = (value, path, told) => {
  mapOf({ name: text, args: anything })(value, path, told);
  if (!isMap(value) || value.args === undefined || value.args === null) return;
  const shape = Object.hasOwn(argsByPlugin, String(value.name))
    ? argsByPlugin[String(value.name)]
    : undefined;
  shape?.(value.args, `${path}.args`, told);
};

const profile = mapOf({
  schedulerName: text,
  percentageOfNodesToScore: whole,
  percentageOfPlacementsToScore: whole,
  plugins: mapOf(Object.fromEntries(extensionPoints.map((point) => [point, pluginSet]))),
  pluginConfig: listOf(pluginConfig),
});

const tlsConfig = mapOf({
  insecure: flag,
  serverName: text,
  certFile: text,
  keyFile: text,
  caFile: text,
  certData: text,
  keyData: text,
  caData: text,
});

const extender = mapOf({
  urlPrefix: text,
  filterVerb: text,
  preemptVerb: text,
  prioritizeVerb: text,
  weight: whole,
  bindVerb: text,
  enableHTTPS: flag,
  tlsConfig,
  httpTimeout: duration,
  nodeCacheCapable: flag,
  managedResources: listOf(mapOf({ name: text, ignoredByScheduler: flag })),
  ignorable: flag,
});

const configuration = mapOf({
  ...head,
  parallelism: whole,
  leaderElection: anything,
  clientConnection: anything,
  enableProfiling: flag,
  enableContentionProfiling: flag,
  percentageOfNodesToScore: whole,
  percentageOfPlacementsToScore: whole,
  podInitialBackoffSeconds: whole,
  podMaxBackoffSeconds: whole,
  profiles: listOf(profile),
  extenders: listOf(extender),
  delayCacheUntilActive: flag,
});

/** What is wrong with it as far as names and kinds of fields go. */
export function shapeErrors(value: unknown): string[] {
  const told: string[] = [];
  configuration(value, "", told);
  return told;
}

/** Upstream's, without an effect here: one process has no connections to bound, and leads as the server does. */
const unused = [
  "parallelism",
  "leaderElection",
  "clientConnection",
  "enableProfiling",
  "enableContentionProfiling",
  "delayCacheUntilActive",
  "percentageOfPlacementsToScore",
];

export function unusedFields(value: object): string[] {
  return unused.filter((name) => Object.hasOwn(value, name));
}
