/**
 * Changes: update, patch and the status subresource are one read, a pure preparation and one compare-and-swap. A change
 * that does not name a resourceVersion is tried again on whatever came in between.
 */
import {
  badRequest,
  conflict,
  copyOf,
  type FieldError,
  invalidObject,
  type KubernetesObject,
  type ResourceDefinition,
  sameJson,
  validateObjectMetaUpdate,
} from "#api";
import type { Attributes } from "../admission/admission.ts";
import { CachedObject, serialize } from "../cache/cached-object.ts";
import {
  type Outcome,
  type Registry,
  requestErrors,
  type Target,
  type WriteContext,
  warn,
} from "./context.ts";
import { isFinished } from "./deletion.ts";
import { differOnlyInTimes, setManagedFields } from "./managed-fields.ts";
import { approve, complete } from "./outside.ts";
import { modified, onLatest, StaleError } from "./storage.ts";

/** How a subresource (or the object itself) takes a change in. */
export interface UpdateStrategy {
  readonly subresource: string;
  prepare(object: KubernetesObject, old: Readonly<KubernetesObject>, nowMs: number): void;
  validate(object: Readonly<KubernetesObject>, old: Readonly<KubernetesObject>): FieldError[];
  /** The change counts as a change of the desired state. */
  readonly bumpsGeneration: boolean;
}

export function mainStrategy(definition: ResourceDefinition): UpdateStrategy {
  return {
    subresource: "",
    prepare: (object, old, nowMs) => definition.onUpdate(object, old, { nowMs }),
    validate: (object, old) => definition.validateUpdate(object, old),
    bumpsGeneration: definition.hasGeneration,
  };
}

export function statusStrategy(definition: ResourceDefinition): UpdateStrategy {
  return {
    subresource: "status",
    prepare: (object, old, nowMs) => definition.onStatusUpdate(object, old, { nowMs }),
    validate: (object, old) => definition.validateStatusUpdate(object, old),
    bumpsGeneration: false,
  };
}

/** Makes the wanted object, decoded: each time anew, from a fresh copy of the present one where it needs that. */
export type Make = (current: () => KubernetesObject) => KubernetesObject;

export async function change(
  registry: Registry,
  target: Target,
  context: WriteContext,
  strategy: UpdateStrategy,
  make: Make,
): Promise<Outcome> {
  const { definition, name } = target;
  return onLatest(registry.storage, target, async (current) => {
    const old = current.read();
    const object = make(() => copyOf(old));
    const version = checkIdentity(target, object, old);
    try {
      return {
        code: 200,
        stored: await changeOnce(registry, target, context, strategy, object, current, old),
      };
    } catch (error) {
      if (error instanceof StaleError && isPinned(make, error.actual, version))
        throw conflict(definition, name, modified);
      throw error;
    }
  });
}

/** Whether the object still names the old version when it is made from the new state: then it was the client's own. */
function isPinned(make: Make, actual: CachedObject | undefined, version: string): boolean {
  return (
    actual !== undefined && version !== "" && make(() => actual.parse()).metadata.resourceVersion === version
  );
}

/** Answers the version that the wanted object names, if any. */
function checkIdentity(target: Target, object: KubernetesObject, old: Readonly<KubernetesObject>): string {
  const { definition, name, namespace } = target;
  const { metadata } = object;
  if (!metadata.name) {
    throw badRequest("the name of the object (based on url) was undeterminable: name must be provided");
  }
  if (metadata.name !== name) {
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
    );
  }
  if (namespace && metadata.namespace && metadata.namespace !== namespace) {
    throw badRequest(
      `the namespace of the object (${metadata.namespace}) does not match the namespace on the request (${namespace})`,
    );
  }
  if (metadata.uid && metadata.uid !== old.metadata.uid) {
    const why = `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.metadata.uid}`;
    throw conflict(definition, name, why);
  }
  const version = metadata.resourceVersion ?? "";
  if (version === "0" || version === "") return "";
  if (version !== old.metadata.resourceVersion) throw conflict(definition, name, modified);
  return version;
}

