export { createCgroups } from "./cgroups.ts";
export { type Kubelet, type KubeletConfig, type KubeletOptions, startKubelet } from "./kubelet.ts";
