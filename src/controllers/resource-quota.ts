/**
 * Counts what the objects of a namespace take of its quotas. Admission charges what is created; what goes, ends or shrinks
 * is found here. https://kubernetes.io/docs/concepts/policy/resource-quotas/
 */
import {
  type Amounts,
  addAmounts,
  type corev1,
  countName,
  isInScope,
  type KubernetesObject,
  persistentVolumeClaims,
  pickAmounts,
  pods,
  quotaUsage,
  type ResourceDefinition,
  resourceQuotas,
  sameJson,
  services,
  storedDefinitions,
} from "#api";
import { keyOf } from "#client";
import {
  after,
  type ControllerContext,
  defineController,
  readVerbs,
  rule,
  source,
} from "./kit/define-controller.ts";

type Quota = Readonly<corev1.ResourceQuota>;

interface State {
  quota: Quota;
  /** What the namespace has of each kind that the quota speaks of. */
  objects: readonly Counted[];
  /** Since when the quota is as it is: what was charged before has been stored by now, or given back. */
  quietSinceMs: number;
}

interface Counted {
  kind: ResourceDefinition;
  all: readonly Readonly<KubernetesObject>[];
}

interface Plan {
  quota: Quota;
  /** Until a charge whose object is still on its way can no longer be mistaken for one that is over. */
  waitMs: number;
}

/** Whatever was missed is found this late at the latest. */
const resyncMs = 5 * 60_000;

/** Between the charge for an object and its storing there is less than this. */
const quietMs = 300;

const countable = storedDefinitions.filter(({ namespaced, resource }) => namespaced && resource !== "events");
/** Kinds whose objects take more or less while they live. */
const changing = new Set<ResourceDefinition>([
  pods,
  services,
  persistentVolumeClaims,
] as ResourceDefinition[]);

/** The quotas of the object's namespace, where it has gone or may count differently now. */
function concerned(
  kind: ResourceDefinition,
  object: Readonly<KubernetesObject>,
  context: ControllerContext,
): string[] {
  const quotas = context.informers.of(resourceQuotas).list(object.metadata.namespace);
  if (quotas.length === 0) return [];
  const isGone = context.informers.of(kind).byKey(keyOf(object)) === undefined;
  return isGone || changing.has(kind) ? quotas.map(keyOf) : [];
}

function kindsOf(hard: Readonly<Amounts>): ResourceDefinition[] {
  const names = Object.keys(hard);
  return countable.filter((kind) => {
    const counts = names.includes(countName(kind)) || (kind.group === "" && names.includes(kind.resource));
    return counts || names.some((name) => isOf(kind, name));
  });
}

/** Amounts that are summed up over objects of one kind. */
function isOf({ group, resource }: ResourceDefinition, name: string): boolean {
  if (group !== "") return false;
  const isStorage = name === "requests.storage" || name.includes(".storageclass.storage.k8s.io/");
  if (resource === "persistentvolumeclaims") return isStorage;
  if (resource === "services") return name.startsWith("services.");
  if (resource !== "pods" || isStorage) return false;
  return /^(?:requests|limits)\.|^(?:cpu|memory|ephemeral-storage)$|^hugepages-/.test(name);
}

export const resourceQuotaController = defineController<State, Plan>({
  name: "resourcequota-controller",
  primary: resourceQuotas,
  secondaries: countable
    .filter((kind) => kind !== (resourceQuotas as ResourceDefinition))
    .map((kind) => source(kind, (object, context) => concerned(kind, object, context))),
  concurrency: 5,
  rules: [
    rule("*", ["*"], ["list", "watch"]),
    rule("", ["resourcequotas"], readVerbs),
    rule("", ["resourcequotas/status"], ["update"]),
  ],
  observe({ informers, memory, world }, key) {
    const quota = informers.of(resourceQuotas).byKey(key);
    if (!quota || quota.metadata.deletionTimestamp) return undefined;
    const { namespace } = quota.metadata;
    const objects = kindsOf(quota.spec?.hard ?? {}).map((kind) => ({
      kind,
      all: informers.of(kind).list(namespace),
    }));
    const { resourceVersion } = quota.metadata;
    const known = memory.get(key) as { resourceVersion: string; sinceMs: number } | undefined;
    const sinceMs = known?.resourceVersion === resourceVersion ? known.sinceMs : world.clock.now();
    memory.set(key, { resourceVersion, sinceMs });
    return { quota, objects, quietSinceMs: sinceMs };
  },
  decide({ quota, objects, quietSinceMs }, nowMs) {
    if (isCounted(quota, usedBy(quota, objects))) return undefined;
    return { quota, waitMs: quietSinceMs + quietMs - nowMs };
  },
  async act({ quota, waitMs }, { client }) {
    if (waitMs > 0 && quota.status?.hard) return after(waitMs);
    // Read past the caches: they may not have what was charged last, and forgetting it would let too much in.
    const { namespace } = quota.metadata;
    const objects: Counted[] = [];
    for (const kind of kindsOf(quota.spec?.hard ?? {}))
      objects.push({ kind, all: (await client.list(kind, { namespace })).items });
    const used = usedBy(quota, objects);
    if (isCounted(quota, used)) return after(resyncMs);
    // A charge that came in between makes this count old: it is refused, and made again.
    const status: corev1.ResourceQuotaStatus = { hard: quota.spec?.hard ?? {}, used };
    await client.update(resourceQuotas, { ...quota, status } as corev1.ResourceQuota, {
      subresource: "status",
    });
    return after(resyncMs);
  },
});

function usedBy(quota: Quota, objects: readonly Counted[]): Amounts {
  const names = new Set(Object.keys(quota.spec?.hard ?? {}));
  let used: Amounts = Object.fromEntries([...names].map((name) => [name, "0"]));
  for (const { kind, all } of objects)
    for (const object of all)
      if (isInScope(quota, kind, object))
        used = addAmounts(used, pickAmounts(quotaUsage(kind, object), names));
  return used;
}

function isCounted({ spec, status }: Quota, used: Amounts): boolean {
  return sameJson({ hard: spec?.hard ?? {}, used }, { hard: status?.hard, used: status?.used });
}
