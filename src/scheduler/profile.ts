/** Which plugins there are, in which order they run, and what their scores weigh. */
import type { SchedulerPlugin } from "./define-plugin.ts";
import { dynamicResources } from "./plugins/dynamic-resources.ts";
import { gangScheduling } from "./plugins/gang-scheduling.ts";
import { imageLocality } from "./plugins/image-locality.ts";
import { type InterPodAffinityArgs, interPodAffinity } from "./plugins/inter-pod-affinity.ts";
import { type NodeAffinityArgs, nodeAffinity } from "./plugins/node-affinity.ts";
import { nodeDeclaredFeatures } from "./plugins/node-declared-features.ts";
import { nodeName } from "./plugins/node-name.ts";
import { nodePorts } from "./plugins/node-ports.ts";
import {
  type BalanceArgs,
  nodeResourcesBalancedAllocation,
} from "./plugins/node-resources-balanced-allocation.ts";
import { type FitArgs, nodeResourcesFit } from "./plugins/node-resources-fit.ts";
import { nodeUnschedulable } from "./plugins/node-unschedulable.ts";
import { nodeVolumeLimits } from "./plugins/node-volume-limits.ts";
import { podTopologySpread, type SpreadArgs } from "./plugins/pod-topology-spread.ts";
import { prioritySort } from "./plugins/priority-sort.ts";
import { schedulingGates } from "./plugins/scheduling-gates.ts";
import { taintToleration } from "./plugins/taint-toleration.ts";
import { type VolumeBindingArgs, volumeBinding } from "./plugins/volume-binding.ts";
import { volumeRestrictions } from "./plugins/volume-restrictions.ts";
import { volumeZone } from "./plugins/volume-zone.ts";

export interface ProfileEntry {
  readonly plugin: SchedulerPlugin;
  /** Of its score; 0 where it gives none. */
  readonly weight: number;
}

export interface SchedulerProfile {
  /** Pods with this `schedulerName` are ours. */
  readonly schedulerName: string;
  readonly plugins: readonly ProfileEntry[];
  /** Of all nodes, those that are found before the search ends; absent: fewer in percent the more there are. */
  readonly percentageOfNodesToScore?: number;
  readonly preemption: PreemptionSettings;
}

/** Of DefaultPreemption. */
export interface PreemptionSettings {
  readonly isOn: boolean;
  /** `minCandidateNodesPercentage`, `minCandidateNodesAbsolute`: so many candidates are enough. */
  readonly candidatesPercent: number;
  readonly candidatesMin: number;
}

export interface WeighedResource {
  readonly name: string;
  readonly weight?: number;
}

/** What `pluginConfig` says, by the name of the plugin. */
export interface PluginArgs {
  DefaultPreemption?: { minCandidateNodesPercentage?: number; minCandidateNodesAbsolute?: number };
  NodeResourcesBalancedAllocation?: BalanceArgs;
  VolumeBinding?: VolumeBindingArgs;
  NodeResourcesFit?: FitArgs;
  NodeAffinity?: NodeAffinityArgs;
  PodTopologySpread?: SpreadArgs;
  InterPodAffinity?: InterPodAffinityArgs;
}

/** https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins */
export function defaultPlugins(args: PluginArgs = {}): ProfileEntry[] {
  return [
    { plugin: schedulingGates, weight: 0 },
    { plugin: gangScheduling, weight: 0 },
    { plugin: prioritySort, weight: 0 },
    { plugin: nodeUnschedulable, weight: 0 },
    { plugin: nodeName, weight: 0 },
    { plugin: taintToleration, weight: 3 },
    { plugin: nodeAffinity(args.NodeAffinity), weight: 2 },
    { plugin: nodePorts, weight: 0 },
    { plugin: nodeResourcesFit(args.NodeResourcesFit), weight: 1 },
    { plugin: volumeRestrictions, weight: 0 },
    { plugin: nodeVolumeLimits, weight: 0 },
    { plugin: volumeBinding(args.VolumeBinding), weight: 0 },
    { plugin: volumeZone, weight: 0 },
    { plugin: dynamicResources, weight: 0 },
    { plugin: nodeDeclaredFeatures, weight: 0 },
    { plugin: podTopologySpread(args.PodTopologySpread), weight: 2 },
    { plugin: interPodAffinity(args.InterPodAffinity), weight: 2 },
    { plugin: nodeResourcesBalancedAllocation(args.NodeResourcesBalancedAllocation), weight: 1 },
    { plugin: imageLocality, weight: 1 },
  ];
}

export const defaultProfile: SchedulerProfile = {
  schedulerName: "default-scheduler",
  plugins: defaultPlugins(),
  preemption: { isOn: true, candidatesPercent: 10, candidatesMin: 100 },
};
