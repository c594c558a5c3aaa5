/** What every component is given of the outside world. Nothing reaches around it to a global clock or generator. */
import { type Clock, systemClock } from "./clock.ts";
import { createLogger, type Logger } from "./log.ts";
import { Metrics } from "./metric.ts";
import { type Random, systemRandom } from "./random.ts";

export interface World {
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: Metrics;
}

/** The real world, with its parts replaceable one by one. */
export function createWorld(parts: Partial<World> = {}): World {
  return {
    clock: parts.clock ?? systemClock,
    random: parts.random ?? systemRandom,
    log: parts.log ?? createLogger(),
    metrics: parts.metrics ?? new Metrics(),
  };
}

/** The same world with a logger that names the component on every line. Each component does this itself, once. */
export function forComponent(world: World, component: string): World {
  return { ...world, log: world.log.child({ component }) };
}
