/**
 * Garbage collector: what belongs to nobody any more goes; an owner that waits for its dependents waits for all of
 * them; one that wants them spared is taken out of their references.
 * https://kubernetes.io/docs/concepts/architecture/garbage-collection/
 */
import {
  definitionOfKind,
  isStatus,
  type KubernetesObject,
  type metav1,
  type ResourceType,
  storedDefinitions,
  storedOf,
} from "#api";
import type { Informer } from "#client";
import { joinKey } from "#client";
import { CustomKinds } from "./kit/custom-kinds.ts";
import {
  type ControllerContext,
  defineController,
  done,
  eventRules,
  type Outcome,
  rule,
  source,
} from "./kit/define-controller.ts";

type Thing = Readonly<KubernetesObject>;
type Owner = metav1.OwnerReference;

const foreground = "foregroundDeletion";
const orphan = "orphan";
const ownersIndex = "ownerUids";

/** Events own nothing and belong to nobody, and there are too many of them to keep; the other is only looked at. */
const ignored = ["events", "componentstatuses"];
const collected = storedDefinitions.filter((definition) => !ignored.includes(definition.resource));

interface Dependent {
  definition: ResourceType;
  object: Thing;
}

export interface GarbageState extends Dependent {
  dependents: readonly Dependent[];
  /** As the caches know them; undefined: absent, or a reference that cannot be followed. */
  owners: readonly { reference: Owner; found: Thing | undefined; resolvable: boolean }[];
}

export type GarbagePlan =
  | { kind: "orphan"; dependents: readonly Dependent[] }
  /** Nothing holds the owner back any more; its dependents go in rounds of their own. */
  | { kind: "foreground" }
  /** The owners that look absent are asked for again before anything is written. */
  | { kind: "collect"; absent: readonly Owner[]; waiting: readonly Owner[]; solid: number; policy: string };

export const garbageCollector = defineController<GarbageState, GarbagePlan>({
  name: "garbage-collector-controller",
  secondaries: collected.map((definition) =>
    source(definition, (object, context) => keysFor(definition, object, context)),
  ),
  concurrency: 10,
  rules: [rule("*", ["*"], ["get", "list", "watch", "patch", "update", "delete"]), ...eventRules],
  prepare(context) {
    for (const definition of collected) indexOwners(context.informers.of(definition));
    const custom = new CustomKinds(context, {
      prepare: indexOwners,
      changed(type, object) {
        for (const key of keysFor(type, object, context)) context.enqueue(key);
      },
    });
    context.memory.set(customKinds, custom);
  },
  observe,
  decide: decideGarbage,
  act,
});

const customKinds = "custom kinds";

function customOf({ memory }: Pick<ControllerContext, "memory">): CustomKinds | undefined {
  return memory.get(customKinds) as CustomKinds | undefined;
}

function indexOwners(informer: Informer): void {
  informer.addIndex(ownersIndex, (object) => (object.metadata.ownerReferences ?? []).map((o) => o.uid));
}

const collectedTypes: ReadonlySet<ResourceType> = new Set(collected);

/** Undefined for a custom resource that is not followed any more. */
function informerOf(context: ControllerContext, type: ResourceType): Informer | undefined {
  return collectedTypes.has(type) ? context.informers.of(type) : customOf(context)?.informerOf(type);
}

function idOf(definition: ResourceType): string {
  return `${definition.group}/${definition.resource}`;
}

function garbageKey(definition: ResourceType, object: Thing): string {
  return `${idOf(definition)}|${joinKey(object.metadata.namespace, object.metadata.name)}`;
}

/**
 * The object itself where it waits or an owner is gone or going; its dependents once it goes; the owners that wait for
 * it. Most changes are of objects whose owners are there and stay: those ask for nothing.
 */
function* keysFor(definition: ResourceType, object: Thing, context: ControllerContext): Iterable<string> {
  const { ownerReferences = [], deletionTimestamp, finalizers = [] } = object.metadata;
  const gone =
    informerOf(context, definition)?.byKey(joinKey(object.metadata.namespace, object.metadata.name)) ===
    undefined;
  const waits = deletionTimestamp && finalizers.some((name) => name === foreground || name === orphan);
  const owners = ownerReferences.map((reference) => {
    const owner = typeOf(context, reference);
    return { owner, found: owner && lookUp(context, owner, reference, object) };
  });
  const forlorn = owners.some(({ found }) => !found || found.metadata.deletionTimestamp);
  if (!gone && (waits || forlorn)) yield garbageKey(definition, object);
  if (gone || waits) {
    for (const dependent of dependentsOf(context, object.metadata.uid)) {
      yield garbageKey(dependent.definition, dependent.object);
    }
  }
  for (const { owner, found } of owners) {
    if (owner && found?.metadata.deletionTimestamp) yield garbageKey(owner, found);
  }
}

