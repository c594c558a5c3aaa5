/** An object as somebody outside has changed it, taken over into the request. */
import {
  DecodeError,
  decode,
  isObject,
  type KubernetesObject,
  type ResourceDefinition,
  sameJson,
} from "#api";
import type { Attributes } from "../admission/admission.ts";
import { customOf } from "../customresources/custom-definition.ts";
import { convert } from "./convert.ts";

/** Whether that changed anything. Throws for what is no object of the kind. */
export async function changeTo(
  attributes: Attributes,
  version: ResourceDefinition,
  value: unknown,
): Promise<boolean> {
  if (!attributes.object) return false;
  const object = await convert(decoded(version, value), version, attributes.definition);
  return replaceContent(attributes.object, object);
}

/** In the shape of its type: a patch may have made anything of it. */
function decoded(version: ResourceDefinition, value: unknown): KubernetesObject {
  if (!isObject(value)) throw new Error("the patched object is no object");
  // The patch shares with the object what it does not touch.
  const copy = structuredClone(value);
  const custom = customOf(version);
  try {
    if (custom) custom.decode(copy);
    else decode(version.typeName, copy);
  } catch (error) {
    if (error instanceof DecodeError) throw new Error(error.message);
    throw error;
  }
  return copy as unknown as KubernetesObject;
}

function replaceContent(object: KubernetesObject, wanted: KubernetesObject): boolean {
  if (sameJson(object, wanted)) return false;
  for (const key of Object.keys(object)) delete (object as unknown as Record<string, unknown>)[key];
  Object.assign(object, wanted);
  return true;
}
