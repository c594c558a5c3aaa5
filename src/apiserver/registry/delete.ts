/**
 * Deletion: graceful where a node has to finish it, held by finalizers, at once otherwise.
 * https://kubernetes.io/docs/concepts/architecture/garbage-collection/#cascading-deletion
 */
import {
  conflict,
  copyOf,
  type corev1,
  formatTime,
  invalidObject,
  type KubernetesObject,
  type metav1,
  notSupported,
  sameJson,
} from "#api";
import type { Attributes } from "../admission/admission.ts";
import type { CachedObject } from "../cache/cached-object.ts";
import { type Outcome, type Registry, success, type Target, type WriteContext } from "./context.ts";
import { finalizersFor, gracePeriodOf, isFinished, specFinalizers } from "./deletion.ts";
import { approve } from "./outside.ts";
import { onLatest } from "./storage.ts";

export async function remove(
  registry: Registry,
  target: Target,
  context: WriteContext,
  options: Readonly<metav1.DeleteOptions>,
): Promise<Outcome> {
  validateOptions(options);
  const { definition, namespace, name } = target;
  const first = registry.storage.get(definition, namespace, name);
  const old = first.read();
  await admit(registry, target, context, old, options);
  return onLatest(registry.storage, target, (current) =>
    removeOnce(registry, target, context, options, current),
  );
}

async function admit(
  { admission }: Registry,
  target: Target,
  context: WriteContext,
  old: Readonly<KubernetesObject>,
  options: Readonly<metav1.DeleteOptions>,
): Promise<void> {
  const attributes: Attributes = {
    ...target,
    operation: "DELETE",
    subresource: "",
    user: context.user,
    dryRun: context.dryRun,
    options: { kind: "DeleteOptions", apiVersion: "meta.k8s.io/v1", ...options },
    ...(context.warnings ? { warnings: context.warnings } : {}),
    object: undefined,
    old,
  };
  // They may refuse; there is nothing to change.
  const pending = admission.admit(attributes);
  if (pending) await pending;
  await approve(admission, attributes);
}

const policies = ["Background", "Foreground", "Orphan"];

function validateOptions(options: Readonly<metav1.DeleteOptions>): void {
  const policy = options.propagationPolicy;
  const kind = { group: "", kind: "DeleteOptions" };
  if (policy !== undefined && !policies.includes(policy)) {
    throw invalidObject(kind, "", [notSupported("propagationPolicy", policy, [...policies, "nil"])]);
  }
  if (policy !== undefined && options.orphanDependents !== undefined) {
    const message = `Invalid value: ${JSON.stringify(policy)}: orphanDependents and deletionPropagation cannot be both set`;
    throw invalidObject(kind, "", [{ type: "FieldValueInvalid", field: "propagationPolicy", message }]);
  }
}

async function removeOnce(
  registry: Registry,
  target: Target,
  context: WriteContext,
  options: Readonly<metav1.DeleteOptions>,
  current: CachedObject,
): Promise<Outcome> {
  const { definition } = target;
  const before = current.read();
  checkPreconditions(target, before, options.preconditions);
  const object: KubernetesObject = definition.onDelete
    ? (copyOf(before) as KubernetesObject)
    : { ...before, metadata: { ...before.metadata } };
  markDeleted(registry, target, object, options);
  if (isFinished(definition, object)) {
    if (!context.dryRun) await registry.storage.remove(definition, current);
    return success(200, {
      name: target.name,
      ...(definition.group ? { group: definition.group } : {}),
      kind: definition.resource,
      uid: object.metadata.uid,
    });
  }
  if (context.dryRun || sameJson(object, before)) return { code: 200, stored: current };
  return { code: 200, stored: await registry.storage.put(definition, object, current) };
}

function checkPreconditions(
  target: Target,
  object: Readonly<KubernetesObject>,
  preconditions: Readonly<metav1.Preconditions> | undefined,
): void {
  const { uid, resourceVersion } = object.metadata;
  const { definition, name } = target;
  // Upstream names the kind here, where it names the resource elsewhere.
  const what = { group: definition.group, resource: definition.kind };
  if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
    const why = `the UID in the precondition (${preconditions.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`;
    throw conflict(what, name, why);
  }
  if (preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion) {
    const why = `the ResourceVersion in the precondition (${preconditions.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`;
    throw conflict(what, name, why);
  }
}

/** Sets what says that the object is being deleted; a later deletion can only shorten the wait. In place. */
function markDeleted(
  registry: Registry,
  { definition }: Target,
  object: KubernetesObject,
  options: Readonly<metav1.DeleteOptions>,
): void {
  const { metadata } = object;
  const finalizers = finalizersFor(metadata.finalizers ?? [], options);
  if (finalizers.length > 0) metadata.finalizers = finalizers;
  else delete metadata.finalizers;
  const grace = gracePeriodOf(definition, object, options);
  const nowMs = registry.world.clock.now();
  if (metadata.deletionTimestamp) {
    const waits = metadata.deletionGracePeriodSeconds ?? 0;
    if (grace >= waits || (options.gracePeriodSeconds === undefined && grace > 0)) return;
  } else if (metadata.generation) metadata.generation++;
  if (!metadata.deletionTimestamp) definition.onDelete?.(object, { nowMs });
  metadata.deletionTimestamp = formatTime(nowMs + grace * 1000);
  metadata.deletionGracePeriodSeconds = grace;
  if (specFinalizers(definition, object).length > 0) {
    (object as corev1.Namespace).status = { ...(object as corev1.Namespace).status, phase: "Terminating" };
    delete metadata.deletionGracePeriodSeconds;
  }
}

/** Deletes what a list has shown; what is gone meanwhile is gone. */
export async function removeCollection(
  registry: Registry,
  target: Omit<Target, "name">,
  context: WriteContext,
  options: Readonly<metav1.DeleteOptions>,
  selected: readonly CachedObject[],
): Promise<void> {
  validateOptions(options);
  const cache = registry.storage.cache(target.definition);
  const parallel = 64;
  for (let i = 0; i < selected.length; i += parallel) {
    const removals = selected.slice(i, i + parallel).map(async (object) => {
      const one = { ...target, namespace: object.namespace || undefined, name: object.name };
      if (cache.get(object.key)) await remove(registry, one, context, options);
    });
    await Promise.all(removals.map(ignoreNotFound));
  }
}

async function ignoreNotFound(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === 404)) throw error;
  }
}
