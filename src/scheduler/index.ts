export type { Snapshot } from "./cache.ts";
export { readSchedulerConfiguration, settingsOf } from "./configuration.ts";
export type { KubeSchedulerConfiguration } from "./configuration-shape.ts";
export { defineSchedulerPlugin, type Rejection, type SchedulerPlugin } from "./define-plugin.ts";
export type { NodeInfo } from "./node-info.ts";
export type { PodInfo } from "./pod-info.ts";
export { defaultProfile, type ProfileEntry, type SchedulerProfile } from "./profile.ts";
export { type RunningScheduler, type SchedulerOptions, startScheduler } from "./start-scheduler.ts";
