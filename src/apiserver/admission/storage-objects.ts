/**
 * Claims, volumes and their classes are protected from the first moment on, and a claim grows where its class says so.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#storageobjectinuseprotection
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#persistentvolumeclaimresize
 */
import {
  compareQuantities,
  type corev1,
  forbidden,
  type ResourceDefinition,
  storageClasses,
  storageClassOf,
  type storagev1,
} from "#api";
import type { Storage } from "../registry/storage.ts";
import type { AdmissionStep, Attributes } from "./admission.ts";

/** Taken away by controllers once nobody uses the object. */
const finalizerOf: Readonly<Record<string, string>> = {
  persistentvolumeclaims: "kubernetes.io/pvc-protection",
  persistentvolumes: "kubernetes.io/pv-protection",
  "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
};

const nameOf = ({ group, resource }: ResourceDefinition) => (group ? `${resource}.${group}` : resource);

export const storageObjectInUseProtection: AdmissionStep = {
  name: "StorageObjectInUseProtection",
  mutate({ operation, subresource, definition, object }) {
    const finalizer = finalizerOf[nameOf(definition)];
    if (!finalizer || operation !== "CREATE" || subresource !== "" || !object) return;
    const { finalizers = [] } = object.metadata;
    if (!finalizers.includes(finalizer)) object.metadata.finalizers = [...finalizers, finalizer];
  },
};

type Claim = Readonly<corev1.PersistentVolumeClaim>;

const sizeOf = ({ spec }: Claim) => spec.resources?.requests?.storage ?? 0;

export function persistentVolumeClaimResize(storage: Storage): AdmissionStep {
  function mayGrow(claim: Claim, before: Claim): boolean {
    const name = storageClassOf(claim);
    if (!name || name !== storageClassOf(before)) return false;
    const found = storage.find(storageClasses as ResourceDefinition, undefined, name);
    return (found?.parse() as storagev1.StorageClass | undefined)?.allowVolumeExpansion === true;
  }

  return {
    name: "PersistentVolumeClaimResize",
    validate(attributes) {
      const { operation, subresource, definition, object, old } = attributes;
      if (nameOf(definition) !== "persistentvolumeclaims" || operation !== "UPDATE" || subresource !== "")
        return;
      const [claim, before] = [object as Claim, old as Claim];
      if (compareQuantities(sizeOf(claim), sizeOf(before)) <= 0) return;
      if (before.status?.phase !== "Bound")
        throw refused(attributes, "Only bound persistent volume claims can be expanded");
      if (!mayGrow(claim, before))
        throw refused(
          attributes,
          "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        );
    },
  };
}

function refused({ definition, name }: Attributes, why: string) {
  return forbidden(definition, name, why);
}
