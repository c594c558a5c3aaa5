/** Shows an object of one version in another version of the same kind. */
import type { KubernetesObject, ResourceDefinition } from "#api";
import { CachedObject, serialize } from "../cache/cached-object.ts";
import { customOf, NotConverted } from "../customresources/custom-definition.ts";

/** Answers a new object, or the same where nothing differs. */
export async function convert<T extends KubernetesObject | Readonly<KubernetesObject> | undefined>(
  object: T,
  from: ResourceDefinition,
  to: ResourceDefinition,
): Promise<T> {
  if (!object || from === to) return object;
  const custom = customOf(to);
  const source = customOf(from);
  if (custom && source) {
    const stored = await source.toStorage(structuredClone(object) as KubernetesObject);
    return (await viewed(custom.storage, custom.view, stored)) as T;
  }
  const copy = structuredClone(object) as KubernetesObject;
  const inner = from.storedAs ? from.storedAs.toStored(copy as never) : copy;
  return (to.storedAs ? to.storedAs.fromStored(inner) : inner) as T;
}

async function viewed(
  definition: ResourceDefinition,
  view: (stored: CachedObject) => CachedObject,
  object: KubernetesObject,
): Promise<KubernetesObject> {
  const stored = new CachedObject(definition, { key: "", value: serialize(object), modRevision: 0 });
  try {
    return view(stored).parse();
  } catch (error) {
    if (!(error instanceof NotConverted)) throw error;
    await error.convert();
    return view(stored).parse();
  }
}
