/**
 * Kinds that other API servers serve behind this one, as their discovery tells them.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
 */
import type { apiregistrationv1, metav1, ResourceType } from "#api";
import { messageOf } from "#base";
import { type Client, errorOf, readText } from "#client";

export interface AggregatedKinds {
  types: ResourceType[];
  /** `group/version: why` of those who did not answer. */
  failures: string[];
}

/** Namespaced ones whose objects can be listed and deleted. */
export async function aggregatedKinds(
  client: Client,
  services: readonly Readonly<apiregistrationv1.APIService>[],
): Promise<AggregatedKinds> {
  const result: AggregatedKinds = { types: [], failures: [] };
  for (const { spec } of services) {
    const { group = "", version = "" } = spec;
    if (!spec.service) continue;
    try {
      const resources = await discover(client, `/apis/${group}/${version}`);
      result.types.push(...resources.filter(isDeletable).map((each) => typeOf(each, group, version)));
    } catch (error) {
      result.failures.push(`${group}/${version}: ${messageOf(error)}`);
    }
  }
  return result;
}

async function discover(client: Client, path: string): Promise<readonly metav1.APIResource[]> {
  const answer = await client.transport.send({ method: "GET", path });
  const text = await readText(answer.body);
  if (answer.status !== 200) throw errorOf(answer.status, text);
  return (JSON.parse(text) as metav1.APIResourceList).resources ?? [];
}

function isDeletable({ name, namespaced, verbs }: metav1.APIResource): boolean {
  return (
    namespaced && !name.includes("/") && ["list", "deletecollection"].every((verb) => verbs.includes(verb))
  );
}

function typeOf(
  { name, kind, namespaced }: metav1.APIResource,
  group: string,
  version: string,
): ResourceType {
  return { group, version, resource: name, kind, namespaced };
}
