export type { Snapshot } from "./cache.ts";
export { extendersOf, type KubeSchedulerConfiguration, profilesOf } from "./configuration.ts";
export { defineSchedulerPlugin, type Rejection, type SchedulerPlugin } from "./define-plugin.ts";
export type { NodeInfo } from "./node-info.ts";
export type { PodInfo } from "./pod-info.ts";
export { defaultProfile, type ProfileEntry, type SchedulerProfile } from "./profile.ts";
export { type RunningScheduler, type SchedulerOptions, startScheduler } from "./start-scheduler.ts";
