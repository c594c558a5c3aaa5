export { type CelDeviceSelector, deviceEnvironment, deviceSelector } from "./devices.ts";
export { Budget, CelEnvironment, callLimit, type Program } from "./engine.ts";
export { CelError } from "./engine-error.ts";
export { celEngine, celEvaluator } from "./library.ts";
export { withoutObjectLiterals } from "./object-literals.ts";
export { CelObject, untypedValue } from "./values.ts";
