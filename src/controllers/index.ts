export type { Controller, ControllerOptions, NodeRanges } from "./kit/define-controller.ts";
export { controllers } from "./registry.ts";
export { type ControllersOptions, type RunningControllers, startControllers } from "./start-controllers.ts";
export { localPathProvisioner } from "./volumes/local-path.ts";
