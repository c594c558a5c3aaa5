/**
 * Kinds that CustomResourceDefinitions bring while controllers run, each with an informer of its own that ends with
 * its definition.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/custom-resources/
 */
import {
  type apiextensionsv1,
  customResourceDefinitions,
  isDefinitionTrue,
  type KubernetesObject,
  type ResourceType,
} from "#api";
import { createInformers, type Informer } from "#client";
import type { ControllerContext } from "./define-controller.ts";

type Definition = Readonly<apiextensionsv1.CustomResourceDefinition>;

/** The version under which controllers look at objects; undefined while there is none. */
export function customTypeOf(definition: Definition): ResourceType | undefined {
  const { spec } = definition;
  if (!isDefinitionTrue(definition, "Established")) return undefined;
  const served = spec.versions.filter((version) => version.served);
  const version = served.find(({ storage }) => storage) ?? served[0];
  if (!version) return undefined;
  return {
    group: spec.group,
    version: version.name,
    resource: spec.names.plural,
    kind: spec.names.kind,
    namespaced: spec.scope === "Namespaced",
  };
}

interface Followed {
  readonly type: ResourceType;
  readonly informer: Informer;
  readonly versions: readonly string[];
  stop(): void;
}

export interface CustomKindsOptions {
  prepare(informer: Informer): void;
  changed(type: ResourceType, object: Readonly<KubernetesObject>): void;
}

export class CustomKinds {
  readonly #context: ControllerContext;
  readonly #options: CustomKindsOptions;
  readonly #followed = new Map<string, Followed>();

  constructor(context: ControllerContext, options: CustomKindsOptions) {
    this.#context = context;
    this.#options = options;
    context.informers.of(customResourceDefinitions).on({
      add: (definition) => this.#follow(definition),
      update: (definition) => this.#follow(definition),
      delete: ({ metadata }) => this.#forget(metadata.name),
    });
  }

  get all(): readonly Pick<Followed, "type" | "informer">[] {
    return [...this.#followed.values()];
  }

  /** Every object of every kind is known. */
  get hasSynced(): boolean {
    return this.all.every(({ informer }) => informer.hasSynced);
  }

  /** By any version that is served. */
  find(group: string, version: string, kind: string): ResourceType | undefined {
    for (const { type, versions } of this.#followed.values())
      if (type.group === group && type.kind === kind && versions.includes(version)) return type;
    return undefined;
  }

  informerOf(type: ResourceType): Informer | undefined {
    return this.all.find((each) => each.type === type)?.informer;
  }

  #follow(definition: Definition): void {
    const { name } = definition.metadata;
    const type = customTypeOf(definition);
    const versions = definition.spec.versions.filter(({ served }) => served).map((each) => each.name);
    const known = this.#followed.get(name);
    if (known && type?.version === known.type.version) {
      this.#followed.set(name, { ...known, versions });
      return;
    }
    this.#forget(name);
    if (!type) return;
    const { client, world, signal } = this.#context;
    const stopping = new AbortController();
    const informer = createInformers(client, world).of(type);
    this.#options.prepare(informer);
    const changed = (object: Readonly<KubernetesObject>) => this.#options.changed(type, object);
    informer.on({
      add: changed,
      update(object, old) {
        changed(object);
        changed(old);
      },
      delete: changed,
    });
    const stop = () => stopping.abort();
    this.#followed.set(name, { type, informer, versions, stop });
    informer.start(AbortSignal.any([signal, stopping.signal]));
  }

  #forget(name: string): void {
    this.#followed.get(name)?.stop();
    this.#followed.delete(name);
  }
}
