/** The default profile: which plugins run, in which order, and what their scores weigh. */
import type { SchedulerPlugin } from "./define-plugin.ts";
import { interPodAffinity } from "./plugins/inter-pod-affinity.ts";
import {
  nodeAffinity,
  nodeName,
  nodePorts,
  nodeUnschedulable,
  prioritySort,
  schedulingGates,
  taintToleration,
} from "./plugins/node-rules.ts";
import { podTopologySpread } from "./plugins/pod-topology-spread.ts";
import { imageLocality, nodeResourcesBalancedAllocation, nodeResourcesFit } from "./plugins/resources.ts";

export interface ProfileEntry {
  readonly plugin: SchedulerPlugin;
  /** Of its score; 0 where it gives none. */
  readonly weight: number;
}

export interface SchedulerProfile {
  /** Pods with this `schedulerName` are ours. */
  readonly schedulerName: string;
  readonly plugins: readonly ProfileEntry[];
}

/** https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins */
export const defaultProfile: SchedulerProfile = {
  schedulerName: "default-scheduler",
  plugins: [
    { plugin: schedulingGates, weight: 0 },
    { plugin: prioritySort, weight: 0 },
    { plugin: nodeUnschedulable, weight: 0 },
    { plugin: nodeName, weight: 0 },
    { plugin: taintToleration, weight: 3 },
    { plugin: nodeAffinity, weight: 2 },
    { plugin: nodePorts, weight: 0 },
    { plugin: nodeResourcesFit, weight: 1 },
    { plugin: podTopologySpread, weight: 2 },
    { plugin: interPodAffinity, weight: 2 },
    { plugin: nodeResourcesBalancedAllocation, weight: 1 },
    { plugin: imageLocality, weight: 1 },
  ],
};
