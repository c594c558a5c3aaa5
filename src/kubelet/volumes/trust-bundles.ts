/**
 * Certificates to trust, from ClusterTrustBundles: one by its name, or all of a signer that a selector picks.
 * https://kubernetes.io/docs/concepts/storage/projected-volumes/#clustertrustbundle
 */
import { clusterTrustBundles, type corev1, isStatus, pemBlocks, selectorMatches } from "#api";
import type { Client } from "#client";
import { VolumeError } from "#contracts";

type Projection = Readonly<corev1.ClusterTrustBundleProjection>;

/** PEM text; empty where the bundle may be missing. */
export async function trustBundleOf(client: Client, projection: Projection): Promise<string> {
  const texts = await (projection.name === undefined
    ? ofSigner(client, projection)
    : named(client, projection));
  return joinBundles(texts);
}

async function named(client: Client, { name = "", optional }: Projection): Promise<string[]> {
  try {
    return [(await client.get(clusterTrustBundles, { name })).spec.trustBundle];
  } catch (error) {
    if (!isStatus(error, "NotFound")) throw error;
    if (optional) return [];
    throw new VolumeError(
      `clustertrustbundle projection failed: clustertrustbundle.certificates.k8s.io ${JSON.stringify(name)} not found`,
    );
  }
}

async function ofSigner(client: Client, projection: Projection): Promise<string[]> {
  const { signerName = "", labelSelector, optional } = projection;
  const { items } = await client.list(clusterTrustBundles, {
    fieldSelector: `spec.signerName=${signerName}`,
  });
  const found = items.filter(
    ({ spec, metadata }) =>
      spec.signerName === signerName && selectorMatches(labelSelector, metadata.labels ?? {}),
  );
  if (found.length === 0 && !optional)
    throw new VolumeError("combination of signerName and labelSelector matched zero ClusterTrustBundles");
  return found.map(({ spec }) => spec.trustBundle);
}

/** Each certificate once, whatever stands around it, in an order that does not depend on the bundles'. */
export function joinBundles(texts: readonly string[]): string {
  const found = new Set<string>();
  for (const text of texts)
    for (const { type, bytes } of pemBlocks(text))
      if (type === "CERTIFICATE") found.add(bytes.toString("base64"));
  return [...found].sort().map(pemOf).join("");
}

function pemOf(body: string): string {
  const lines = body.match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