function dependentsOf(context: ControllerContext, uid: string): Dependent[] {
  const builtIn = collected.map((type) => ({ type, informer: context.informers.of(type) }));
  return [...builtIn, ...(customOf(context)?.all ?? [])].flatMap(({ type, informer }) =>
    informer.byIndex(ownersIndex, uid).map((object) => ({ definition: type, object })),
  );
}

/** References name any version; the caches hold one. */
function typeOf(context: ControllerContext, reference: Owner): ResourceType | undefined {
  const [group = "", version = ""] = reference.apiVersion.includes("/")
    ? reference.apiVersion.split("/")
    : ["", reference.apiVersion];
  const found = definitionOfKind({ group, version, kind: reference.kind });
  if (found) return collected.find((each) => each === storedOf(found));
  return customOf(context)?.find(group, version, reference.kind);
}

/** Owners live in the same namespace or in none; an object of the same name but another uid is another object. */
function lookUp(
  context: ControllerContext,
  owner: ResourceType,
  reference: Owner,
  dependent: Thing,
): Thing | undefined {
  const namespace = owner.namespaced ? dependent.metadata.namespace : undefined;
  const found = informerOf(context, owner)?.get(namespace, reference.name);
  return found?.metadata.uid === reference.uid ? found : undefined;
}

function observe(context: ControllerContext, key: string): GarbageState | undefined {
  const [id = "", objectKey = ""] = key.split("|");
  const custom = customOf(context)?.all.map(({ type }) => type) ?? [];
  const definition = [...collected, ...custom].find((each) => idOf(each) === id);
  const object = definition && informerOf(context, definition)?.byKey(objectKey);
  if (!definition || !object) return undefined;
  const owners = (object.metadata.ownerReferences ?? []).map((reference) => {
    const owner = typeOf(context, reference);
    // A cluster-wide object cannot belong to something in a namespace: which one is not written anywhere.
    const resolvable = owner !== undefined && !(owner.namespaced && !object.metadata.namespace);
    return {
      reference,
      found: resolvable ? lookUp(context, owner, reference, object) : undefined,
      resolvable,
    };
  });
  return { definition, object, owners, dependents: dependentsOf(context, object.metadata.uid) };
}

function isWaitingForDependents(object: Thing): boolean {
  const { deletionTimestamp, finalizers } = object.metadata;
  return deletionTimestamp !== undefined && (finalizers?.includes(foreground) ?? false);
}

export function decideGarbage({
  object,
  owners,
  dependents,
}: Readonly<GarbageState>): GarbagePlan | undefined {
  const { deletionTimestamp, finalizers = [], uid } = object.metadata;
  if (deletionTimestamp && finalizers.includes(orphan)) return { kind: "orphan", dependents };
  if (isWaitingForDependents(object)) {
    const blocked = dependents.some((each) => blocks(each.object, uid));
    return blocked ? undefined : { kind: "foreground" };
  }
  if (deletionTimestamp || owners.length === 0) return undefined;
  const absent = owners.filter((each) => each.resolvable && !each.found).map((each) => each.reference);
  const waiting = owners
    .filter((each) => each.found && isWaitingForDependents(each.found))
    .map((e) => e.reference);
  const solid = owners.length - absent.length - waiting.length;
  if (absent.length === 0 && waiting.length === 0) return undefined;
  const policy = finalizers.includes(orphan)
    ? "Orphan"
    : finalizers.includes(foreground)
      ? "Foreground"
      : "Background";
  return { kind: "collect", absent, waiting, solid, policy };
}

function blocks(dependent: Thing, ownerUid: string): boolean {
  return (dependent.metadata.ownerReferences ?? []).some(
    (o) => o.uid === ownerUid && o.blockOwnerDeletion === true,
  );
}

