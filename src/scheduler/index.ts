export type { NodeInfo, PodInfo, Snapshot } from "./cache.ts";
export { defineSchedulerPlugin, type Rejection, type SchedulerPlugin } from "./define-plugin.ts";
export { defaultProfile, type ProfileEntry, type SchedulerProfile } from "./profile.ts";
export { type RunningScheduler, type SchedulerOptions, startScheduler } from "./start-scheduler.ts";
