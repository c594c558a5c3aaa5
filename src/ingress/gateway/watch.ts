/**
 * The Gateway API's objects, as long as their definitions are in the cluster: a user may remove them, or put a release
 * of the project in their place.
 */
import {
  type apiextensionsv1,
  customResourceDefinitions,
  type KubernetesObject,
  type ResourceType,
} from "#api";
import type { World } from "#base";
import { type Client, createInformers, type Informer, type Informers } from "#client";
import type { GatewayObjects } from "./gateways.ts";
import { gatewayClasses, gateways, grpcRoutes, httpRoutes, referenceGrants } from "./types.ts";

export interface GatewayWatchOptions {
  world: World;
  /** Who reads the objects. */
  client: Client;
  informers: Informers;
  /** `spec.controllerName` of the classes that are served. */
  controllerName: string;
  /** Something is different. */
  touch(): void;
}

const followed: readonly ResourceType[] = [gatewayClasses, gateways, httpRoutes, grpcRoutes, referenceGrants];

export class GatewayWatch {
  readonly #options: GatewayWatchOptions;
  readonly #copies = new Map<string, { informer: Informer; stop: AbortController }>();
  readonly #off: (() => void)[] = [];

  constructor(options: GatewayWatchOptions) {
    this.#options = options;
  }

  /** Resolves when what is there is known. */
  async start(): Promise<void> {
    await Promise.all(followed.map((type) => this.#followDefinition(type)));
    await Promise.all([...this.#copies.values()].map(({ informer }) => informer.waitForSync()));
  }

  stop(): void {
    for (const off of this.#off) off();
    for (const type of followed) this.#leave(type);
  }

  classes() {
    return this.#list(gatewayClasses).filter(
      ({ spec }) => spec.controllerName === this.#options.controllerName,
    );
  }

  objects(): GatewayObjects {
    const names = new Set(this.classes().map(({ metadata }) => metadata.name));
    return {
      gateways: this.#list(gateways).filter(({ spec }) => names.has(spec.gatewayClassName)),
      routes: [...this.#list(httpRoutes), ...this.#list(grpcRoutes)],
      grants: this.#list(referenceGrants),
    };
  }

  async #followDefinition(type: ResourceType): Promise<void> {
    const fieldSelector = `metadata.name=${type.resource}.${type.group}`;
    const definitions = this.#options.informers.of(customResourceDefinitions, { fieldSelector });
    await definitions.waitForSync();
    const look = (definition: Readonly<apiextensionsv1.CustomResourceDefinition>) =>
      isServed(definition, type) ? this.#follow(type) : this.#leave(type);
    this.#off.push(definitions.on({ add: look, update: look, delete: () => this.#leave(type) }));
  }

  #follow(type: ResourceType): void {
    if (this.#copies.has(type.resource)) return;
    const { client, world, touch } = this.#options;
    const stop = new AbortController();
    const informers = createInformers(client, world);
    const informer = informers.of(type);
    informer.on({ add: touch, update: touch, delete: touch });
    informers.start(stop.signal);
    this.#copies.set(type.resource, { informer, stop });
  }

  #leave(type: ResourceType): void {
    const copy = this.#copies.get(type.resource);
    if (!copy) return;
    this.#copies.delete(type.resource);
    copy.stop.abort();
    this.#options.touch();
  }

  #list<T extends KubernetesObject>(type: ResourceType<T>): readonly Readonly<T>[] {
    return (this.#copies.get(type.resource)?.informer.list() ?? []) as readonly Readonly<T>[];
  }
}

function isServed(
  { spec, status }: Readonly<apiextensionsv1.CustomResourceDefinition>,
  { version }: ResourceType,
): boolean {
  const established = status?.conditions?.some(
    (each) => each.type === "Established" && each.status === "True",
  );
  return established === true && spec.versions.some((each) => each.name === version && each.served);
}
