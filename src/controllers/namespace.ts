/**
 * Namespace: empties a namespace that is being deleted, of every kind of object there is, then lets it go.
 * https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
 */
import {
  apiServices,
  type corev1,
  customResourceDefinitions,
  formatTime,
  isStatus,
  namespaces,
  pods,
  type ResourceType,
  sameJson,
  storedDefinitions,
} from "#api";
import { messageOf } from "#base";
import type { Client } from "#client";
import { aggregatedKinds } from "./kit/aggregated-kinds.ts";
import { withCondition } from "./kit/conditions.ts";
import { customTypeOf } from "./kit/custom-kinds.ts";
import {
  after,
  type ControllerContext,
  defineController,
  done,
  type Outcome,
  rule,
  source,
} from "./kit/define-controller.ts";

type Namespace = Readonly<corev1.Namespace>;

/** The finalizer in `spec` that stands for this controller. */
const finalizer = "kubernetes";
/** How soon to look again while objects take their time to go. */
const recheckMs = 1_000;

/** What is left of one resource after its objects were deleted. */
export interface Remains {
  resource: string;
  count: number;
  /** How many objects hold each finalizer. */
  finalizers: Readonly<Record<string, number>>;
  failure?: string;
}

interface Plan {
  resources: readonly ResourceType[];
}

export const namespaceController = defineController<Namespace, Plan>({
  name: "namespace-controller",
  primary: namespaces,
  secondaries: [source(customResourceDefinitions, () => []), source(apiServices, () => [])],
  concurrency: 5,
  rules: [
    rule("", ["namespaces"], ["get", "list", "watch"]),
    rule("apiextensions.k8s.io", ["customresourcedefinitions"], ["get", "list", "watch"]),
    rule("apiregistration.k8s.io", ["apiservices"], ["get", "list", "watch"]),
    rule("", ["namespaces/finalize", "namespaces/status"], ["update"]),
    rule("*", ["*"], ["get", "list", "delete", "deletecollection"]),
  ],
  observe: ({ informers }, key) => informers.of(namespaces).byKey(key),
  decide(namespace) {
    if (!namespace.metadata.deletionTimestamp || !namespace.spec?.finalizers?.includes(finalizer))
      return undefined;
    const resources = storedDefinitions.filter(
      (definition) => definition.namespaced && definition.verbs.includes("deletecollection"),
    );
    return { resources };
  },
  act,
});

async function act(
  { resources }: Plan,
  { client, world, informers }: ControllerContext,
  cached: Namespace,
): Promise<Outcome> {
  const namespace = await client.get(namespaces, cached.metadata);
  if (namespace.metadata.uid !== cached.metadata.uid || !namespace.metadata.deletionTimestamp) return done;
  const { name } = namespace.metadata;
  const custom = informers.of(customResourceDefinitions).list().map(customTypeOf);
  const types = custom.filter((type): type is ResourceType => type?.namespaced === true);
  const aggregated = await aggregatedKinds(client, informers.of(apiServices).list());
  const remains = await emptyAll(client, [...resources, ...types, ...aggregated.types], name);
  const old = namespace.status?.conditions;
  const conditions = deletionConditions(old, remains, world.clock.now(), aggregated.failures);
  let latest = namespace;
  if (!sameJson(conditions, namespace.status?.conditions) || namespace.status?.phase !== "Terminating") {
    const status = { ...namespace.status, phase: "Terminating" as const, conditions };
    latest = await client.update(namespaces, { ...namespace, status }, { subresource: "status" });
  }
  // Nobody knows what an API server has that does not answer: the namespace waits for it.
  const isEmpty = remains.every((each) => each.count === 0 && !each.failure);
  if (!isEmpty || aggregated.failures.length > 0) return after(recheckMs);
  const finalizers = latest.spec?.finalizers?.filter((each) => each !== finalizer) ?? [];
  await client.update(
    namespaces,
    { ...latest, spec: { ...latest.spec, finalizers } },
    { subresource: "finalize" },
  );
  return done;
}

