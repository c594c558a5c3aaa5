/**
 * Ingresses and volume claims that name no class get the one that is marked as the default: the newest of several.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#defaultingressclass
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#defaultstorageclass
 */
import {
  type corev1,
  ingressClasses,
  ingresses,
  isDefaultStorageClass,
  type KubernetesObject,
  type networkingv1,
  type ResourceDefinition,
  storageClasses,
} from "#api";
import type { Storage } from "../registry/storage.ts";
import type { AdmissionStep, Attributes } from "./admission.ts";

const ingressAnnotation = "kubernetes.io/ingress.class";
const ingressDefaultAnnotation = "ingressclass.kubernetes.io/is-default-class";
const claimAnnotation = "volume.beta.kubernetes.io/storage-class";

export function defaultIngressClass(storage: Storage): AdmissionStep {
  const isDefault = ({ metadata }: KubernetesObject) =>
    metadata.annotations?.[ingressDefaultAnnotation] === "true";
  return {
    name: "DefaultIngressClass",
    mutate(attributes) {
      const { definition, object } = attributes;
      if (!isCreation(attributes) || definition !== (ingresses as ResourceDefinition)) return;
      const ingress = object as networkingv1.Ingress;
      if (ingress.spec.ingressClassName !== undefined) return;
      if (ingress.metadata.annotations?.[ingressAnnotation] !== undefined) return;
      const name = defaultClass(storage, ingressClasses as ResourceDefinition, isDefault);
      if (name) ingress.spec.ingressClassName = name;
    },
  };
}

export function defaultStorageClass(storage: Storage): AdmissionStep {
  return {
    name: "DefaultStorageClass",
    mutate(attributes) {
      const { definition, object } = attributes;
      if (!isCreation(attributes) || definition.group !== "") return;
      if (definition.resource !== "persistentvolumeclaims") return;
      const claim = object as corev1.PersistentVolumeClaim;
      if (claim.spec?.storageClassName !== undefined) return;
      if (claim.metadata.annotations?.[claimAnnotation] !== undefined) return;
      const name = defaultClass(storage, storageClasses as ResourceDefinition, isDefaultStorageClass);
      if (name) claim.spec = { ...claim.spec, storageClassName: name };
    },
  };
}

function isCreation({ operation, subresource, object }: Attributes): boolean {
  return operation === "CREATE" && subresource === "" && object !== undefined;
}

function defaultClass(
  storage: Storage,
  classes: ResourceDefinition,
  isDefault: (object: KubernetesObject) => boolean,
): string | undefined {
  const found = [...storage.cache(classes).scan("")].map((object) => object.parse()).filter(isDefault);
  const [newest] = found.sort((a, b) => createdText(b).localeCompare(createdText(a)) || byName(a, b));
  return newest?.metadata.name;
}

function createdText({ metadata }: KubernetesObject): string {
  return metadata.creationTimestamp ?? "";
}

function byName(a: KubernetesObject, b: KubernetesObject): number {
  return a.metadata.name < b.metadata.name ? -1 : 1;
}
