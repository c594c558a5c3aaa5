/** Secrets that drivers are given with a call: of the volume, named by its PersistentVolume or by the pod. */
import { type corev1, secrets } from "#api";
import { messageOf } from "#base";
import type { Client } from "#client";
import { VolumeError } from "#contracts";

export async function secretOf(
  client: Client,
  reference: Readonly<corev1.SecretReference> | undefined,
  field: string,
): Promise<Record<string, string>> {
  if (!reference?.name) return {};
  const { namespace = "", name } = reference;
  const { data = {} } = await client.get(secrets, { namespace, name }).catch((error: unknown) => {
    throw new VolumeError(
      `kubernetes.io/csi: fetching ${field} ${namespace}/${name} failed: ${messageOf(error)}`,
    );
  });
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64").toString("utf8")]),
  );
}
