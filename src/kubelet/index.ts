export { createCgroups } from "./cgroups.ts";
export { type ConfigFile, readKubeletConfiguration } from "./config/file.ts";
export type { KubeletConfig } from "./config/settings.ts";
export { type Kubelet, type KubeletOptions, startKubelet } from "./kubelet.ts";
export { forgetLogindDelay } from "./shutdown/logind.ts";
export { machineLogFolders } from "./volumes/usual-folder.ts";
