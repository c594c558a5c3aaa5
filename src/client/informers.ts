/** The informers of one component: asked for twice, an informer is the same one. */
import type { KubernetesObject, ResourceType } from "#api";
import type { World } from "#base";
import type { Client } from "./contract.ts";
import { type Informer, type InformerOptions, ListWatchInformer } from "./informer.ts";

export interface Informers {
  /** Started at once if the others are running already. */
  of<T extends KubernetesObject>(type: ResourceType<T>, options?: InformerOptions): Informer<T>;
  start(signal: AbortSignal): void;
  /** Resolves when every informer asked for so far has its first list. */
  waitForSync(): Promise<void>;
}

export interface InformersOptions {
  /** Freezes every object deep: for tests. */
  freeze?: boolean;
}

function identityOf(type: ResourceType, options: InformerOptions): string {
  const { namespace = "", fieldSelector = "", labelSelector = "" } = options;
  return [type.group, type.version, type.resource, namespace, fieldSelector, labelSelector].join("|");
}

export function createInformers(client: Client, world: World, settings: InformersOptions = {}): Informers {
  const informers = new Map<string, Informer>();
  /** Those without a selection, by the type itself: they are asked for at every event. */
  const whole = new Map<ResourceType, Informer>();
  let running: AbortSignal | undefined;
  return {
    of<T extends KubernetesObject>(type: ResourceType<T>, options?: InformerOptions): Informer<T> {
      const direct = options ? undefined : (whole.get(type) as Informer<T> | undefined);
      if (direct) return direct;
      const identity = identityOf(type, options ?? {});
      const known = informers.get(identity) as Informer<T> | undefined;
      if (!options && known) whole.set(type, known as unknown as Informer);
      if (known) return known;
      const informer = new ListWatchInformer<T>(client, world, type, { ...options, ...settings });
      informers.set(identity, informer as unknown as Informer);
      if (running) informer.start(running);
      return informer;
    },
    start(signal) {
      running = signal;
      for (const informer of informers.values()) informer.start(signal);
    },
    async waitForSync() {
      await Promise.all([...informers.values()].map((informer) => informer.waitForSync()));
    },
  };
}
