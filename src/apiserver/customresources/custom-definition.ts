/**
 * What a served version of a custom resource has beyond any other resource. The registry works in the version of the
 * request; the storage converts between it and whatever version an object was stored in.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
 */
import type { autoscalingv1, JsonSchema, KubernetesObject, ResourceDefinition } from "#api";
import type { CachedObject } from "../cache/cached-object.ts";

export interface CustomVersion {
  /** Names the storage of all versions; the same as long as the CustomResourceDefinition lives. */
  readonly storage: ResourceDefinition;
  readonly schema: Readonly<JsonSchema>;
  /** A webhook makes this version of what is stored. */
  readonly isConverted: boolean;
  /** A stored object in this version, pruned and with its defaults. Throws `NotConverted` where a webhook must be asked first. */
  readonly view: (stored: CachedObject) => CachedObject;
  /** The object of this version as it is stored; the object itself where that is the same. */
  toStorage(object: KubernetesObject): Promise<KubernetesObject>;
  /** These very bytes were written in this version: they need no other look. */
  written(object: CachedObject): void;
  /** In place; answers the paths of unknown fields, which are gone. */
  decode(object: Record<string, unknown>): { unknown: string[] };
  readonly scale: CustomScale | undefined;
  /** The schema of one object, for OpenAPI. */
  openapi(dialect: "v2" | "v3"): Record<string, unknown>;
  /** What clients of a deprecated version are told. */
  readonly warning: string | undefined;
}

export interface CustomScale {
  /** The names on the way to the wanted replicas. */
  readonly path: readonly string[];
  read(object: Readonly<KubernetesObject>): autoscalingv1.Scale & KubernetesObject;
  /** In place. */
  write(object: KubernetesObject, replicas: number): void;
}

export interface CustomDefinition extends ResourceDefinition {
  readonly custom: CustomVersion;
}

export function customOf(definition: ResourceDefinition): CustomVersion | undefined {
  return (definition as Partial<CustomDefinition>).custom;
}

/** A webhook has to be asked before these objects can be shown: whoever catches it waits for `convert` and tries again. */
export class NotConverted extends Error {
  readonly convert: () => Promise<void>;

  constructor(convert: () => Promise<void>) {
    super("an object must be converted by its webhook first");
    this.convert = convert;
  }
}