/** What no client decides comes from the stored object. */
function keepSystemMetadata(object: KubernetesObject, old: Readonly<KubernetesObject>): void {
  const { metadata } = object;
  const kept = old.metadata;
  metadata.uid = kept.uid;
  metadata.creationTimestamp = kept.creationTimestamp;
  metadata.resourceVersion = kept.resourceVersion;
  if (kept.namespace) metadata.namespace = kept.namespace;
  keepOrDelete(metadata, kept, "deletionTimestamp");
  keepOrDelete(metadata, kept, "deletionGracePeriodSeconds");
  keepOrDelete(metadata, kept, "generation");
  keepOrDelete(metadata, kept, "generateName");
  delete metadata.selfLink;
}

function keepOrDelete<T, K extends keyof T>(object: T, old: Readonly<T>, key: K): void {
  if (old[key] === undefined) delete object[key];
  else object[key] = old[key];
}

async function changeOnce(
  registry: Registry,
  target: Target,
  context: WriteContext,
  strategy: UpdateStrategy,
  object: KubernetesObject,
  current: CachedObject,
  old: Readonly<KubernetesObject>,
): Promise<CachedObject> {
  const { definition, namespace, name } = target;
  const { admission, world } = registry;
  const { subresource } = strategy;
  keepSystemMetadata(object, old);
  definition.defaults(object);
  const attributes: Attributes = {
    operation: "UPDATE",
    definition,
    ...(target.requested ? { requested: target.requested } : {}),
    subresource,
    namespace,
    name,
    user: context.user,
    dryRun: context.dryRun,
    ...(context.warnings ? { warnings: context.warnings } : {}),
    object,
    old,
  };
  try {
    const { managedFields } = object.metadata;
    strategy.prepare(object, old, world.clock.now());
    if (managedFields) object.metadata.managedFields = managedFields;
    setManagedFields(registry, target, context, subresource, object, old);
    await complete(admission, attributes, () => {
      definition.defaults(object);
      strategy.prepare(object, old, world.clock.now());
    });
    if (strategy.bumpsGeneration && !sameDesired(object, old)) {
      object.metadata.generation = (old.metadata.generation ?? 0) + 1;
    }
    const errors = [
      ...validateObjectMetaUpdate(object.metadata, old.metadata, definition),
      ...strategy.validate(object, old),
      ...(subresource === "" ? requestErrors(target, object, old) : []),
    ];
    if (errors.length > 0) throw invalidObject(definition, name, errors);
    await approve(admission, attributes);
    if (subresource === "") warn(context, definition, object, old);
    return await storeChange(registry, target, context, object, current, old);
  } finally {
    admission.settled(attributes);
  }
}

async function storeChange(
  registry: Registry,
  target: Target,
  context: WriteContext,
  object: KubernetesObject,
  current: CachedObject,
  old: Readonly<KubernetesObject>,
): Promise<CachedObject> {
  const { definition } = target;
  // A change that changes nothing gets no new version: it wakes nobody.
  if (sameJson(object, old) || differOnlyInTimes(object, old)) return current;
  if (context.dryRun) {
    return new CachedObject(definition, {
      key: current.key,
      value: serialize(object),
      modRevision: current.revision,
    });
  }
  if (isFinished(definition, object)) {
    await registry.storage.remove(definition, current);
    return new CachedObject(definition, {
      key: current.key,
      value: serialize(object),
      modRevision: current.revision,
    });
  }
  return registry.storage.put(definition, object, current);
}

/** Everything but metadata and status. */
function sameDesired(object: Readonly<KubernetesObject>, old: Readonly<KubernetesObject>): boolean {
  const a = object as unknown as Record<string, unknown>;
  const b = old as unknown as Record<string, unknown>;
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    if (key === "metadata" || key === "status" || key === "kind" || key === "apiVersion") continue;
    if (!sameJson(a[key], b[key])) return false;
  }
  return true;
}
