/**
 * Who belongs to whom: an owner adopts matching objects that nobody manages and lets go of its own that no longer
 * match. https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#replicaset-as-an-horizontal-pod-autoscaler-target
 */
import { isStatus, type KubernetesObject, type ResourceType } from "#api";
import { type Client, controllerOf, type Informer, orphansOf, ownedBy } from "#client";
import { controllerRef } from "./pods.ts";

export interface Claims<T> {
  /** Those that belong to the owner now or will once adopted. */
  claimed: readonly Readonly<T>[];
  adopt: readonly Readonly<T>[];
  release: readonly Readonly<T>[];
}

/** From caches: what the owner has, should take and should let go. `adopts`: which of the matching are worth taking. */
export function claim<T extends KubernetesObject>(
  owner: Readonly<KubernetesObject>,
  informer: Informer<T>,
  matches: (object: Readonly<T>) => boolean,
  adopts: (object: Readonly<T>) => boolean = () => true,
): Claims<T> {
  const claimed: Readonly<T>[] = [];
  const release: Readonly<T>[] = [];
  for (const object of ownedBy(informer, owner.metadata.uid)) {
    if (matches(object)) claimed.push(object);
    else release.push(object);
  }
  if (owner.metadata.deletionTimestamp !== undefined) return { claimed, adopt: [], release: [] };
  const orphans = orphansOf(informer, owner.metadata.namespace ?? "");
  const adopt = orphans.filter((o) => !o.metadata.deletionTimestamp && matches(o) && adopts(o));
  return { claimed: adopt.length > 0 ? [...claimed, ...adopt] : claimed, adopt, release };
}

/** Objects that went away or changed hands meanwhile are no failure: their event brings the next round. */
export async function settleClaims<T extends KubernetesObject>(
  client: Client,
  ownerType: ResourceType,
  owner: Readonly<KubernetesObject>,
  type: ResourceType<T>,
  claims: Pick<Claims<T>, "adopt" | "release">,
): Promise<void> {
  if (claims.adopt.length > 0) {
    // Read past the cache: an owner that is being deleted must not take anything.
    const fresh = await client.get(ownerType, owner.metadata);
    if (fresh.metadata.uid !== owner.metadata.uid || fresh.metadata.deletionTimestamp) return;
  }
  const adopting = claims.adopt.map((object) =>
    setOwners(client, type, object, [...(object.metadata.ownerReferences ?? []), controllerRef(owner)]),
  );
  const releasing = claims.release.map((object) => {
    const uid = controllerOf(object)?.uid;
    const others = (object.metadata.ownerReferences ?? []).filter((reference) => reference.uid !== uid);
    return setOwners(client, type, object, others);
  });
  await Promise.all([...adopting, ...releasing]);
}

async function setOwners<T extends KubernetesObject>(
  client: Client,
  type: ResourceType<T>,
  object: Readonly<T>,
  ownerReferences: unknown[],
): Promise<void> {
  const { uid, resourceVersion } = object.metadata;
  try {
    await client.patch(type, object.metadata, "merge", {
      metadata: { uid, resourceVersion, ownerReferences },
    });
  } catch (error) {
    if (!isStatus(error, "NotFound")) throw error;
  }
}
