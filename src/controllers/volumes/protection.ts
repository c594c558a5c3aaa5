/**
 * Claims and volumes that are in use do not go: their finalizers are taken away once nobody uses them.
 * https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
 */
import {
  type corev1,
  type KubernetesObject,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  type ResourceType,
  type storagev1,
  volumeAttributesClasses,
} from "#api";
import {
  type ControllerContext,
  defineController,
  done,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import { isFinished } from "../kit/pods.ts";
import { claimsOfPod, indexByClaim, podsOfClaim, usersAmong } from "./claim-users.ts";

const claimFinalizer = "kubernetes.io/pvc-protection";
const volumeFinalizer = "kubernetes.io/pv-protection";
const attributesFinalizer = "kubernetes.io/vac-protection";
/** Claims and volumes by the attributes class they name. */
const attributesIndex = "attributesClass";

interface State<T> {
  object: Readonly<T>;
  inUse: boolean;
}

interface Plan {
  finalizers: string[];
}

/** What lives is protected; what is to go and is not in use is let go. */
function decideProtection<T extends KubernetesObject>(
  { object, inUse }: Readonly<State<T>>,
  finalizer: string,
): Plan | undefined {
  const { finalizers = [], deletionTimestamp } = object.metadata;
  const isProtected = finalizers.includes(finalizer);
  if (!deletionTimestamp) return isProtected ? undefined : { finalizers: [...finalizers, finalizer] };
  return isProtected && !inUse ? { finalizers: finalizers.filter((each) => each !== finalizer) } : undefined;
}

async function writeFinalizers<T extends KubernetesObject>(
  type: ResourceType<T>,
  { finalizers }: Plan,
  { client }: ControllerContext,
  { object }: Readonly<State<T>>,
) {
  const { uid, resourceVersion } = object.metadata;
  await client.patch(type, object.metadata, "merge", { metadata: { uid, resourceVersion, finalizers } });
  return done;
}

/** A pod that has never had a node uses nothing; one that has ended uses nothing any more. */
function uses(pod: Readonly<corev1.Pod>): boolean {
  return pod.spec.nodeName !== undefined && !isFinished(pod);
}

export const claimProtectionController = defineController<State<corev1.PersistentVolumeClaim>, Plan>({
  name: "pvc-protection-controller",
  primary: persistentVolumeClaims,
  secondaries: [source(pods, (pod) => claimsOfPod(pod).map((name) => `${pod.metadata.namespace}/${name}`))],
  concurrency: 2,
  rules: [
    rule("", ["persistentvolumeclaims"], [...readVerbs, "patch", "update"]),
    rule("", ["pods"], readVerbs),
  ],
  prepare: ({ informers }) => void indexByClaim(informers.of(pods)),
  observe({ informers }, key) {
    const object = informers.of(persistentVolumeClaims).byKey(key);
    if (!object) return undefined;
    if (!object.metadata.deletionTimestamp) return { object, inUse: true };
    const users = podsOfClaim(informers.of(pods), key);
    return { object, inUse: users.some(uses) };
  },
  decide: (state) => decideProtection(state, claimFinalizer),
  async act(plan, context, state) {
    const { namespace } = state.object.metadata;
    if (state.object.metadata.deletionTimestamp) {
      // Read past the cache: a pod may have come that uses the claim.
      const { items } = await context.client.list(pods, { namespace });
      if (usersAmong(items, state.object).some(uses)) return done;
    }
    return writeFinalizers(persistentVolumeClaims, plan, context, state);
  },
});

export const volumeProtectionController = defineController<State<corev1.PersistentVolume>, Plan>({
  name: "pv-protection-controller",
  primary: persistentVolumes,
  concurrency: 2,
  rules: [rule("", ["persistentvolumes"], [...readVerbs, "patch", "update"])],
  observe({ informers }, key) {
    const object = informers.of(persistentVolumes).byKey(key);
    return object && { object, inUse: object.status?.phase === "Bound" };
  },
  decide: (state) => decideProtection(state, volumeFinalizer),
  act: (plan, context, state) => writeFinalizers(persistentVolumes, plan, context, state),
});

/** The classes that a claim has, wants, or is on its way to. */
function classesOf({ spec, status }: Readonly<corev1.PersistentVolumeClaim>): string[] {
  const names = [
    spec.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ];
  return [...new Set(names.flatMap((name) => name || []))];
}

const classOf = ({ spec }: Readonly<corev1.PersistentVolume>) =>
  spec.volumeAttributesClassName ? [spec.volumeAttributesClassName] : [];

/** https://kubernetes.io/docs/concepts/storage/volume-attributes-classes/ */
export const attributesClassProtectionController = defineController<
  State<storagev1.VolumeAttributesClass>,
  Plan
>({
  name: "volumeattributesclass-protection-controller",
  primary: volumeAttributesClasses,
  secondaries: [source(persistentVolumeClaims, classesOf), source(persistentVolumes, classOf)],
  concurrency: 1,
  rules: [
    rule("storage.k8s.io", ["volumeattributesclasses"], [...readVerbs, "patch", "update"]),
    rule("", ["persistentvolumes", "persistentvolumeclaims"], readVerbs),
  ],
  prepare({ informers }) {
    informers.of(persistentVolumeClaims).addIndex(attributesIndex, classesOf);
    informers.of(persistentVolumes).addIndex(attributesIndex, classOf);
  },
  observe({ informers }, key) {
    const object = informers.of(volumeAttributesClasses).byKey(key);
    if (!object) return undefined;
    const inUse =
      informers.of(persistentVolumeClaims).byIndex(attributesIndex, key).length > 0 ||
      informers.of(persistentVolumes).byIndex(attributesIndex, key).length > 0;
    return { object, inUse };
  },
  decide: (state) => decideProtection(state, attributesFinalizer),
  act: (plan, context, state) => writeFinalizers(volumeAttributesClasses, plan, context, state),
});
