/** The identity of a resource: what a path, a client call and a table of handlers need to know of it. */
import type { metav1 } from "../generated/types/index.ts";

/** Any API object as it is stored. */
export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: metav1.ObjectMeta;
}

/** A list of `T` as the API answers it. */
export interface KubernetesList<T> {
  apiVersion: string;
  kind: string;
  metadata: metav1.ListMeta;
  items: T[];
}

/** What may be left out when an object is written: everything the server fills in. */
export type Draft<T> = T extends (infer U)[]
  ? Draft<U>[]
  : T extends object
    ? { [K in keyof T]?: Draft<T[K]> }
    : T;

/**
 * Names a resource and carries its type. `defineResource` makes one with behaviour; the plain form serves clients.
 * @example group "apps", version "v1", resource "deployments", kind "Deployment"
 */
export interface ResourceType<T extends KubernetesObject = KubernetesObject> {
  readonly group: string;
  readonly version: string;
  /** The plural in paths. */
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Only a type: ties the objects to the resource. */
  readonly __object?: T;
}

/** `v1` or `apps/v1`. */
export function apiVersionOf(type: { group: string; version: string }): string {
  return type.group ? `${type.group}/${type.version}` : type.version;
}

/** `/api/v1/namespaces/default/pods/web`, `/apis/apps/v1/deployments` and so on. */
export function pathOf(
  type: ResourceType,
  ref: { namespace?: string | undefined; name?: string | undefined; subresource?: string | undefined },
): string {
  const parts = [type.group ? `/apis/${type.group}/${type.version}` : `/api/${type.version}`];
  if (type.namespaced && ref.namespace) parts.push("namespaces", encodeURIComponent(ref.namespace));
  parts.push(type.resource);
  if (ref.name !== undefined) parts.push(encodeURIComponent(ref.name));
  if (ref.subresource) parts.push(ref.subresource);
  return parts.join("/");
}
