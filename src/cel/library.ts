/**
 * The CEL engine, loaded with the first expression: most clusters have none, and it takes eight megabytes. It is asked for
 * where a check waits for nobody, so it is loaded at once; a bundle leaves it where it is installed.
 * https://www.npmjs.com/package/@marcbachmann/cel-js
 */
import { createRequire } from "node:module";

const load = createRequire(import.meta.url);

type Engine = typeof import("@marcbachmann/cel-js");
type Evaluator = typeof import("@marcbachmann/cel-js/evaluator");

let engine: Engine | undefined;
let evaluator: Evaluator | undefined;

export function celEngine(): Engine {
  engine ??= load("@marcbachmann/cel-js") as Engine;
  return engine;
}

export function celEvaluator(): Evaluator {
  evaluator ??= load("@marcbachmann/cel-js/evaluator") as Evaluator;
  return evaluator;
}