async function act(
  plan: GarbagePlan,
  context: ControllerContext,
  state: Readonly<GarbageState>,
): Promise<Outcome> {
  // Dependents of a kind that is not known yet would be overlooked.
  if (customOf(context)?.hasSynced === false)
    return { kind: "retry", why: "a custom resource is not listed yet" };
  switch (plan.kind) {
    case "orphan":
      return orphanDependents(plan.dependents, context, state);
    case "foreground":
      return dropFinalizer(context, state, foreground);
    case "collect":
      return collect(plan, context, state);
  }
}

async function orphanDependents(
  dependents: readonly Dependent[],
  context: ControllerContext,
  state: Readonly<GarbageState>,
): Promise<Outcome> {
  const { uid } = state.object.metadata;
  await Promise.all(dependents.map((each) => dropOwners(context, each, (owner) => owner.uid === uid)));
  return dropFinalizer(context, state, orphan);
}

async function collect(
  plan: Extract<GarbagePlan, { kind: "collect" }>,
  context: ControllerContext,
  state: Readonly<GarbageState>,
): Promise<Outcome> {
  const checks = await Promise.all(plan.absent.map((owner) => isAbsent(context, owner, state.object)));
  const absent = plan.absent.filter((_, i) => checks[i]);
  // The cache of the owner's kind is behind: its own event brings us back.
  if (absent.length < plan.absent.length) return { kind: "retry", why: "an owner is not in the cache yet" };
  if (plan.solid === 0) {
    // Under an owner that waits, dependents of dependents are waited for too.
    const deep = plan.waiting.length > 0 && state.dependents.length > 0;
    // A dependent that waits itself may wait for this one: in a circle nobody may hold anybody back.
    if (deep && state.dependents.some((each) => isWaitingForDependents(each.object)))
      await unblockOwners(context, state);
    await deleteObject(context, state, deep ? "Foreground" : plan.policy);
    return done;
  }
  const goneUids = new Set([...absent, ...plan.waiting].map((owner) => owner.uid));
  await dropOwners(context, state, (owner) => goneUids.has(owner.uid));
  return done;
}

async function isAbsent(context: ControllerContext, reference: Owner, dependent: Thing): Promise<boolean> {
  const owner = typeOf(context, reference);
  if (!owner) return false;
  const namespace = owner.namespaced ? dependent.metadata.namespace : undefined;
  try {
    const found = await context.client.get(owner, { namespace, name: reference.name });
    return found.metadata.uid !== reference.uid;
  } catch (error) {
    if (isStatus(error, "NotFound")) return true;
    throw error;
  }
}

async function deleteObject(
  { client }: ControllerContext,
  { definition, object }: Dependent,
  policy: string,
) {
  const { uid } = object.metadata;
  const options = { propagationPolicy: policy, preconditions: { uid } };
  await unlessGone(client.delete(definition, object.metadata, options));
}

async function dropOwners(
  { client }: ControllerContext,
  { definition, object }: Dependent,
  drop: (owner: Owner) => boolean,
): Promise<void> {
  const { uid, resourceVersion, ownerReferences = [] } = object.metadata;
  const kept = ownerReferences.filter((owner) => !drop(owner));
  if (kept.length === ownerReferences.length) return;
  const patch = { metadata: { uid, resourceVersion, ownerReferences: kept } };
  await unlessGone(client.patch(definition, object.metadata, "merge", patch));
}

async function unblockOwners(
  { client }: ControllerContext,
  { definition, object }: Dependent,
): Promise<void> {
  const { uid, ownerReferences = [] } = object.metadata;
  if (!ownerReferences.some((owner) => owner.blockOwnerDeletion)) return;
  const freed = ownerReferences.map((owner) => ({ ...owner, blockOwnerDeletion: false }));
  await unlessGone(
    client.patch(definition, object.metadata, "merge", { metadata: { uid, ownerReferences: freed } }),
  );
}

async function dropFinalizer(
  { client }: ControllerContext,
  { definition, object }: Dependent,
  name: string,
): Promise<Outcome> {
  const { uid, resourceVersion, finalizers = [] } = object.metadata;
  const kept = finalizers.filter((each) => each !== name);
  const patch = { metadata: { uid, resourceVersion, finalizers: kept } };
  await unlessGone(client.patch(definition, object.metadata, "merge", patch));
  return done;
}

async function unlessGone(write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!isStatus(error, "NotFound")) throw error;
  }
}