/** Pods first: what they need stays until they are gone. https://kep.k8s.io/5080 */
async function emptyAll(
  client: Client,
  resources: readonly ResourceType[],
  namespace: string,
): Promise<Remains[]> {
  const left = await empty(client, pods as ResourceType, namespace);
  if (left.count > 0 || left.failure) return [left];
  const others = resources.filter((definition) => definition !== (pods as ResourceType));
  return [left, ...(await Promise.all(others.map((definition) => empty(client, definition, namespace))))];
}

async function empty(client: Client, definition: ResourceType, namespace: string): Promise<Remains> {
  const resource = definition.group ? `${definition.resource}.${definition.group}` : definition.resource;
  try {
    const before = await client.list(definition, { namespace });
    if (before.items.length === 0) return { resource, count: 0, finalizers: {} };
    await client.deleteCollection(definition, { namespace });
    const { items } = await client.list(definition, { namespace });
    const finalizers: Record<string, number> = {};
    for (const name of items.flatMap((item) => item.metadata.finalizers ?? [])) {
      finalizers[name] = (finalizers[name] ?? 0) + 1;
    }
    return { resource, count: items.length, finalizers };
  } catch (error) {
    // A custom resource that went away with its definition.
    if (isStatus(error, "NotFound")) return { resource, count: 0, finalizers: {} };
    return { resource, count: 0, finalizers: {}, failure: messageOf(error) };
  }
}

/** The conditions that tell a person what a namespace that does not go away is waiting for. */
export function deletionConditions(
  old: readonly corev1.NamespaceCondition[] | undefined,
  remains: readonly Remains[],
  nowMs: number,
  undiscovered: readonly string[] = [],
): corev1.NamespaceCondition[] {
  const failures = remains.filter((each) => each.failure).map((each) => `${each.resource}: ${each.failure}`);
  const left = remains.filter((each) => each.count > 0);
  const held = new Map<string, number>();
  for (const [name, count] of left.flatMap((each) => Object.entries(each.finalizers))) {
    held.set(name, (held.get(name) ?? 0) + count);
  }
  const counts = left.map((each) => `${each.resource} has ${each.count} resource instances`).sort();
  const holders = [...held].map(([name, count]) => `${name} in ${count} resource instances`).sort();
  const rows: [type: string, bad: string, good: string, text: string | undefined, goodText: string][] = [
    [
      "NamespaceDeletionDiscoveryFailure",
      "DiscoveryFailed",
      "ResourcesDiscovered",
      undiscovered.length
        ? `Discovery failed for some groups, ${undiscovered.length} failing: unable to retrieve the complete list of server APIs: ${undiscovered.join(", ")}`
        : undefined,
      "All resources successfully discovered",
    ],
    [
      "NamespaceDeletionGroupVersionParsingFailure",
      "GroupVersionParsingFailed",
      "ParsedGroupVersions",
      undefined,
      "All legacy kube types successfully parsed",
    ],
    [
      "NamespaceDeletionContentFailure",
      "ContentDeletionFailed",
      "ContentDeleted",
      failures.length
        ? `Failed to delete all resource types, ${failures.length} remaining: ${failures.join(", ")}`
        : undefined,
      "All content successfully deleted, may be waiting on finalization",
    ],
    [
      "NamespaceContentRemaining",
      "SomeResourcesRemain",
      "ContentRemoved",
      counts.length ? `Some resources are remaining: ${counts.join(", ")}` : undefined,
      "All content successfully removed",
    ],
    [
      "NamespaceFinalizersRemaining",
      "SomeFinalizersRemain",
      "ContentHasNoFinalizers",
      holders.length
        ? `Some content in the namespace has finalizers remaining: ${holders.join(", ")}`
        : undefined,
      "All content-preserving finalizers finished",
    ],
  ];
  return rows.reduce<corev1.NamespaceCondition[]>(
    (conditions, [type, bad, good, text, goodText]) => {
      const next = {
        type,
        status: text ? "True" : "False",
        reason: text ? bad : good,
        message: text ?? goodText,
        lastTransitionTime: formatTime(nowMs),
      };
      return withCondition(conditions, next).map((each) =>
        each.type === type ? { ...each, message: next.message } : each,
      );
    },
    [...(old ?? [])],
  );
}
