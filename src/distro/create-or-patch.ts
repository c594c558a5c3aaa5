/** Objects that a cluster has of its own: made where they are missing, brought up to date where they stand. */
import { type Draft, isStatus, type KubernetesObject, type ResourceType } from "#api";
import type { Client } from "#client";

export async function createOrPatch<T extends KubernetesObject>(
  client: Client,
  type: ResourceType<T>,
  object: Draft<T>,
): Promise<void> {
  const { name, namespace: home } = object.metadata as { name: string; namespace: string };
  try {
    await client.create(type, object);
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
    await client.patch(type, { namespace: home, name }, "merge", object);
  }
}
