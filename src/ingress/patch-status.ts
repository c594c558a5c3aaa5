/** What objects are told of how they are served. */
import { isStatus, type KubernetesObject, type ResourceType } from "#api";
import type { Client } from "#client";

/** Nothing where the object is gone meanwhile. */
export async function patchStatus(
  client: Client,
  type: ResourceType,
  { metadata }: KubernetesObject,
  status: unknown,
): Promise<void> {
  const ref = { namespace: metadata.namespace, name: metadata.name };
  try {
    await client.patch(type, ref, "merge", { status }, { subresource: "status" });
  } catch (error) {
    if (!isStatus(error, "NotFound")) throw error;
  }
}
