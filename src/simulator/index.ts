export type { SimulatedNode } from "./nodes.ts";
export { annotations, type Stages } from "./pod-life.ts";
export { type RunningSimulator, type SimulatorOptions, startSimulator } from "./start-simulator.ts";
