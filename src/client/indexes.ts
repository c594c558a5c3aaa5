/** The indexes that several components use, by name. */
import type { corev1, discoveryv1, KubernetesObject, metav1 } from "#api";
import type { Informer } from "./informer.ts";

const ownerIndex = "controllerUid";
const nodeIndex = "nodeName";
const serviceIndex = "service";
const serviceLabel = "kubernetes.io/service-name";

/** The owner that manages the object, if it has one. */
export function controllerOf(object: { metadata: metav1.ObjectMeta }): metav1.OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

/** Objects whose managing controller has this uid; `""`: those that have none, of one namespace (see `orphansOf`). */
export function ownedBy<T extends KubernetesObject>(
  informer: Informer<T>,
  uid: string,
): readonly Readonly<T>[] {
  return informer.byIndex(ownerIndex, uid);
}

/** Objects of a namespace that no controller manages. */
export function orphansOf<T extends KubernetesObject>(
  informer: Informer<T>,
  namespace: string,
): readonly Readonly<T>[] {
  return informer.byIndex(ownerIndex, `/${namespace}`);
}

export function indexByOwner<T extends KubernetesObject>(informer: Informer<T>): Informer<T> {
  informer.addIndex(ownerIndex, (object) => [
    controllerOf(object)?.uid ?? `/${object.metadata.namespace ?? ""}`,
  ]);
  return informer;
}

/** Pods by the node they are bound to; those not bound yet under `""`. */
export function indexByNode(informer: Informer<corev1.Pod>): Informer<corev1.Pod> {
  informer.addIndex(nodeIndex, (pod) => [pod.spec.nodeName ?? ""]);
  return informer;
}

export function podsOnNode(
  informer: Informer<corev1.Pod>,
  nodeName: string,
): readonly Readonly<corev1.Pod>[] {
  return informer.byIndex(nodeIndex, nodeName);
}

/** `namespace/name` of the Service that a slice belongs to. */
export function serviceOf({ metadata }: Readonly<discoveryv1.EndpointSlice>): string | undefined {
  const name = metadata.labels?.[serviceLabel];
  return name ? `${metadata.namespace}/${name}` : undefined;
}

export function indexByService(
  informer: Informer<discoveryv1.EndpointSlice>,
): Informer<discoveryv1.EndpointSlice> {
  informer.addIndex(serviceIndex, (slice) => [serviceOf(slice) ?? ""].filter(Boolean));
  return informer;
}

/** The slices of a Service, by its key. */
export function slicesOfService(
  informer: Informer<discoveryv1.EndpointSlice>,
  key: string,
): readonly Readonly<discoveryv1.EndpointSlice>[] {
  return informer.byIndex(serviceIndex, key);
}
