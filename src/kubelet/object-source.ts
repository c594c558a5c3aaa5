/**
 * ConfigMaps and Secrets that pods of this node name, read when they are needed: never from a copy that may be old.
 * Questions for the same object at the same moment are asked once.
 */
import { configMaps, type corev1, isStatus, type KubernetesObject, type ResourceType, secrets } from "#api";
import type { Client } from "#client";

export interface ObjectSource {
  /** The object has changed: what is being asked about it may be answered with what it was. */
  outdate(type: ResourceType, namespace: string, name: string): void;
  /** Those of the names that exist. */
  configMaps(namespace: string, names: readonly string[]): Promise<Map<string, corev1.ConfigMap>>;
  secrets(namespace: string, names: readonly string[]): Promise<Map<string, corev1.Secret>>;
}

export function createObjectSource(client: Client): ObjectSource {
  const asking = new Map<string, Promise<KubernetesObject | undefined>>();
  const keyOf = (type: ResourceType, namespace: string, name: string) =>
    `${type.resource}/${namespace}/${name}`;

  function read<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    name: string,
  ): Promise<T | undefined> {
    const key = keyOf(type, namespace, name);
    const pending = asking.get(key) as Promise<T | undefined> | undefined;
    if (pending) return pending;
    const answer: Promise<T | undefined> = client
      .get(type, { namespace, name })
      .catch((error: unknown) => {
        if (isStatus(error, "NotFound")) return undefined;
        throw error;
      })
      .finally(() => {
        if (asking.get(key) === answer) asking.delete(key);
      });
    asking.set(key, answer);
    return answer;
  }

  async function all<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    names: readonly string[],
  ): Promise<Map<string, T>> {
    const found = await Promise.all(
      [...new Set(names)].map(async (name) => [name, await read(type, namespace, name)] as const),
    );
    return new Map(found.filter((entry): entry is [string, Awaited<T>] => entry[1] !== undefined));
  }

  return {
    outdate: (type, namespace, name) => void asking.delete(keyOf(type, namespace, name)),
    configMaps: (namespace, names) => all<corev1.ConfigMap>(configMaps, namespace, names),
    secrets: (namespace, names) => all<corev1.Secret>(secrets, namespace, names),
  };
}
