/** Starts the registered controllers over one set of informers: kube-controller-manager's role. */
import { UserError, type World } from "#base";
import { type Client, createInformers, type Informers } from "#client";
import type { Controller, ControllerOptions } from "./kit/define-controller.ts";
import { runController } from "./kit/run-controller.ts";
import { controllers as registered } from "./registry.ts";

export interface ControllersOptions extends ControllerOptions {
  client: Client;
  /** The client of one controller, by its name: each runs under rules of its own. `client` for all without. */
  clientOf?(controller: string): Client;
  world: World;
  /** Shared with others of the same process; without, the controllers have their own. */
  informers?: Informers;
  /** Names of the controllers to run; all without. */
  only?: readonly string[];
}

export interface RunningControllers {
  /** Nothing waits and nobody works: for tests. */
  readonly idle: boolean;
  stop(): Promise<void>;
}

export async function startControllers(options: ControllersOptions): Promise<RunningControllers> {
  const { client, clientOf = () => client, world, only, informers: shared, ...rest } = options;
  const informers = shared ?? createInformers(client, world);
  const stop = new AbortController();
  const running = chosen(only).map((controller) =>
    runController(controller, { client: clientOf(controller.name), world, informers, options: rest }),
  );
  if (!shared) informers.start(stop.signal);
  return {
    get idle() {
      return running.every((each) => each.idle);
    },
    async stop() {
      stop.abort();
      await Promise.all(running.map((each) => each.stop()));
    },
  };
}

function chosen(only: readonly string[] | undefined): readonly Controller[] {
  if (!only) return registered;
  const known = new Map(registered.map((controller) => [controller.name, controller]));
  return only.map((name) => {
    const controller = known.get(name);
    if (!controller)
      throw new UserError(`there is no controller ${name}`, `choose of ${[...known.keys()].join(", ")}`);
    return controller;
  });
}
